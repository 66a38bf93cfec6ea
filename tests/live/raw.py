"""A socket on which a test writes what it likes, right or wrong, and reads what a server answers, byte by byte."""

from __future__ import annotations

import json
import re
import socket
from typing import Any, NamedTuple

from tests.live.http import connect
from tests.live.server import LIMIT_SECONDS

KEY = "x3JJHMbDL1EzLkh9GBhXDw=="
"""The key of RFC 6455's test vector; its answer is `ACCEPT`."""
ACCEPT = "HSmrc0sMlYUkAGmm5OPpG2HaGWk="
UPGRADE = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": KEY, "Sec-WebSocket-Version": "13"}


class Answer(NamedTuple):
    """One HTTP response; the names of its headers are in small letters."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The code of the error that it tells."""
        return str(self.json["error"]["code"])


class Line:
    """An open socket with what has been read from it. Every wait has a limit."""

    def __init__(self, port: int, sock: socket.socket | None = None) -> None:
        self.sock = connect(port) if sock is None else sock
        self.sock.settimeout(LIMIT_SECONDS)
        self._buffer = b""

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> Line:
        self.sock.sendall(data)
        return self

    def finish(self) -> Line:
        """Say that nothing follows."""
        self.sock.shutdown(socket.SHUT_WR)
        return self

    def read(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._fill()
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def read_until(self, end: bytes) -> bytes:
        while end not in self._buffer:
            self._fill()
        data, _, self._buffer = self._buffer.partition(end)
        return data + end

    def read_to_end(self) -> bytes:
        """Read until the server closes, cleanly or not."""
        while True:
            try:
                data = self.sock.recv(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                rest, self._buffer = self._buffer, b""
                return rest
            self._buffer += data

    def _fill(self) -> None:
        data = self.sock.recv(65536)
        assert data, f"the server closed after {self._buffer!r}"
        self._buffer += data

    # HTTP

    def head(self) -> Answer:
        status, *lines = self.read_until(b"\r\n\r\n").decode("latin-1").rstrip().split("\r\n")
        assert re.match(r"HTTP/1\.[01] \d{3} ", status), status
        fields = (line.partition(":") for line in lines)
        return Answer(int(status.split()[1]), {name.lower(): value.strip() for name, _, value in fields}, b"")

    def answer(self) -> Answer:
        """Read one whole response, by its own length."""
        head = self.head()
        if "content-length" in head.headers:
            return head._replace(body=self.read(int(head.headers["content-length"])))
        if head.headers.get("transfer-encoding") == "chunked":
            return head._replace(body=b"".join(iter(self.chunk, b"")))
        if head.status in (101, 204, 304):
            return head
        return head._replace(body=self.read_to_end())

    def chunk(self) -> bytes:
        size = int(self.read_until(b"\r\n"), 16)
        data = self.read(size)
        assert self.read(2) == b"\r\n"
        return data

    # WebSocket

    def frame(self) -> tuple[int, bytes]:
        """Read one frame; the server's are whole, short of 64 KiB, and not masked."""
        first, size = self.read(2)
        assert first & 0xF0 == 0x80 and size < 127, f"{first:#x} {size}"
        if size == 126:
            size = int.from_bytes(self.read(2), "big")
        return first & 0x0F, self.read(size)

    def close_code(self) -> int:
        """Read the server's close frame, and that the socket ends behind it."""
        opcode, payload = self.frame()
        while opcode != 8:
            opcode, payload = self.frame()
        self.finish()
        assert self.read_to_end() == b""
        return int.from_bytes(payload[:2], "big")


def request(method: str = "GET", target: str = "/comet", body: bytes | None = None, **headers: str) -> bytes:
    """Write a request; `content_type=` becomes `Content-Type:`."""
    fields = {"Host": "127.0.0.1", **{name.replace("_", "-").title(): value for name, value in headers.items()}}
    return head(method, target, fields | ({} if body is None else {"Content-Length": str(len(body))})) + (body or b"")


def head(method: str, target: str, fields: dict[str, str], version: str = "HTTP/1.1") -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} {target} {version}\r\n{lines}\r\n".encode("latin-1")


def ask(port: int, data: bytes) -> Answer:
    """Make one request on a line of its own."""
    with Line(port) as line:
        return line.send(data).answer()


def open_websocket(port: int, target: str = "/comet", **headers: str) -> Line:
    line = Line(port)
    fields = UPGRADE | {name.replace("_", "-").title(): value for name, value in headers.items()}
    answer = line.send(head("GET", target, {"Host": "127.0.0.1"} | fields)).answer()
    assert answer.status == 101, answer
    assert answer.headers["sec-websocket-accept"] == ACCEPT
    return line


MASK = b"\x37\xfa\x21\x3d"


def masked(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    """Write a client's frame (RFC 6455 §5.2)."""
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else b"\xff" + size.to_bytes(8, "big")
    if 126 <= size < 65536:
        length = b"\xfe" + size.to_bytes(2, "big")
    return bytes([0x80 * fin | opcode]) + length + MASK + bytes(b ^ MASK[i % 4] for i, b in enumerate(payload))


def shape(line: Line, wanted: str) -> Any:
    """Read native shapes from a WebSocket until one has this word, and return what it says."""
    while True:
        opcode, payload = line.frame()
        if opcode == 1 and wanted in (told := json.loads(payload)):
            return told[wanted]
