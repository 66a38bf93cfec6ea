"""HTTP/1.1 and WebSocket frames on a bare socket, so that a test decides when it reads, and how it leaves."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import socket
import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import CLIENT, OPEN, Protocol

_CHUNK = re.compile(rb"([0-9a-fA-F]+)\r\n")


class Head(NamedTuple):
    """A response's first lines; the names of its headers are in small letters."""

    status: int
    headers: Mapping[str, str]
    version: str = "1.1"

    @property
    def is_last(self) -> bool:
        """Is this the last response on its connection (RFC 9112 §9.3)?"""
        return self.version == "1.0" or self.headers.get("connection", "").lower() == "close"


class Body:
    """Bytes in, bytes of one HTTP response out. `head` is None until all of it is there. No I/O."""

    def __init__(self) -> None:
        self.head: Head | None = None
        self.ended = False
        self._buffer = b""
        self._left: int | None = None

    def feed(self, data: bytes) -> bytes:
        """Return what of these bytes is body; b"" says that the peer has closed its side."""
        if not data:
            assert not self.chunked, "the socket was closed in the middle of a chunked body"
            assert not self._left, f"the socket was closed {self._left} bytes before the end of the body"
            self.ended = True
            return b""
        self._buffer += data
        if self.head is None and not self._read_head():
            return b""
        if self.chunked:
            return self._unchunk()
        body, self._buffer = self._buffer, b""
        if self._left is not None:
            assert len(body) <= self._left, f"bytes behind the end of the response: {body[self._left :]!r}"
            self._left -= len(body)
            self.ended = self._left == 0
        return body

    @property
    def chunked(self) -> bool:
        return not self.ended and self.head is not None and self.head.headers.get("transfer-encoding") == "chunked"

    def _read_head(self) -> bool:
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return False
        status, *lines = head.decode("latin-1").split("\r\n")
        assert status.startswith(("HTTP/1.1 ", "HTTP/1.0 ")), status
        fields = (line.partition(":") for line in lines)
        self.head = Head(int(status[9:12]), {name.lower(): value.strip() for name, _, value in fields}, status[5:8])
        self._buffer = rest
        if "content-length" in self.head.headers:
            self._left = int(self.head.headers["content-length"])
        elif self.head.status in (204, 304):
            self._left = 0
        self.ended = self._left == 0
        return True

    def _unchunk(self) -> bytes:
        body, at = [], 0
        while size := _CHUNK.match(self._buffer, at):
            length, start = int(size[1], 16), size.end()
            if len(self._buffer) < start + length + 2:
                break
            body.append(self._buffer[start : start + length])
            at = start + length + 2
            assert self._buffer[at - 2 : at] == b"\r\n"
            if length == 0:
                self.ended = True
                break
        self._buffer = self._buffer[at:]
        return b"".join(body)


def request(method: str, target: str, headers: Mapping[str, str], body: bytes | None = None) -> bytes:
    """Write a request."""
    fields = {"Host": "127.0.0.1", **headers}
    if body is not None:
        fields["Content-Length"] = str(len(body))
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode() + (body or b"")


def connect(port: int, *, receive_buffer: int = 0) -> socket.socket:
    """Open a socket to the server; a small receive buffer makes a slow reader."""
    sock = socket.socket()
    try:
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(120)
        sock.connect(("127.0.0.1", port))
    except BaseException:
        sock.close()
        raise
    return sock


def drop(sock: socket.socket, *, reset: bool = False) -> None:
    """Leave without a word: with FIN, or with RST."""
    if reset:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class Handshake:
    """A WebSocket's opening (RFC 6455 §4)."""

    def __init__(self, subprotocols: Sequence[str] = ()) -> None:
        self.key = base64.b64encode(os.urandom(16)).decode()
        self.headers = {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": self.key,
            "Sec-WebSocket-Version": "13",
        }
        if subprotocols:
            self.headers["Sec-WebSocket-Protocol"] = ", ".join(subprotocols)

    def check(self, head: Head) -> None:
        accept = hashlib.sha1(self.key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        assert head.headers["sec-websocket-accept"] == base64.b64encode(accept).decode()
        assert head.headers["upgrade"].lower() == "websocket"


class Frames:
    """The WebSocket behind a handshake: bytes in, messages out, and a pong for each ping in `to_send`."""

    def __init__(self) -> None:
        self._protocol = Protocol(CLIENT, state=OPEN, max_size=None)
        self.pings = 0

    def feed(self, data: bytes) -> list[str | bytes]:
        """Return the messages that are complete now."""
        if data:
            self._protocol.receive_data(data)
        else:
            self._protocol.receive_eof()
        messages: list[str | bytes] = []
        for frame in self._protocol.events_received():
            assert isinstance(frame, Frame)
            if frame.opcode is Opcode.TEXT:
                assert frame.fin, "the server writes no fragments"
                messages.append(bytes(frame.data).decode())
            elif frame.opcode is Opcode.BINARY:
                messages.append(bytes(frame.data))
            elif frame.opcode is Opcode.PING:
                self.pings += 1
        assert self._protocol.parser_exc is None, self._protocol.parser_exc
        return messages

    def to_send(self) -> bytes:
        return b"".join(self._protocol.data_to_send())

    def text(self, message: str) -> bytes:
        self._protocol.send_text(message.encode())
        return self.to_send()

    def binary(self, message: bytes) -> bytes:
        self._protocol.send_binary(message)
        return self.to_send()

    def goodbye(self) -> bytes:
        self._protocol.send_close(CloseCode.NORMAL_CLOSURE)
        return self.to_send()

    @property
    def close(self) -> tuple[int, str] | None:
        """What the server's close frame said."""
        received = self._protocol.close_rcvd
        return None if received is None else (int(received.code), received.reason)
