"""A native client for each transport, all with one face, and the two plain ones of a browser.

A client's socket is read only while one of its methods runs: who does not call, stalls.
"""

from __future__ import annotations

import json
import re
import secrets
import select
import socket
import ssl
import time
from collections import deque
from collections.abc import Collection
from types import TracebackType
from typing import Any, ClassVar, TypeVar
from urllib.parse import urlencode

from tests.live.http import Body, Frames, Handshake, Head, drop, request
from tests.live.server import LIMIT_SECONDS, Server

Shape = dict[str, Any]
Other = TypeVar("Other", bound="Client")


def new_key() -> str:
    return secrets.token_urlsafe(24)


def await_readable(sockets: Collection[socket.socket], seconds: float) -> list[socket.socket]:
    """Return the sockets that have something to read; none if the time is over."""
    poll = select.poll()
    for sock in sockets:
        poll.register(sock, select.POLLIN)
    pending = [sock for sock in sockets if isinstance(sock, ssl.SSLSocket) and sock.pending()]
    if pending:
        return pending  # what has been decrypted, no poll sees
    ready = {fd for fd, _ in poll.poll(max(0, seconds) * 1000)}
    return [sock for sock in sockets if sock.fileno() in ready]


class Refusal(Exception):
    """The server answered with an error, before anything else."""

    def __init__(self, head: Head, body: bytes) -> None:
        super().__init__(head.status, body)
        self.status = head.status
        self.headers = head.headers
        self.body = body


class Ended(Exception):
    """There is nothing left to receive: the server has ended this connection."""


