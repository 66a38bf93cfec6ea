"""What a connection has sent and nobody has read yet. Every wait has a limit, and nobody who sends much holds the loop."""

from __future__ import annotations

import io
from time import monotonic
from typing import Any

import gevent

from cometware.core.request import BadHead, check_beginning
from cometware.transports.turns import turns_here

PIECE_BYTES = 16 * 1024
"""What is taken from a socket at once."""
_FREE_WORKS = 2
"""A connection that was waited for may do so much in that round, whatever others do: a head, and a small body behind it."""
_SKIPPED_BYTES = 64 * 1024


class Incoming(io.BufferedIOBase):
    """The reading side of a connection, in the place of `socket.makefile`. One greenlet reads at a time."""

    def __init__(self, sock: Any, data: bytes = b"") -> None:
        self._sock = sock
        self._data = data
        self._loop = gevent.get_hub().loop
        self._round = -1
        self._works = 0

    def readable(self) -> bool:
        return True

    # The head of a request

    def wait(self, seconds: float) -> bool:
        """Wait until something is there, and for a turn. Has it come in time?"""
        if not self._data:
            try:
                self._data = self.receive(seconds, PIECE_BYTES)
            except TimeoutError:
                return False
        self.take_turn()
        return bool(self._data)

    def take_turn(self) -> None:
        """Let others come first, if this connection has had what each may have in a round, and the round's turn is over."""
        now = self._loop.iteration
        if now != self._round:
            self._round, self._works = now, 1
            return
        self._works += 1
        if self._works > _FREE_WORKS:
            turns = turns_here()
            if turns.is_over():
                turns.give_way()
                self._round = self._loop.iteration

    def take_head(self, seconds: float, max_line_bytes: int, max_bytes: int) -> bytes:
        """Take one request's head, its empty line included; one empty line before it is passed over (RFC 9112 §2.2).

        Raises:
            BadHead: It is too long, can be none, or the connection has ended in the middle of it.
            TimeoutError: It took longer than this.
        """
        deadline, data, seen, is_first_line = monotonic() + seconds, self._data, 0, True
        while True:
            if is_first_line and data.startswith(b"\r\n"):
                data, seen, is_first_line = data[2:], 0, False
            end = data.find(b"\r\n\r\n", max(0, seen - 3))
            if end >= 0:
                break
            check_beginning(data, seen)
            _check_size(data, max_line_bytes, max_bytes)
            seen = len(data)
            more = self.receive(deadline - monotonic(), PIECE_BYTES)
            if not more:
                raise BadHead("the connection ended in the middle of a head")
            data += more
        end += 4
        self._data = data[end:]
        head = data[:end]
        _check_size(head, max_line_bytes, max_bytes)
        return head

    # The socket

    def receive(self, seconds: float | None, size: int) -> bytes:
        """Receive from the socket alone, whatever was received before.

        Raises:
            TimeoutError: Nothing came for so long.
        """
        if seconds is not None and seconds <= 0:
            raise TimeoutError
        sock = self._sock
        sock.settimeout(seconds)
        try:
            data: bytes = sock.recv(size)
        finally:
            sock.settimeout(None)
        return data

    def skip(self) -> bool:
        """Receive something that nobody will read; give way like all others. Was there something?"""
        self.take_turn()
        return bool(self.receive(None, _SKIPPED_BYTES))

    def rest(self) -> bytes:
        """Take what was received and not read."""
        data, self._data = self._data, b""
        return data

    def put_back(self, data: bytes) -> None:
        self._data = data + self._data

    # As a file, for WebSockets of the application's own

    def read(self, size: int | None = -1) -> bytes:
        pieces, left = [], -1 if size is None else size
        while left and (piece := self.read1(left)):
            pieces.append(piece)
            left -= len(piece) if left > 0 else 0
        return b"".join(pieces)

    def read1(self, size: int | None = -1) -> bytes:
        data = self.rest() or self.receive(None, PIECE_BYTES)
        if size is not None and 0 <= size < len(data):
            data, self._data = data[:size], data[size:]
        return data

    def peek(self, size: int = 0) -> bytes:
        self._data = self._data or self.receive(None, PIECE_BYTES)
        return self._data


def _check_size(data: bytes, max_line_bytes: int, max_bytes: int) -> None:
    line = data.find(b"\r\n", 0, max_line_bytes + 2)
    if line < 0 and len(data) > max_line_bytes:
        why = f"a request line of more than {max_line_bytes} bytes; see Handler.max_request_line_bytes"
        raise BadHead(why, "414 URI Too Long")
    if len(data) > max_bytes:
        raise BadHead(
            f"a head of more than {max_bytes} bytes; see Handler.max_head_bytes", "431 Request Header Fields Too Large"
        )
