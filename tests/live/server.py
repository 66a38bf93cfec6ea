"""The server under test: `cometware serve` in a process of its own, ended by its pid."""

from __future__ import annotations

import http.client
import json
import os
import re
import selectors
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlencode

from tests.live.http import connect

ROOT = Path(__file__).parents[2]
START_SECONDS = 60
STOP_SECONDS = 60
LIMIT_SECONDS = 60.0
"""How long a test waits for what must happen, on however slow a machine."""

PATIENT = {
    "heartbeat_seconds": 55,
    "pong_seconds": 55,
    "grace_seconds": 120,
    "overlap_seconds": 60,
    "order_seconds": 60,
    "store_seconds": 30,
}
"""Limits under which nothing happens by a clock while a test looks elsewhere."""

_TRACEBACK = re.compile(r"^Traceback \(most recent call last\):\n(?:(?: .*)?\n)+(?P<error>\S.*)$", re.MULTILINE)


class Server:
    """A running server, as a test sees it: through its views, its standard error and /proc.

    `name` and `transports` are what it should say of itself. `is_serial`: it answers one request after the other, so no
    view may wait for another. `says_101`: it does, before the application is asked.
    """

    name = "pywsgi"
    transports: Sequence[str] = ("websocket", "sse", "stream", "poll")
    is_serial = False
    says_101 = False
    tls: ssl.SSLContext | None = None
    """How its clients speak TLS, if it ends that itself."""

    def __init__(self, process: subprocess.Popen[str], port: int, errors: IO[str], excused: str = "") -> None:
        self.pid = process.pid
        self.port = port
        self._errors = errors
        self._expected = excused or r"tests\.live\.\w+\.Deliberate"

    def name_on(self, transport: str) -> str:
        """Return what it says of its name; what has said 101 shows itself in this only."""
        return "gevent-websocket" if self.says_101 and transport == "websocket" else self.name

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Make one plain HTTP request, on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2 * LIMIT_SECONDS)
        if self.tls is not None:
            seconds = 2 * LIMIT_SECONDS
            connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=seconds, context=self.tls)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def connect(self, *, receive_buffer: int = 0) -> socket.socket:
        """Open a connection, with TLS if it is spoken here."""
        sock = connect(self.port, receive_buffer=receive_buffer)
        return sock if self.tls is None else self.tls.wrap_socket(sock, server_hostname="localhost")

    def get(self, path: str, **query: Any) -> Any:
        """Return what a view of the application shows, decoded."""
        status, headers, body = self.request("GET", f"{path}?{urlencode(query)}" if query else path)
        assert status == 200, body
        return json.loads(body) if headers.get_content_type() == "application/json" else body.decode()

    def post(self, path: str, **arguments: Any) -> Any:
        status, headers, body = self.request(
            "POST", path, json.dumps(arguments).encode(), {"Content-Type": "application/json"}
        )
        assert status == 200, body
        return json.loads(body) if headers.get_content_type() == "application/json" else body.decode()

    def publish(self, data: Any, **options: Any) -> str:
        """Publish from a view; return the position."""
        return str(self.post("/channel/publish", data=data, **options))

    def login(self, user: str) -> str:
        """Return the cookie of a session of this user."""
        _, headers, _ = self.request("POST", f"/login/{user}", b"")
        return headers["Set-Cookie"].partition(";")[0]

    def journal(self, count: int = 0, seconds: float = LIMIT_SECONDS, **wanted: str) -> list[dict[str, Any]]:
        """Wait until the handlers have written so many lines of this kind, and return all of them."""
        lines: list[dict[str, Any]]
        if self.is_serial:
            self.until(f"/journal?{urlencode(wanted)}", lambda lines: len(lines) >= count, seconds)
            lines = self.get("/journal", **wanted)
        else:
            lines = self.get("/journal", count=count, seconds=seconds, **wanted)
        assert len(lines) >= count, f"{count} × {wanted} within {seconds} s, got {len(lines)}, the last {lines[-5:]}"
        return lines

    def life_of(self, client: str) -> list[str]:
        """Return the kinds of all that the handlers saw of a client."""
        return [line["kind"] for line in self.journal(client=client)]

    def until(self, view: str, holds: Callable[[Any], bool], seconds: float = LIMIT_SECONDS) -> None:
        """Look at a view until it shows what we wait for."""
        deadline = time.monotonic() + seconds
        while not holds(shown := self.get(view)):
            assert time.monotonic() < deadline, f"{view} still shows {shown} after {seconds} s"

    @property
    def resident_kilobytes(self) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0])

    @property
    def errors(self) -> str:
        """Everything that the server has written to its standard error."""
        self._errors.seek(0)
        return self._errors.read()

    @property
    def unexpected_errors(self) -> list[str]:
        """Return the last line of each traceback that no test asked for."""
        found = [match["error"] for match in _TRACEBACK.finditer(self.errors)]
        return [error for error in found if not re.match(self._expected, error)]


@contextmanager
def serve(
    limits: dict[str, Any] | None = None,
    subprotocols: str = "",
    *,
    application: str = "tests.live.app:app",
    command: Sequence[str] = (),
    environ: dict[str, str] | None = None,
    excused: str = "",
    port: int = 0,
) -> Iterator[Server]:
    """Run an application for the length of the block; afterwards it must have ended well and logged no traceback.

    `command` is another server's: it says somewhere where it listens, and may end by the signal itself. `excused` are the
    errors of an application that is not ours.
    """
    own = [sys.executable, "-m", "cometware", "serve", application, "--bind", f"127.0.0.1:{port}"]
    environment = os.environ | {"LIMITS": json.dumps(limits or {}), "SUBPROTOCOLS": subprotocols} | (environ or {})
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            command or own,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if command else errors,
            text=True,
        ) as process,
    ):
        server = None
        output = _Output(process, errors) if command else None
        try:
            server = Server(process, _port(process, errors) if output is None else output.port(), errors, excused)
            yield server
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
            finally:
                if output is not None:
                    output.join(STOP_SECONDS)
        assert server.unexpected_errors == [], server.errors
        assert process.returncode == 0 or (command and process.returncode == -signal.SIGTERM), server.errors


class _Output:
    """Keeps all that a server writes, and finds in it where the server listens."""

    def __init__(self, process: subprocess.Popen[str], errors: IO[str]) -> None:
        self._lines = process.stdout
        self._errors = errors
        self._told: Future[int] = Future()
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()
        self.join = self._thread.join

    def port(self) -> int:
        try:
            return self._told.result(START_SECONDS)
        except Exception as error:
            self._errors.seek(0)
            raise AssertionError(f"where does it listen?\n{self._errors.read()}") from error

    def _keep(self) -> None:
        assert self._lines is not None
        descriptor = self._errors.fileno()
        for line in self._lines:
            os.pwrite(descriptor, line.encode(), os.fstat(descriptor).st_size)
            found = re.search(r"https?://127\.0\.0\.1:(\d+)", line)
            if found is not None and not self._told.done():
                self._told.set_result(int(found[1]))
        if not self._told.done():
            self._told.set_exception(AssertionError("it ended without a word"))


def _port(process: subprocess.Popen[str], errors: IO[str]) -> int:
    """Read the line in which the server tells where it listens."""
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        line = process.stdout.readline() if selector.select(START_SECONDS) else ""
    found = re.search(r"https?://127\.0\.0\.1:(\d+)", line)
    if found is None:
        errors.seek(0)
        raise AssertionError(f"the server did not say where it listens: {line!r}\n{errors.read()}")
    return int(found[1])