class Client:
    """One connection of a native client.

    `query` goes into the URL. `receive` returns what the channel says (entries, replies, reset, reconnect, close) in
    its order; acknowledgements and errors are returned by `answer`, heartbeats by `heartbeat`. `position` is that of
    the last shape which was received.
    """

    transport: ClassVar[str]
    root: ClassVar[str] = "/comet"
    """Where the channel is."""
    holds: ClassVar[bool] = True
    """Does the server hold its requests?"""
    receive_buffer = 0
    """Bytes that the kernel keeps for us and that we read at once; 0: as many as usual."""

    def __init__(
        self,
        server: Server,
        *,
        key: str | None = None,
        after: str | None = None,
        cookie: str | None = None,
        **query: Any,
    ) -> None:
        self.server = server
        self.key = key or new_key()
        self.cookie = cookie
        self.position = after
        self.greeting: Shape = {}
        self.query = query
        self.ended = False
        self._greetings: deque[Shape] = deque()
        self._shapes: deque[Shape] = deque()
        self._answers: deque[Shape] = deque()
        self._heartbeats: deque[Shape] = deque()
        self._sock: socket.socket | None = None
        self._posts: dict[socket.socket, Body] = {}

    def __enter__(self: Other) -> Other:
        self.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.drop()

    @property
    def id(self) -> str:
        return str(self.greeting["client"])

    # The face

    def open(self) -> Shape:
        """Connect and return the greeting.

        Raises:
            Refusal: The server does not want us.
        """
        self.begin()
        return self.greet()

    def begin(self) -> None:
        """Send the request, and wait for nothing."""
        raise NotImplementedError

    def greet(self) -> Shape:
        """Wait for what `begin` asked for."""
        self._fill(self._greetings, LIMIT_SECONDS)
        self._greetings.popleft()
        self.position = self.greeting["position"]
        return self.greeting

    def receive(self, limit: float = LIMIT_SECONDS) -> Shape:
        """Return the next shape.

        Raises:
            Ended: The server has ended the connection.
            TimeoutError: There was none within the limit.
        """
        self._fill(self._shapes, limit)
        shape = self._shapes.popleft()
        self.position = shape.get("id") or shape.get("reset", {}).get("position") or self.position
        return shape

    def answer(self, limit: float = LIMIT_SECONDS) -> Shape:
        """Return the next acknowledgement or error."""
        self._fill(self._answers, limit)
        return self._answers.popleft()

    def acknowledged(self, number: int, limit: float = LIMIT_SECONDS) -> Shape:
        """Wait until a number is accepted; WebSocket may unite the acknowledgements of several."""
        while True:
            answer = self.answer(limit)
            if answer.get("accepted") is None or answer["accepted"] >= number:
                return answer

    def heartbeat(self, limit: float = LIMIT_SECONDS) -> Shape:
        self._fill(self._heartbeats, limit)
        return self._heartbeats.popleft()

    def data(self, count: int) -> list[Any]:
        """Return the data of the next entries."""
        return [self.receive()["data"] for _ in range(count)]

    def waiting(self, limit: int) -> list[Shape]:
        """Return at most so many shapes that are here already, without waiting for more."""
        found: list[Shape] = []
        try:
            while len(found) < limit:
                found.append(self.receive(0))
        except (TimeoutError, Ended):
            pass
        return found

    def send(self, data: Any, *, event: str | None = None, n: int | None = None, reply: bool | None = None) -> None:
        """Send one message; nothing is awaited."""
        options = {"n": n, "event": event, "data": data, "reply": reply}
        self.send_shape({name: value for name, value in options.items() if name == "data" or value is not None})

    def send_shape(self, shape: Any) -> None:
        """Send by POST, each time on a connection of its own."""
        sock = self.server.connect()
        headers = self.headers | {"Content-Type": "application/json"}
        self._mark = new_key()
        sock.sendall(request("POST", f"{self.root}?mark={self._mark}", headers, json.dumps(shape).encode()))
        self._posts[sock] = Body()

    def arrived(self) -> None:
        """Wait until the server has what we sent last: POSTs may overtake each other, WebSocket messages may not."""
        self.server.journal(1, kind="asked", mark=self._mark)

    def ask(self, event: str, data: Any, n: int) -> Any:
        """Send a message and return its reply's data; everything that was received before the reply is an error."""
        self.send(data, event=event, n=n, reply=True)
        reply = self.receive()
        assert reply["reply"] == n, reply
        return reply["data"]

    def listen(self) -> None:
        """Be where the server can reach us. A poll asks; the others are there already."""

    def drop(self, *, reset: bool = False) -> None:
        """Be gone without a word, by FIN or RST."""
        for sock in self._posts:
            sock.close()
        self._posts.clear()
        if self._sock is not None:
            drop(self._sock, reset=reset)
            self._sock = None

    def half_close(self) -> None:
        """Send FIN, and keep the socket open to read."""
        assert self._sock is not None
        self._sock.shutdown(socket.SHUT_WR)

    def leave(self) -> None:
        """Say goodbye: this client does not come back."""
        self.send_shape({"close": True})

    def hop(self, other: type[Other], **query: Any) -> Other:
        """Return this client on another transport, not yet open, at the same place."""
        following = other(self.server, key=self.key, after=self.position, cookie=self.cookie, **query)
        following.greeting = self.greeting
        following.receive_buffer = self.receive_buffer
        return following

    # What transports share

    @property
    def headers(self) -> dict[str, str]:
        headers = {"Comet-Key": self.key}
        return headers if self.cookie is None else headers | {"Cookie": self.cookie}

    def target(self, **more: Any) -> str:
        query = dict(self.query) | more
        if self.position is not None:
            query["after"] = self.position
        return f"{self.root}?{urlencode(query)}" if query else self.root

    def take(self, shape: Shape) -> None:
        if "open" in shape:
            self.greeting = shape["open"]
            self._greetings.append(shape)
        elif "ping" in shape:
            self._heartbeats.append(shape)
        elif "accepted" in shape or ("error" in shape and "reply" not in shape):
            self._answers.append(shape)
        else:
            self._shapes.append(shape)

    def received(self, data: bytes) -> None:
        """Take bytes from the receiving socket; b"" is its end."""
        raise NotImplementedError

    def _fill(self, wanted: deque[Shape], limit: float) -> None:
        deadline = time.monotonic() + limit
        while not wanted:
            if self.ended and not self._posts:
                raise Ended
            if not self.ended:
                self.listen()
            sockets = [*self._posts, *([self._sock] if self._sock is not None else [])]
            readable = await_readable(sockets, deadline - time.monotonic())
            if not readable:
                raise TimeoutError(f"{type(self).__name__}: nothing within {limit} s")
            for sock in readable:
                self._read(sock)

    def _read(self, sock: socket.socket) -> None:
        try:
            data = sock.recv(self.receive_buffer or 1 << 18)
        except ConnectionError:
            data = b""
        if sock is self._sock:
            self.received(data)
            return
        body = self._posts[sock]
        content = body.feed(data)
        assert content == b"" or body.ended, "an answer to a POST is small"
        if body.ended:
            del self._posts[sock]
            sock.close()
            self.take(json.loads(content))


