"""One connection of a client, for each transport: opened at a position, it hands out shapes until it breaks.

One thread reads a link; `send`, `interrupt` and `show_life` may come from any other.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

from cometware.core.data import parse, untagged
from cometware.remote.route import Asker, Refusal, Route, as_os_errors, lowered, seconds, shorten, shut

Shape = dict[str, Any]

READ_BYTES = 1 << 16
MARGIN_SECONDS = 10.0
"""How much later than announced a heartbeat may come."""
TICK_SECONDS = 2.0
"""How long a stream's tick may take to prove that nobody holds the stream back."""
MAX_MESSAGE_BYTES = 64 * 1024 * 1024


class Terms(NamedTuple):
    """What a link is asked for. `hold_seconds` is how long a poll may be held."""

    key: str
    after: str | None
    last: int
    hold_seconds: float | None = None


class Link:
    """What all transports share. `before` is how much was accepted when it was asked for."""

    name: ClassVar[str]
    is_stream: ClassVar[bool] = False
    is_duplex: ClassVar[bool] = False

    def __init__(self, route: Route, terms: Terms, before: int) -> None:
        self.route = route
        self.terms = terms
        self.before = before
        self.heartbeat_seconds = 20.0
        self.began = time.monotonic()
        self.pause_seconds = 0.0
        self.useful = False
        self._early: deque[list[Shape]] = deque()

    def open(self, patience: float) -> None:
        """Connect, and wait for the first shapes: `receive` returns them first.

        Raises:
            Refusal: The server answered with another status.
            OSError: There is no connection, or nothing came for `patience` seconds.
        """
        raise NotImplementedError

    def receive(self) -> list[Shape]:
        """Wait for the next shapes; all of them came together.

        Raises:
            OSError: The connection is lost; a TimeoutError, if it was silent for longer than its heartbeat allows.
        """
        return self._early.popleft() if self._early else self._receive()

    def _receive(self) -> list[Shape]:
        raise NotImplementedError

    def _greeted(self, shapes: list[Shape]) -> None:
        self._early.append(shapes)
        self.heartbeat_seconds = shapes[0].get("open", {}).get("heartbeat", self.heartbeat_seconds)

    @property
    def silence_seconds(self) -> float:
        return self.heartbeat_seconds + MARGIN_SECONDS

    def prove(self) -> None:
        """Wait until it is sure that what is sent arrives at once.

        Raises:
            OSError: It is lost, or it does not.
        """

    def send(self, text: str) -> None:
        """Send one shape; only where `is_duplex`."""
        raise NotImplementedError

    def show_life(self) -> None:
        """Say something, though we do not read just now."""

    def interrupt(self) -> None:
        """Make `receive` fail, from another thread."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of the connection, without a word."""
        raise NotImplementedError


class WebSocketLink(Link):
    """Both ways on one socket (RFC 6455)."""

    name = "websocket"
    is_duplex = True

    def open(self, patience: float) -> None:
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._pending: deque[bytes] = deque()
        self._parts: list[bytes] = []
        target = self.route.query(v=1, after=self.terms.after, last=self.terms.last or None)
        self._protocol = ClientProtocol(parse_uri(self.route.websocket_url(target)), max_size=MAX_MESSAGE_BYTES)
        self._sock = self.route.socket(patience)
        try:
            self._sock.settimeout(patience)
            request = self._protocol.connect()
            for name, value in (self.route.headers | {"Comet-Key": self.terms.key}).items():
                if name in request.headers:
                    del request.headers[name]
                request.headers[name] = value
            self._protocol.send_request(request)
            self._pending.extend(self._protocol.data_to_send())
            self._flush()
            shapes: list[Shape] = []
            while not shapes:
                shapes = self._receive()
            self._greeted(shapes)
            self._sock.settimeout(self.silence_seconds)
        except BaseException:
            self._sock.close()
            raise

    def _receive(self) -> list[Shape]:
        data = self._sock.recv(READ_BYTES)
        with self._lock:
            if data:
                self._protocol.receive_data(data)
            else:
                self._protocol.receive_eof()
            events = self._protocol.events_received()
            self._pending.extend(self._protocol.data_to_send())
        failure = self._protocol.handshake_exc
        if isinstance(failure, InvalidStatus):
            response = failure.response
            raise Refusal(response.status_code, lowered(response.headers.raw_items()), bytes(response.body or b""))
        if failure is not None:
            raise ConnectionError(f"no WebSocket: {shorten(str(failure))}")
        if self._pending:
            self._flush()
        shapes = [shape for event in events if isinstance(event, Frame) for shape in self._heard(event)]
        if not shapes:
            self._check_end(data)
        return shapes

    def _check_end(self, data: bytes) -> None:
        close = self._protocol.close_rcvd
        if close is not None:
            raise ConnectionError(f"the server closed the WebSocket with {close.code}: {close.reason}")
        if self._protocol.parser_exc is not None:
            raise ConnectionError(f"this is no WebSocket: {shorten(str(self._protocol.parser_exc))}")
        if not data:
            raise ConnectionError("the connection was cut")

    def _heard(self, frame: Frame) -> list[Shape]:
        if frame.opcode is Opcode.CLOSE:
            close = self._protocol.close_rcvd
            if close is not None and 4400 <= close.code < 4500:
                return [{"close": {"code": close.code, "reason": close.reason}}]
            return []
        if frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return []
        self._parts.append(bytes(frame.data))
        if not frame.fin:
            return []
        text = b"".join(self._parts)
        self._parts = []
        return [read(text)]

    def _flush(self) -> None:
        """Write what is pending. Whoever writes already takes ours, too: so a reader never waits for a writer."""
        while self._pending:
            if not self._writing.acquire(blocking=False):
                return
            try:
                while self._pending:
                    data = self._pending.popleft()
                    if data:
                        self._sock.sendall(data)
            finally:
                self._writing.release()

    def send(self, text: str) -> None:
        with self._lock:
            self._protocol.send_text(text.encode())
            self._pending.extend(self._protocol.data_to_send())
        self._flush()

    def show_life(self) -> None:
        self.send('{"ping":1}')

    def interrupt(self) -> None:
        shut(self._sock)

    def close(self) -> None:
        self._sock.close()


