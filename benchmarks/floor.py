"""The floor: a bare epoll server that does one `send` for each message and client, and nothing else.

No product is faster than this without joining messages: there is no roster, no log, no check, no time-out, no queue. It is
Python, so that what is left of a ratio is our own doing; the same loop in C takes 0.3 to 1.0 µs less of each delivery.
`/sse` is an event stream, `/poll` a long poll whose answer links to the next one, `/` a plain page. A WebSocket message
that begins with `E` goes back to its sender, any other to everybody.
"""

from __future__ import annotations

import base64
import hashlib
import re
import select
import socket
from collections import deque
from collections.abc import Callable

Send = Callable[[bytes], int]

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY = re.compile(rb"Sec-WebSocket-Key: (\S+)\r\n", re.IGNORECASE)
_AFTER = re.compile(rb"after=(\d+)")


class Floor:
    """One thread, one epoll. A client that does not read would end it: the load never has that much in flight."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._epoll.register(self._listening, select.EPOLLIN)
        self._sockets: dict[int, socket.socket] = {}
        self._unread: dict[int, bytes] = {}
        self._websockets: dict[int, Send] = {}
        self._streams: dict[int, Send] = {}
        self._polls: dict[int, Send] = {}
        self._buffer = memoryview(bytearray(65536))
        self._position = 0
        self._answers: deque[bytes] = deque(maxlen=1024)

    def run(self) -> None:
        """Say where, and serve until the process is ended."""
        print("floor on http://127.0.0.1:{1}".format(*self._listening.getsockname()), flush=True)
        listening = self._listening.fileno()
        while True:
            for fd, _ in self._epoll.poll():
                if fd == listening:
                    self._accept()
                else:
                    self._receive(fd)

    def _accept(self) -> None:
        sock, _ = self._listening.accept()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sockets[sock.fileno()] = sock
        self._epoll.register(sock, select.EPOLLIN)

    def _receive(self, fd: int) -> None:
        try:
            data = self._buffer[: self._sockets[fd].recv_into(self._buffer)].tobytes()
        except ConnectionError:
            data = b""
        if not data:
            self._drop(fd)
            return
        if fd in self._unread:
            data = self._unread.pop(fd) + data
        rest = self._frames(fd, data) if fd in self._websockets else self._request(fd, data)
        if rest and fd in self._sockets:
            self._unread[fd] = rest

    def _drop(self, fd: int) -> None:
        for known in (self._websockets, self._streams, self._polls, self._unread):
            known.pop(fd, None)
        self._sockets.pop(fd).close()

    def _request(self, fd: int, data: bytes) -> bytes:
        """Answer one GET; return what does not make a whole one."""
        if not data.endswith(b"\r\n\r\n"):
            return data
        send = self._sockets[fd].send
        if data.startswith(b"GET /poll"):
            self._poll(fd, send, _AFTER.search(data))
        elif data.startswith(b"GET /sse"):
            send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            self._streams[fd] = send
        elif found := _KEY.search(data):
            accept = base64.b64encode(hashlib.sha1(found[1] + _GUID).digest())
            head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            send(b"%bSec-WebSocket-Accept: %b\r\n\r\n" % (head, accept))
            self._websockets[fd] = send
        else:
            send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
        return b""

    def _poll(self, fd: int, send: Send, after: re.Match[bytes] | None) -> None:
        if after is None:
            send(_answer(self._position, b"[]"))
        elif (position := int(after[1])) == self._position:
            self._polls[fd] = send
        else:
            send(self._answers[position - self._position])

    def _frames(self, fd: int, data: bytes) -> bytes:
        """Take whole masked frames (RFC 6455 §5.2) of less than 64 KiB; return the rest."""
        while len(data) >= 6:
            size, start = data[1] & 127, 6
            if size == 126:
                size, start = int.from_bytes(data[2:4], "big"), 8
            end = start + size
            if len(data) < end:
                break
            mask = (data[start - 4 : start] * (size // 4 + 1))[:size]
            body = (int.from_bytes(data[start:end], "big") ^ int.from_bytes(mask, "big")).to_bytes(size, "big")
            if body.startswith(b"E"):
                self._websockets[fd](_frame(body))
            else:
                self._publish(body)
            data = data[end:]
        return data

    def _publish(self, body: bytes) -> None:
        self._position += 1
        frame = _frame(body)
        for send in self._websockets.values():
            send(frame)
        chunk = b"%x\r\ndata: %b\n\n\r\n" % (len(body) + 8, body)
        for send in self._streams.values():
            send(chunk)
        answer = _answer(self._position, b'["%b"]' % body)
        self._answers.append(answer)
        polls, self._polls = self._polls, {}
        for send in polls.values():
            send(answer)


def _frame(body: bytes) -> bytes:
    return (bytes([0x81, len(body)]) if len(body) < 126 else b"\x81\x7e" + len(body).to_bytes(2, "big")) + body


def _answer(position: int, body: bytes) -> bytes:
    head = b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\nLink: <?after=%d>; rel="next"\r\n\r\n%b'
    return head % (len(body), position, body)


if __name__ == "__main__":
    Floor().run()