class WebSocket(Client):
    """Messages both ways on one socket. `close_code` is what the server's close frame said."""

    transport = "websocket"
    close_code: tuple[int, str] | None = None

    def begin(self) -> None:
        self._handshake = Handshake([] if self.server.says_101 else ["cometware.v1", f"key.{self.key}"])
        headers = self._handshake.headers if self.cookie is None else self._handshake.headers | {"Cookie": self.cookie}
        self._body = Body()
        self.frames: Frames | None = None
        self._sock = self.server.connect(receive_buffer=self.receive_buffer)
        self._sock.sendall(request("GET", self.target(), headers))

    def target(self, **more: Any) -> str:
        return super().target(**more, v=1, key=self.key) if self.server.says_101 else super().target(**more)

    def received(self, data: bytes) -> None:
        if self.frames is None:
            data = self._body.feed(data)
            head = self._body.head
            if head is None:
                assert not self._body.ended, "the server left within its head"
                return
            if head.status != 101:
                if self._body.ended:
                    raise Refusal(head, data)
                return
            self._handshake.check(head)
            chosen = None if self.server.says_101 else "cometware.v1"
            assert head.headers.get("sec-websocket-protocol") == chosen
            self.frames = Frames()
            if not data:
                return
        for message in self.frames.feed(data):
            self.take(json.loads(message))
        if answer := self.frames.to_send():
            try:
                assert self._sock is not None
                self._sock.sendall(answer)
            except ConnectionError:
                pass
        self.close_code = self.frames.close
        self.ended = self.ended or not data or self.close_code is not None
        if self.server.says_101 and self.close_code is not None and self.close_code[0] in (4401, 4403) and not self.greeting:
            raise Refusal(Head(self.close_code[0], {}), self.close_code[1].encode())

    def send_shape(self, shape: Any) -> None:
        assert self._sock is not None and self.frames is not None
        self._sock.sendall(self.frames.text(json.dumps(shape)))

    def arrived(self) -> None:
        pass


class _Response(Client):
    """What comes in one HTTP response, or in one after the other."""

    accept: ClassVar[str]
    content_type = ""
    """Of the answer; what was asked for, unless told."""

    @property
    def asking_headers(self) -> dict[str, str]:
        return self.headers

    def begin(self) -> None:
        self._sock = self.server.connect(receive_buffer=self.receive_buffer)
        self._ask()

    @property
    def head(self) -> Head:
        """The head of the last response."""
        assert self._body.head is not None
        return self._body.head

    def _ask(self) -> None:
        assert self._sock is not None
        self._body = Body()
        self._text = b""
        self._sock.sendall(request("GET", self.target(), self.asking_headers | {"Accept": self.accept}))

    def received(self, data: bytes) -> None:
        self._text += self._body.feed(data)
        head = self._body.head
        if head is None:
            assert not self._body.ended, "the server left within its head"
        elif head.status >= 400:
            if self._body.ended:
                raise Refusal(head, self._text)
        else:
            assert head.status == 200, head
            assert head.headers["content-type"].partition(";")[0] == (self.content_type or self.accept)
            self.body_received(head)

    def body_received(self, head: Head) -> None:
        raise NotImplementedError


