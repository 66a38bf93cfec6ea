"""How the load speaks to a server: one class for each protocol. Each opens its own socket and reads its own bytes.

Technique: most clients of a server are sent the same bytes, so a piece of a stream is parsed once and then looked up.
"""

from __future__ import annotations

import re
import secrets
import socket
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import ClassVar, NamedTuple

TEXT_BYTES = 128
WAIT_SECONDS = 30.0

_TEXT = re.compile(rb"[BE]@(\d{8});")
_BEGUN = re.compile(rb"[BE](?:@\d{0,8})?\Z")
_LENGTH = re.compile(rb"\r\nContent-Length: *(\d+)", re.IGNORECASE)
_NEXT = re.compile(rb'<([^>]*)>; rel="next"')
_MASK = b"\x37\xfa\x21\x3d"
_BUFFER = memoryview(bytearray(65536))
_KNOWN = 4096
"""Pieces and messages that are remembered."""


@lru_cache(_KNOWN)
def text(kind: str, number: int) -> bytes:
    """Write a message: `B` for everybody, `E` for its sender alone."""
    return f"{kind}@{number:08d};".encode().ljust(TEXT_BYTES, b".")


class Piece(NamedTuple):
    """What some bytes held: numbers of messages, what must be answered at once, and the begin of what is not complete."""

    numbers: Sequence[int]
    owed: bytes
    rest: bytes


