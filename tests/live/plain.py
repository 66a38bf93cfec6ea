"""What a browser has of its own: `EventSource` and `WebSocket`, with nothing of ours on top."""

from __future__ import annotations

import socket
from collections import deque
from types import TracebackType
from typing import NamedTuple
from urllib.parse import urlencode

from tests.live.clients import Refusal, await_readable
from tests.live.http import Body, Frames, Handshake, Head, connect, request
from tests.live.server import LIMIT_SECONDS, Server


class Event(NamedTuple):
    """What `EventSource` dispatches (WHATWG HTML §9.2.6)."""

    type: str
    data: str
    last_event_id: str


class EventSource:
    """Reads events and remembers the last id. `reconnect` does what a browser does when the connection is lost."""

    def __init__(self, server: Server, cookie: str | None = None, **query: str | int) -> None:
        self.server = server
        self.cookie = cookie
        self.query = query
        self.last_event_id = ""
        self.head: Head | None = None
        self.ended = False
        self._sock: socket.socket | None = None

    def __enter__(self) -> EventSource:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.drop()

    def open(self) -> Head:
        """Connect, and wait for the head of the response."""
        self._events: deque[Event] = deque()
        self._body, self._text = Body(), b""
        headers = {"Accept": "text/event-stream"}
        if self.last_event_id:
            headers["Last-Event-ID"] = self.last_event_id
        if self.cookie is not None:
            headers["Cookie"] = self.cookie
        self._sock = connect(self.server.port)
        self._sock.sendall(request("GET", "/comet?" + urlencode(self.query), headers))
        while self._body.head is None:
            self._read(LIMIT_SECONDS)
        self.head = self._body.head
        if self.head.status not in (200, 204):
            raise Refusal(self.head, self._text)
        return self.head

    def reconnect(self) -> Head:
        self.drop()
        return self.open()

    def event(self, limit: float = LIMIT_SECONDS) -> Event:
        """Return the next event; an id without data only moves `last_event_id`."""
        while not self._events:
            assert not self._body.ended, "the server ended the stream"
            self._read(limit)
        return self._events.popleft()

    def await_last_event_id(self, wanted: str) -> None:
        while self.last_event_id != wanted:
            self._read(LIMIT_SECONDS)

    def await_end(self) -> None:
        while not self._body.ended:
            self._read(LIMIT_SECONDS)

    def drop(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def _read(self, limit: float) -> None:
        assert self._sock is not None
        if not await_readable([self._sock], limit):
            raise TimeoutError(f"no event within {limit} s")
        *blocks, self._text = (self._text + self._body.feed(self._sock.recv(65536))).split(b"\n\n")
        for block in blocks:
            fields = [line.partition(": ")[::2] for line in block.decode().split("\n")]
            data = [value for name, value in fields if name == "data"]
            kinds = [value for name, value in fields if name == "event"]
            ids = [value for name, value in fields if name == "id"]
            self.last_event_id = ids[-1] if ids else self.last_event_id
            if data:
                self._events.append(Event(kinds[-1] if kinds else "message", "\n".join(data), self.last_event_id))


class PlainWebSocket:
    """`new WebSocket(url, subprotocols)`."""

    def __init__(self, server: Server, *subprotocols: str, cookie: str | None = None, **query: str | int) -> None:
        self._handshake = Handshake(subprotocols)
        headers = self._handshake.headers if cookie is None else self._handshake.headers | {"Cookie": cookie}
        self._body = Body()
        self._frames = Frames()
        self._messages: deque[str | bytes] = deque()
        self._sock = connect(server.port)
        self._sock.sendall(request("GET", "/comet?" + urlencode(query), headers))
        early = b""
        while self._body.head is None:
            early = self._body.feed(self._sock.recv(65536))
        self.head = self._body.head
        if self.head.status != 101:
            self._sock.close()
            raise Refusal(self.head, early)
        self._handshake.check(self.head)
        self._take(early)

    def __enter__(self) -> PlainWebSocket:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._sock.close()

    def send(self, message: str | bytes) -> None:
        frame = self._frames.text(message) if isinstance(message, str) else self._frames.binary(message)
        self._sock.sendall(frame)

    def receive(self, limit: float = LIMIT_SECONDS) -> str | bytes:
        while not self._messages:
            assert self._frames.close is None, self._frames.close
            self._read(limit)
        return self._messages.popleft()

    def await_close(self) -> tuple[int, str]:
        """Return the code and the reason with which the server closes; no message may come before it."""
        while self._frames.close is None:
            self._read(LIMIT_SECONDS)
        assert not self._messages, self._messages
        return self._frames.close

    def _read(self, limit: float) -> None:
        if not await_readable([self._sock], limit):
            raise TimeoutError(f"no message within {limit} s")
        data = self._sock.recv(65536)
        assert data, "the server was gone without a close frame"
        self._take(data)

    def _take(self, data: bytes) -> None:
        if data:
            self._messages.extend(self._frames.feed(data))
            if answer := self._frames.to_send():
                self._sock.sendall(answer)