class EventStream(_Response):
    """Server-Sent Events whose data lines are native."""

    transport = "sse"
    accept = "text/event-stream"

    def target(self, **more: Any) -> str:
        return super().target(v=1, **more)

    def body_received(self, head: Head) -> None:
        *events, self._text = self._text.split(b"\n\n")
        for event in events:
            fields = [line.partition(b": ")[::2] for line in event.split(b"\n")]
            shape = b"\n".join(value for name, value in fields if name == b"data")
            if shape:
                position = dict(fields).get(b"id", b"").decode()
                decoded = json.loads(shape)
                assert decoded.get("id", position) == position
                self.take(decoded)
        self.ended = self._body.ended


class Stream(_Response):
    """One JSON object a line."""

    transport = "stream"
    accept = "application/x-ndjson"

    def body_received(self, head: Head) -> None:
        *lines, self._text = self._text.split(b"\n")
        for line in lines:
            self.take(json.loads(line))
        self.ended = self._body.ended


class LongPoll(_Response):
    """Follows `Link: <…>; rel="next"` and needs to know nothing else."""

    transport = "poll"
    accept = "application/json"
    wait: float | None = None
    _link = ""
    _asking = False

    def target(self, **more: Any) -> str:
        if self._link:
            return self.root + self._link
        return super().target(**more) if self.wait is None else super().target(wait=self.wait, **more)

    def open(self) -> Shape:
        """A poll that resumes is not greeted, and waits for no answer."""
        self.begin()
        return self.greet() if self.position is None else {}

    def begin(self) -> None:
        super().begin()
        self._asking = True

    def listen(self) -> None:
        if not self._asking:
            if self._sock is None:
                self._sock = self.server.connect(receive_buffer=self.receive_buffer)
            self._asking = True
            self._ask()

    def body_received(self, head: Head) -> None:
        if not self._body.ended:
            return
        self._asking = False
        if head.is_last and self._sock is not None:
            self._sock.close()
            self._sock = None
        link = re.fullmatch(r'<(\?\S*after=\w+-\d+)>; rel="next"', head.headers["link"])
        assert link is not None, head.headers["link"]
        self._link = link[1]
        for shape in json.loads(self._text):
            self.take(shape)
            self.ended = self.ended or "close" in shape


class PlainPoll(LongPoll):
    """Asks at intervals, and is always answered at once."""

    wait = 0
    holds = False
    interval_seconds = 0.01

    def listen(self) -> None:
        if not self._asking:
            time.sleep(self.interval_seconds)
        super().listen()


class Jsonp(LongPoll):
    """A long poll as a script: no header but a browser's, and an error is a shape which tells the status."""

    accept = "*/*"
    content_type = "text/javascript"

    @property
    def asking_headers(self) -> dict[str, str]:
        return {"Sec-Fetch-Site": "same-origin"} | ({} if self.cookie is None else {"Cookie": self.cookie})

    def target(self, **more: Any) -> str:
        return super().target() + "&callback=hear" if self._link else super().target(key=self.key, callback="hear", **more)

    def body_received(self, head: Head) -> None:
        if not self._body.ended:
            return
        script = re.fullmatch(rb"/\*\*/hear\((.*)\);", self._text, re.DOTALL)
        assert script is not None, self._text
        self._text = script[1]
        first = json.loads(self._text)[0]
        if "status" in first.get("error", {}):
            raise Refusal(Head(first["error"]["status"], {}), json.dumps(first).encode())
        super().body_received(head)


TRANSPORTS: tuple[type[Client], ...] = (WebSocket, EventStream, Stream, LongPoll, PlainPoll)
