"""Every proxy does what its row in `PROXIES` says, so that a test behind it means what it says."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import queue
import ssl
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from foreground import DidNotStart, MissingProgram, find_program, foreground, listening
from origin import EVENTS
from proxies import PROXIES, Proxy
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.sync.client import connect

# How long nothing must come before we say that a proxy holds it back. Too short can only hide a fault.
HELD_SECONDS = 0.3
PATIENCE_SECONDS = 60.0
GZIP = 31  # zlib's number for its format

keys = itertools.count()


@pytest.fixture(scope="module", params=PROXIES)
def proxied(request: pytest.FixtureRequest, origin_port: int) -> Iterator[tuple[Proxy, int]]:
    proxy = PROXIES[request.param]
    with proxy.start(origin_port) as port:
        yield proxy, port


@contextlib.contextmanager
def request_of(port: int, path: str, *, tls: bool = False, body: bytes | None = None) -> Iterator[http.client.HTTPResponse]:
    """Make one request; the answer may still be on its way."""
    connection: http.client.HTTPConnection
    if tls:
        context = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS, context=context)
    else:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    with contextlib.closing(connection):
        connection.request("GET" if body is None else "POST", path, body=body, headers={"Accept-Encoding": "gzip"})
        with connection.getresponse() as response:
            yield response


def body_of(response: http.client.HTTPResponse) -> bytes:
    body = response.read()
    return zlib.decompress(body, GZIP) if response.getheader("Content-Encoding") == "gzip" else body


def patiently(port: int, path: str, *, tls: bool, body: bytes | None = None) -> bytes:
    """Make a request again when the proxy resets it: every third is."""
    with contextlib.suppress(ConnectionError), request_of(port, path, tls=tls, body=body) as response:
        return body_of(response)
    with request_of(port, path, tls=tls, body=body) as response:
        return body_of(response)


class Events:
    """The events of a stream, read by a thread as they come."""

    def __init__(self, port: int, path: str, *, tls: bool) -> None:
        self._arrived: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._read, args=(port, path, tls), daemon=True)
        self._thread.start()

    def _read(self, port: int, path: str, tls: bool) -> None:
        try:
            with request_of(port, path, tls=tls) as response:
                self._split(response)
        except (OSError, http.client.HTTPException) as error:
            self._arrived.put(repr(error))
        self._arrived.put(None)

    def _split(self, response: http.client.HTTPResponse) -> None:
        zipped = response.getheader("Content-Encoding") == "gzip"
        decode = zlib.decompressobj(GZIP).decompress if zipped else bytes
        text = b""
        while block := response.read1():
            *events, text = (text + decode(block)).split(b"\n\n")
            for event in events:
                self._arrived.put(event.decode())

    def next(self) -> str | None:
        """Wait for the next event; None is the end."""
        return self._arrived.get(timeout=PATIENCE_SECONDS)

    def none_comes(self) -> bool:
        try:
            self._arrived.get(timeout=HELD_SECONDS)
        except queue.Empty:
            return True
        return False

    def join(self) -> None:
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive()


def step(origin_port: int, key: str) -> None:
    with request_of(origin_port, f"/step/{key}", body=b"") as response:
        assert response.status == 200


def test_a_request_passes(proxied: tuple[Proxy, int]) -> None:
    proxy, port = proxied
    assert patiently(port, "/hello", tls=proxy.tls) == b"hello"


def test_a_body_passes(proxied: tuple[Proxy, int]) -> None:
    proxy, port = proxied
    body = b"x" * 100_000
    assert patiently(port, "/echo", tls=proxy.tls, body=body) == body


@pytest.mark.parametrize("asking", [False, True], ids=["plain", "asking"])
def test_a_stream_arrives_as_its_row_says(proxied: tuple[Proxy, int], origin_port: int, asking: bool) -> None:
    proxy, port = proxied
    if proxy is PROXIES["resets_every_third"]:
        use_up_until_reset(port)
    key = f"stream-{next(keys)}"
    pace = proxy.stream_asking if asking else proxy.stream
    events = Events(port, f"/stream/{key}{'?asking' if asking else ''}", tls=proxy.tls)
    arrived = []
    for number in range(EVENTS):
        if pace == "at once":
            arrived.append(events.next())
        elif number == (EVENTS - 1 if pace == "late" else 0):
            assert events.none_comes()  # Although the server has written it.
        step(origin_port, key)
        if pace == "one behind":
            arrived.append(events.next())
    while (event := events.next()) is not None:
        arrived.append(event)
    events.join()
    assert arrived == [f"data: {number}" for number in range(EVENTS)]


def test_a_websocket_fares_as_its_row_says(proxied: tuple[Proxy, int]) -> None:
    proxy, port = proxied
    if proxy is PROXIES["resets_every_third"]:
        use_up_until_reset(port)
    url = f"{'wss' if proxy.tls else 'ws'}://127.0.0.1:{port}/echo"
    context = ssl._create_unverified_context() if proxy.tls else None
    if proxy.websocket == "passes":
        with connect(url, ssl=context, proxy=None, open_timeout=PATIENCE_SECONDS) as websocket:
            websocket.send("over here")
            assert websocket.recv(timeout=PATIENCE_SECONDS) == "over here"
    elif proxy.websocket == "refused":
        with pytest.raises(InvalidStatus), connect(url, ssl=context, proxy=None, open_timeout=PATIENCE_SECONDS):
            pass
    else:
        with pytest.raises(TimeoutError), connect(url, ssl=context, proxy=None, open_timeout=HELD_SECONDS):
            pass


def use_up_until_reset(port: int) -> None:
    """Make requests until one is reset, so that the next two pass."""
    for _ in range(3):
        try:
            with request_of(port, "/hello") as response:
                response.read()
        except ConnectionError:
            return
    raise AssertionError("three requests, and none was reset")


def test_every_other_reset_comes_after_the_server_has_answered(origin_port: int) -> None:
    seen, unseen = f"seen-{next(keys)}", f"unseen-{next(keys)}"
    with PROXIES["resets_every_third"].start(origin_port) as port:
        for path in ["/hello", "/hello", f"/report/{unseen}", "/hello", "/hello", f"/report/{seen}?told=yes"]:
            with (
                pytest.raises(ConnectionError) if "report" in path else contextlib.nullcontext(),
                request_of(port, path, body=b"") as response,
            ):
                assert response.read() == b"hello"
    with request_of(origin_port, f"/reports/{seen}") as response:
        assert json.load(response) == {"told": "yes"}
    with request_of(origin_port, f"/reports/{unseen}?patience_seconds=0") as response:
        assert json.load(response) is None


def test_idle_connections_are_cut(origin_port: int) -> None:
    with (
        PROXIES["cuts_idle"].start(origin_port) as port,
        connect(f"ws://127.0.0.1:{port}/echo", proxy=None, ping_interval=None, open_timeout=PATIENCE_SECONDS) as websocket,
    ):
        started = time.monotonic()
        with pytest.raises(WebSocketException):
            websocket.recv(timeout=PATIENCE_SECONDS)
        assert time.monotonic() - started >= 1.5


def test_a_missing_program_names_the_installer() -> None:
    with pytest.raises(MissingProgram, match=r"no-such-program is not installed: run \.ci/install-system"):
        find_program("no-such-program")


def test_a_server_that_ends_at_once_says_why() -> None:
    with (
        pytest.raises(DidNotStart, match="what it wrote"),
        listening(lambda port, folder: ["/bin/sh", "-c", "echo what it wrote; exit 1"]),
    ):
        pass


def test_a_process_group_is_ended_with_its_block(tmp_path: Path) -> None:
    with foreground(["/bin/sh", "-c", "sleep 60 & echo $! > child; wait"], folder=tmp_path) as process:
        child = tmp_path / "child"
        limit = time.monotonic() + PATIENCE_SECONDS
        while not (child.exists() and child.read_text().strip()) and time.monotonic() < limit:
            time.sleep(0.01)
        assert process.running
    assert state_of(int(child.read_text())) in {"gone", "Z"}


def state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except FileNotFoundError:
        return "gone"