class Client:
    """One connection. `next` is the number of the message that must come next; the sums tell what went wrong."""

    opening: ClassVar[str] = ""

    __slots__ = ("doubled", "lost", "missing", "next", "reordered", "rest", "sock")
    known: ClassVar[dict[bytes, Piece]]

    def __init_subclass__(cls) -> None:
        cls.known = {}

    def __init__(self, port: int, path: str) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), WAIT_SECONDS)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest = b""
        self.next = 1
        self.lost = self.doubled = self.reordered = 0
        self.missing: set[int] = set()
        self.open(path)
        self.sock.setblocking(False)

    def open(self, path: str) -> None:
        """Shake hands, waiting for each answer."""
        self.ask(path, self.opening)
        self.read_until(b"\r\n\r\n")

    def ask(self, path: str, fields: str = "", method: str = "GET", body: str = "") -> None:
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{fields}\r\n{body}"
        self.sock.send(head.encode())

    def read_until(self, end: bytes) -> bytes:
        while end not in self.rest:
            self.rest += self._more()
        found, _, self.rest = self.rest.partition(end)
        return found + end

    def read(self, size: int) -> bytes:
        while len(self.rest) < size:
            self.rest += self._more()
        found, self.rest = self.rest[:size], self.rest[size:]
        return found

    def _more(self) -> bytes:
        size = self.sock.recv_into(_BUFFER)  # `recv` would allocate and trim 64 KiB each time
        if not size:
            raise ConnectionError(f"{type(self).__name__}: the server closed, after {self.rest[:200]!r}")
        return _BUFFER[:size].tobytes()

    def read_answer(self) -> tuple[bytes, bytes]:
        """Read one HTTP response: its head and its body."""
        head = self.read_until(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not head.startswith(b"HTTP/1.1 200") or length is None:
            raise ConnectionError(f"{type(self).__name__}: got {head[:200]!r}")
        return head, self.read(int(length[1]))

    def arrived(self) -> tuple[bytes, bytes] | None:
        """Return the head and the body of a response if it is there as a whole."""
        data = self.rest + self._more()
        end = data.find(b"\r\n\r\n") + 4
        length = _LENGTH.search(data, 0, end) if end > 3 else None
        if length is None or len(data) < end + int(length[1]):
            self.rest = data
            return None
        self.rest = b""
        if not data.startswith(b"HTTP/1.1 200"):
            raise ConnectionError(f"{type(self).__name__}: got {data[:200]!r}")
        return data[:end], data[end:]

    def piece(self, data: bytes) -> Piece:
        """Parse some bytes, or remember what they were found to be."""
        piece = self.known.get(data)
        if piece is None:
            if len(self.known) >= _KNOWN:
                self.known.clear()
            piece = self.known[data] = self.parse(data)
        return piece

    def on_readable(self) -> None:
        """Take what has arrived, and answer what must be answered."""
        data = self._more()
        piece = self.piece(self.rest + data if self.rest else data)
        self.rest = piece.rest
        if piece.owed:
            self.sock.send(piece.owed)
        if piece.numbers:
            self.count(piece.numbers)

    def parse(self, data: bytes) -> Piece:
        """Read a stream: messages wherever they stand in it."""
        numbers, end = _numbers(data)
        begun = _BEGUN.search(data, end)
        return Piece(numbers, b"", begun[0] if begun else b"")

    def count(self, numbers: Sequence[int]) -> None:
        """See whether each is the next one."""
        if type(numbers) is range and numbers.start == self.next:
            self.next = numbers.stop
            return
        for number in numbers:
            if number == self.next:
                self.next += 1
            elif number > self.next:
                self.missing.update(range(self.next, number))
                self.lost += number - self.next
                self.next = number + 1
            elif number in self.missing:
                self.missing.remove(number)
                self.lost -= 1
                self.reordered += 1
            else:
                self.doubled += 1

    def close(self) -> None:
        self.sock.close()


def _numbers(data: bytes) -> tuple[Sequence[int], int]:
    """Return the numbers in some bytes, as a range if they follow one another, and where the last one ends."""
    end, found = 0, []
    for match in _TEXT.finditer(data):
        found.append(int(match[1]))
        end = match.end()
    if found and found == list(range(found[0], found[-1] + 1)):
        return range(found[0], found[-1] + 1), end
    return found, end


class EventStream(Client):
    """Server-Sent Events."""

    opening = "Accept: text/event-stream\r\n"
    __slots__ = ()


class WebSocket(Client):
    """A WebSocket (RFC 6455) whose messages are plain text."""

    opening = (
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n"
    )
    __slots__ = ()

    def send(self, messages: Sequence[bytes]) -> None:
        data = b"".join([_masked(0x81, self.wrap(message)) for message in messages])
        while data:
            try:
                data = data[self.sock.send(data) :]
            except BlockingIOError:
                self.on_readable()

    def wrap(self, message: bytes) -> bytes:
        """Write a message as this protocol has it."""
        return message

    def parse(self, data: bytes) -> Piece:
        """Read whole frames."""
        numbers: list[int] = []
        owed, at = b"", 0
        while len(data) - at >= 2:
            size, start = data[at + 1], at + 2
            if size == 126:
                size, start = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
            if len(data) < start + size:
                break
            body = data[start : start + size]
            if data[at] == 0x88:
                raise ConnectionError(f"{type(self).__name__}: the server closed: {body!r}")
            if data[at] == 0x89:
                owed += _masked(0x8A, body)
            else:
                owed += self.answer(body)
                numbers += _numbers(body)[0]
            at = start + size
        whole = numbers == list(range(numbers[0], numbers[-1] + 1)) if numbers else False
        return Piece(range(numbers[0], numbers[-1] + 1) if whole else numbers, owed, data[at:])

    def answer(self, body: bytes) -> bytes:
        """Return what this protocol wants to be answered to this message."""
        return b""


@lru_cache(_KNOWN)
def _masked(opcode: int, body: bytes) -> bytes:
    size = len(body)
    head = bytes([opcode, 0x80 | size]) if size < 126 else bytes([opcode, 0xFE]) + size.to_bytes(2, "big")
    mask = (_MASK * (size // 4 + 1))[:size]
    return head + _MASK + (int.from_bytes(body, "big") ^ int.from_bytes(mask, "big")).to_bytes(size, "big")


class SocketIO(WebSocket):
    """Socket.IO 5 on Engine.IO 4 over a WebSocket."""

    __slots__ = ()

    def open(self, path: str) -> None:
        super().open(path)
        for wanted in (b"0{", b"40{"):
            while not self._frame().startswith(wanted):
                pass
            if wanted == b"0{":
                self.sock.send(_masked(0x81, b"40"))

    def _frame(self) -> bytes:
        _, size = self.read(2)
        return self.read(int.from_bytes(self.read(2), "big") if size == 126 else size)

    def wrap(self, message: bytes) -> bytes:
        return b'42["message","%b"]' % message

    def answer(self, body: bytes) -> bytes:
        return _masked(0x81, b"3") if body == b"2" else b""


class Poll(Client):
    """A long poll that follows the link of each answer."""

    __slots__ = ("before",)

    def open(self, path: str) -> None:
        self.before = f"GET {path}".encode()
        self.ask(path)
        self.proceed(*self.read_answer())

    def proceed(self, head: bytes, body: bytes) -> None:
        """Ask again, as this answer says."""
        link = _NEXT.search(head)
        if link is None:
            raise ConnectionError(f"a poll's answer without a link: {head[:400]!r}")
        self.sock.send(b"%b%b HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % (self.before, link[1]))

    def on_readable(self) -> None:
        answer = self.arrived()
        if answer is not None:
            self.proceed(*answer)
            self.count(self.piece(answer[1]).numbers)


class SocketIOPoll(Poll):
    """Socket.IO 5 on Engine.IO 4 over long polls."""

    __slots__ = ()

    def open(self, path: str) -> None:
        self.ask(path)
        sid = re.search(rb'"sid":"([^"]+)"', self.read_answer()[1])
        if sid is None:
            raise ConnectionError("Engine.IO gave no sid")
        self.before = f"{path}&sid={sid[1].decode()}".encode()
        self._post("40")
        body = self.read_answer()[1]
        while not body.startswith(b"40"):
            self.proceed(b"", body)
            body = self.read_answer()[1]
        self.proceed(b"", body)

    def _post(self, body: str) -> None:
        fields = f"Content-Type: text/plain;charset=UTF-8\r\nContent-Length: {len(body)}\r\n"
        self.ask(self.before.decode(), fields, "POST", body)

    def proceed(self, head: bytes, body: bytes) -> None:
        if body == b"2":
            self._post("3")
        else:
            self.sock.send(b"GET %b HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % self.before)


class SockJS(WebSocket):
    """SockJS over a WebSocket."""

    __slots__ = ()

    def open(self, path: str) -> None:
        super().open(path)
        assert self.read(3) == b"\x81\x01o"

    def wrap(self, message: bytes) -> bytes:
        return b'["%b"]' % message


class SockJSPoll(Poll):
    """SockJS over xhr-polling."""

    __slots__ = ()

    def open(self, path: str) -> None:
        self.before = f"{path}/{secrets.token_hex(8)}/xhr".encode()
        self.ask(self.before.decode(), "Content-Length: 0\r\n", "POST")
        self.proceed(*self.read_answer())

    def proceed(self, head: bytes, body: bytes) -> None:
        self.sock.send(b"POST %b HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n" % self.before)


class Visitor(Client):
    """Somebody who looks at a plain page of the application, again and again, on one connection."""

    __slots__ = ("asked", "path", "times", "visiting")

    def open(self, path: str) -> None:
        self.path = path
        self.asked = 0.0
        self.times: list[float] = []
        self.visiting = False
        self.ask(path)
        self.read_answer()

    def visit(self) -> None:
        """Begin, unless an answer is still awaited."""
        self.visiting = True
        if not self.asked:
            self._visit()

    def _visit(self) -> None:
        self.asked = time.perf_counter()
        self.ask(self.path)

    def finish(self) -> list[float]:
        """Stop, and return how many seconds each answer took."""
        times, self.times, self.visiting = self.times, [], False
        return times

    def on_readable(self) -> None:
        if self.arrived() is None:
            return
        self.times.append(time.perf_counter() - self.asked)
        self.asked = 0.0
        if self.visiting:
            self._visit()
