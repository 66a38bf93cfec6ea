"""Many native clients in one loop, that hear numbers and check that each follows the last. They count bytes, not shapes."""

from __future__ import annotations

import re
import selectors
import socket
import time
from collections.abc import Callable, Iterable
from functools import lru_cache

from tests.live.clients import new_key
from tests.live.http import Handshake, connect, drop, request
from tests.live.server import Server

RUN_SECONDS = 240
KINDS = ("websocket", "sse", "stream", "poll")
POLLS = ("poll", "plainpoll", "jsonp")
"""Those that are answered once for each request."""

_QUERIES = {"sse": "v=1", "plainpoll": "wait=0", "jsonp": "callback=hear"}

_ENTRY = re.compile(rb'"id":"\w+-(\d+)","event":"message","data":\[?(\d+)(?:,"x*"\])?\}')
_GREETING = re.compile(rb'"position":"(\w+)-(\d+)"')
_RESET = re.compile(rb'"reset":\{"reason":"(\w+)","position":"(\w+)-(\d+)"')
_LENGTH = re.compile(rb"Content-Length: (\d+)", re.IGNORECASE)


@lru_cache(256)
def _consecutive(data: bytes) -> tuple[int, int, int, int]:
    """Return the first offset and number, how many entries there are, and where the last one ends.

    Cached, since the server sends the same bytes to many.
    """
    found = _ENTRY.findall(data)
    if not found:
        return 0, 0, 0, 0
    offsets, numbers = ([int(entry[index]) for entry in found] for index in (0, 1))
    assert offsets == list(range(offsets[0], offsets[0] + len(found))), offsets
    assert numbers == list(range(numbers[0], numbers[0] + len(found))), numbers
    return offsets[0], numbers[0], len(found), data.rfind(b"}") + 1


class Chunks:
    """Takes the chunked coding off (RFC 9112, 7.1): a proxy under load cuts where it likes, in the middle of an entry too."""

    def __init__(self) -> None:
        self._left = 0
        self._rest = b""

    def take(self, data: bytes) -> bytes:
        data = self._rest + data
        found = []
        while data:
            if not self._left:
                line, end, rest = data.partition(b"\r\n")
                if not end:
                    break
                self._left, data = int(line.partition(b";")[0], 16) + 2, rest  # a line's end is behind each chunk
            part, data = data[: self._left], data[self._left :]
            found.append(part[: max(0, self._left - 2)])
            self._left -= len(part)
        self._rest = data
        return b"".join(found)


