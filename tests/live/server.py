"""The server under test: `cometware serve` in a process of its own, ended by its pid."""

from __future__ import annotations

import http.client
import json
import os
import re
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlencode

ROOT = Path(__file__).parents[2]
START_SECONDS = 60
STOP_SECONDS = 20
LIMIT_SECONDS = 30.0
"""How long a test waits for what must happen, on however slow a machine."""

PATIENT = {"heartbeat_seconds": 55, "pong_seconds": 55, "grace_seconds": 120, "overlap_seconds": 60}
"""Limits under which nothing happens by a clock while a test looks elsewhere."""

_TRACEBACK = re.compile(r"^Traceback \(most recent call last\):\n(?:(?: .*)?\n)+(?P<error>\S.*)$", re.MULTILINE)


class Server:
    """A running server, as a test sees it: through its views, its standard error and /proc."""

    def __init__(self, process: subprocess.Popen[str], port: int, errors: IO[str]) -> None:
        self.pid = process.pid
        self.port = port
        self._errors = errors

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Make one plain HTTP request, on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2 * LIMIT_SECONDS)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

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
        lines: list[dict[str, Any]] = self.get("/journal", count=count, seconds=seconds, **wanted)
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
        return [error for error in found if not re.match(r"tests\.live\.\w+\.Deliberate", error)]


@contextmanager
def serve(
    limits: dict[str, Any] | None = None, subprotocols: str = "", *, application: str = "tests.live.app:app"
) -> Iterator[Server]:
    """Run an application for the length of the block; afterwards it must have ended well and logged no traceback."""
    command = [sys.executable, "-m", "cometware", "serve", application, "--bind", "127.0.0.1:0"]
    environment = os.environ | {"LIMITS": json.dumps(limits or {}), "SUBPROTOCOLS": subprotocols}
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        server = None
        try:
            server = Server(process, _port(process, errors), errors)
            yield server
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        assert server.unexpected_errors == [], server.errors
        assert process.returncode == 0, server.errors


def _port(process: subprocess.Popen[str], errors: IO[str]) -> int:
    """Read the line in which the server tells where it listens."""
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        line = process.stdout.readline() if selector.select(START_SECONDS) else ""
    found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
    if found is None:
        errors.seek(0)
        raise AssertionError(f"the server did not say where it listens: {line!r}\n{errors.read()}")
    return int(found[1])