class _ResponseLink(Link):
    """One response that does not end. It has to prove that nobody holds it back: by a tick soon after its greeting."""

    is_stream = True
    parameters: ClassVar[Mapping[str, object]]

    def open(self, patience: float) -> None:
        self._asker = Asker(self.route, self.route.headers | {"Comet-Key": self.terms.key})
        self._rest = b""
        self._proven = False
        terms = self.terms
        try:
            path = self.route.query(**self.parameters, last=terms.last or None, after=terms.after)
            self._response = self._asker.begin("GET", path, patience)
            if self._response.status != 200:
                with as_os_errors():
                    headers = lowered(self._response.getheaders())
                    raise Refusal(self._response.status, headers, self._response.read(READ_BYTES))
            shapes: list[Shape] = []
            while not shapes:
                shapes = self._read()
            self._greeted(shapes)
            self._greeted_at = time.monotonic()
            self._asker.patience(TICK_SECONDS)
        except BaseException:
            self._asker.close()
            raise

    def _read(self) -> list[Shape]:
        with as_os_errors():
            data = self._response.read1(READ_BYTES)
        if not data:
            raise ConnectionError("the response ended")
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [read(text) for text in map(self.shape_of, lines) if text]

    def shape_of(self, line: bytes) -> bytes:
        """Return the shape that a line holds; b"", if none."""
        raise NotImplementedError

    def _receive(self) -> list[Shape]:
        if self._proven:
            return self._read()
        try:
            shapes = self._read()
        except TimeoutError:
            raise ConnectionError(f"somebody holds the stream back: no tick for {TICK_SECONDS:.0f} s") from None
        if shapes and time.monotonic() - self._greeted_at > 0.05:  # not in one piece with the greeting
            self._proven = True
            self._asker.patience(self.silence_seconds)
        return shapes

    def prove(self) -> None:
        while not self._proven:
            self._early.append(self._receive())

    def interrupt(self) -> None:
        self._asker.interrupt()

    def close(self) -> None:
        self._asker.interrupt()
        self._asker.close()


class StreamLink(_ResponseLink):
    """One JSON object a line."""

    name = "stream"
    parameters = {"transport": "stream"}

    def shape_of(self, line: bytes) -> bytes:
        return line.strip()


class EventLink(_ResponseLink):
    """Server-Sent Events whose data are shapes, each on one line."""

    name = "sse"
    parameters = {"transport": "sse", "v": 1}

    def shape_of(self, line: bytes) -> bytes:
        return line[5:].strip() if line.startswith(b"data:") else b""


class PollLink(Link):
    """One request after the other, each held until there is something."""

    name = "poll"

    def open(self, patience: float) -> None:
        self._asker = Asker(self.route, self.route.headers | {"Comet-Key": self.terms.key})
        self._after = self.terms.after
        self._ended = threading.Event()
        try:
            self._greeted(self._ask(patience, accepted=1, wait=0, last=self.terms.last or None))
        except BaseException:
            self._asker.close()
            raise

    def _receive(self) -> list[Shape]:
        pause, self.pause_seconds = self.pause_seconds, 0.0
        if pause and self._ended.wait(pause):
            raise ConnectionAbortedError("interrupted")
        return self._ask(self.silence_seconds, wait=self.terms.hold_seconds)

    def _ask(self, patience: float, **parameters: object) -> list[Shape]:
        path = self.route.query(transport="poll", **parameters, after=self._after)
        answer = self._asker.ask("GET", path, patience)
        if answer.status != 200:
            raise Refusal(answer.status, answer.headers, answer.body)
        shapes = read_all(answer.body)
        for shape in shapes:
            at = shape.get("id") or shape.get("ping") or (shape.get("reset") or shape.get("open") or {}).get("position")
            self._after = at or self._after
        self.pause_seconds = seconds(answer.headers.get("retry-after"))
        return shapes

    def interrupt(self) -> None:
        self._ended.set()
        self._asker.interrupt()

    def close(self) -> None:
        self.interrupt()
        self._asker.close()


LINKS: dict[str, type[Link]] = {link.name: link for link in (WebSocketLink, StreamLink, EventLink, PollLink)}


def read(text: bytes) -> Shape:
    """Read one shape.

    Raises:
        ConnectionError: It is none, so whoever sent it is no channel.
    """
    return _checked(text, [_parse(text)])[0]


def read_all(text: bytes) -> list[Shape]:
    """Read an array of shapes, at least one. Raises as `read`."""
    shapes = _parse(text)
    return _checked(text, shapes if isinstance(shapes, list) and shapes else [None])


def _parse(text: bytes) -> Any:
    try:
        return parse(text.decode())
    except (ValueError, RecursionError) as error:
        raise ConnectionError(f"no channel: expected JSON, got {shorten(repr(text[:100]))}: {error}") from None


def _checked(text: bytes, shapes: list[Any]) -> list[Shape]:
    if not all(isinstance(shape, dict) for shape in shapes):
        raise ConnectionError(f"no channel: expected shapes, got {shorten(repr(text[:100]))}")
    if b'"$' in text:
        for shape in shapes:
            if "data" in shape:
                shape["data"] = untagged(shape["data"])
    return shapes