class Member:
    """One client, of any transport. `offset` and `number` are those of the last entry; `resets` the reasons told."""

    def __init__(self, crowd: Crowd, kind: str, *, receive_buffer: int = 0) -> None:
        self.crowd = crowd
        self.kind = kind
        self.key = new_key()
        self.receive_buffer = receive_buffer
        self.epoch = ""
        self.offset = 0
        self.number: int | None = None
        self.heard = 0
        self.resets: list[str] = []
        self.connections = 0
        self.sock: socket.socket | None = None

    def connect(self) -> None:
        """Come, or come back to where we were."""
        self.sock = connect(self.crowd.server.port, receive_buffer=self.receive_buffer)
        self._rest = b""
        self._body_bytes: int | None = None
        self._chunks: Chunks | None = None
        self._open = False
        self.connections += 1
        self._ask()
        self.sock.setblocking(False)
        self.crowd.watch(self)

    def drop(self, *, reset: bool = False) -> None:
        if self.sock is not None:
            self.crowd.ignore(self)
            drop(self.sock, reset=reset)
            self.sock = None

    def _ask(self) -> None:
        assert self.sock is not None
        after = f"?after={self.epoch}-{self.offset}" if self.epoch else ""
        if self.kind in _QUERIES:
            after = f"{after}&{_QUERIES[self.kind]}" if after else f"?{_QUERIES[self.kind]}"
        headers = {"Comet-Key": self.key}
        if self.kind == "websocket":
            headers = Handshake(["cometware.v1", f"key.{self.key}"]).headers
        elif self.kind == "sse":
            headers["Accept"] = "text/event-stream"
        elif self.kind == "stream":
            headers["Accept"] = "application/x-ndjson"
        self.sock.sendall(request("GET", f"/comet{after}", headers))

    def on_readable(self) -> None:
        assert self.sock is not None
        try:
            data = self.sock.recv(1 << 16)
        except BlockingIOError:
            return
        assert data, f"the server ended {self}"
        if self._open:
            data = self._rest + self._decoded(data)
        else:
            head, end, data = (self._rest + data).partition(b"\r\n\r\n")
            if not end:
                self._rest = head
                return
            assert head.startswith(b"HTTP/1.1 101 " if self.kind == "websocket" else b"HTTP/1.1 200 "), head
            self._open = True
            if self.kind in POLLS:
                length = _LENGTH.search(head)
                assert length is not None, head
                self._body_bytes = int(length[1])
            self._chunks = Chunks() if b"transfer-encoding: chunked" in head.lower() else None
            data = self._decoded(data)
        if self._body_bytes is not None and len(data) < self._body_bytes:
            self._rest = data
            return
        self._rest = self._hear(data)
        if self._body_bytes is not None:
            assert len(data) == self._body_bytes
            self._rest, self._open = b"", False
            self._ask_again()

    def _ask_again(self) -> None:
        """A poll was answered."""
        self._ask()

    def _decoded(self, data: bytes) -> bytes:
        return data if self._chunks is None else self._chunks.take(data)

    def _hear(self, data: bytes) -> bytes:
        """Take all entries that are complete; return what is behind them."""
        if not self.epoch:
            greeting = _GREETING.search(data)
            if greeting is None:
                return data
            self.epoch, self.offset = greeting[1].decode(), int(greeting[2])
            data = data[greeting.end() :]
        reset = _RESET.search(data)
        if reset is not None:
            self._take(data[: reset.start()])
            self.resets.append(reset[1].decode())
            self.epoch, self.offset, self.number = reset[2].decode(), int(reset[3]), None
            data = data[reset.end() :]
        return data[self._take(data) :]

    def _take(self, data: bytes) -> int:
        """Check that all entries follow; return where the last one ends."""
        offset, number, count, end = _consecutive(data)
        if count:
            assert offset == self.offset + 1, f"{self} heard {offset}"
            assert self.number is None or number == self.number + 1, f"{self} heard {number}"
            self.offset, self.number = offset + count - 1, number + count - 1
            self.heard += count
        return end

    def __repr__(self) -> str:
        return f"<{self.kind} at {self.offset}, connection {self.connections}>"


class Crowd:
    """All members read in one loop; those who are not watched do not read."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.members: list[Member] = []
        self._selector = selectors.DefaultSelector()

    def __enter__(self) -> Crowd:
        return self

    def __exit__(self, *error: object) -> None:
        for member in self.members:
            member.drop()
        self._selector.close()

    def join(self, kinds: Iterable[str], *, receive_buffer: int = 0) -> list[Member]:
        """Let new members connect, and wait until each has been greeted."""
        members = [Member(self, kind, receive_buffer=receive_buffer) for kind in kinds]
        self.members += members
        for member in members:
            member.connect()
        self.run(lambda: all(member.epoch for member in members))
        return members

    def watch(self, member: Member) -> None:
        assert member.sock is not None
        self._selector.register(member.sock, selectors.EVENT_READ, member)

    def ignore(self, member: Member) -> None:
        """Let a member stall: it stays connected and does not read."""
        if member.sock is not None and member.sock in self._selector.get_map():
            self._selector.unregister(member.sock)

    def wake(self, member: Member) -> None:
        """Let a stalled member read again, as much at once as it likes."""
        assert member.sock is not None
        member.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.watch(member)

    def run(self, done: Callable[[], bool], after_reading: Callable[[Member], None] | None = None) -> None:
        """Read until all is done."""
        deadline = time.monotonic() + RUN_SECONDS
        while not done():
            ready = self._selector.select(deadline - time.monotonic())
            assert ready, f"nothing to read, and still waiting: {self.members[:20]}"
            for key, _ in ready:
                key.data.on_readable()
                if after_reading is not None:
                    after_reading(key.data)
