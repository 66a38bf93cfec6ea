"""The body of a request, as an application reads it: by its length or in chunks, in time, and in turns."""

from __future__ import annotations

import io
from time import monotonic
from typing import Any, Protocol

from gevent.pywsgi import _InvalidClientInput
from werkzeug.exceptions import BadRequest

from cometware.core.chunks import BadChunk, Chunks
from cometware.limits import Limits
from cometware.servers.incoming import PIECE_BYTES, Incoming

_DISCARDED_BYTES = 4 * 1024 * 1024
"""How much of a body that nobody has read is read, so that the connection can go on."""
_CHUNKED_BYTES = 4096
"""What is decoded at once: a millisecond's work in chunks of one byte."""


class BadBody(_InvalidClientInput, BadRequest):  # type: ignore[misc]
    """The body did not come as it should have; where the next request begins, nobody knows.

    An OSError, which each framework expects of a socket, and for Flask and what else is made of Werkzeug an answer: that it is
    nobody's failure here, and needs no traceback.
    """

    code = 400

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.description = self.why = why
        self.response = None

    @property
    def status(self) -> str:
        return f"{self.code} {self.name}"


class SlowBody(BadBody, TimeoutError):
    """The body did not come in time."""

    code = 408


class Reader(Protocol):
    """Whose body it is. `limits` are those of the channel in front of the application; None, where there is none."""

    rfile: Incoming
    limits: Limits | None

    def say_continue(self) -> None:
        """Tell a client that waits for 100 (Continue) that the body is wanted."""


class NoBody:
    """A request without a body, or whose connection was taken."""

    is_done = True
    is_lost = False
    failed: BadBody | None = None

    def leave(self) -> None: ...

    def _discard(self) -> None: ...


class Body(io.RawIOBase):
    """`length` is that of the body; None, if it comes in chunks. `expects`: its client waits for 100 (Continue).

    A body may take `Limits.body_seconds`, and beyond them as long as it comes, in all, at `body_bytes_per_second`.
    """

    def __init__(self, reader: Reader, length: int | None, *, expects: bool) -> None:
        self.failed: BadBody | None = None
        self._reader = reader
        self._incoming = reader.rfile
        self._chunks = Chunks() if length is None else None
        self._left = length or 0
        self._expects = expects
        self._is_left = False
        self._decoded = b""
        self._began = 0.0
        self._received = 0

    def readable(self) -> bool:
        return True

    @property
    def is_done(self) -> bool:
        """Has the whole of it been read?"""
        return not self._left if self._chunks is None else self._chunks.is_done and not self._decoded

    @property
    def is_lost(self) -> bool:
        """Must the connection end, since it is not known where the next request begins, or whether the body comes at all?"""
        return self.failed is not None or self._expects

    def leave(self) -> None:
        """Let what is unread of it be unread: the connection ends."""
        self._is_left = True

    def readinto(self, buffer: Any) -> int:
        """Wait for more of it.

        Raises:
            BadBody: It is broken, ended early, or comes too slowly.
        """
        if self.failed is not None:
            raise self.failed
        if self.is_done:
            return 0
        try:
            count = self._known(buffer) if self._chunks is None else self._chunked(self._chunks, buffer)
            self._received += count
            return count
        except (BadChunk, ConnectionError) as error:
            self.failed = BadBody(str(error))
        except TimeoutError:
            limits = self._limits
            allowed = f"Limits.body_seconds={limits.body_seconds:g} and body_bytes_per_second={limits.body_bytes_per_second}"
            self.failed = SlowBody(f"a body slower than {allowed}")
        raise self.failed

    def _known(self, buffer: Any) -> int:
        data = self._more(min(len(buffer), self._left))
        buffer[: len(data)] = data
        self._left -= len(data)
        return len(data)

    def _chunked(self, chunks: Chunks, buffer: Any) -> int:
        while not self._decoded and not chunks.is_done:
            data = self._more(_CHUNKED_BYTES)
            self._decoded, read = chunks.decode(data)
            while not read:
                data += self._receive()
                self._decoded, read = chunks.decode(data)
            self._incoming.put_back(data[read:])
        size = min(len(buffer), len(self._decoded))
        buffer[:size] = self._decoded[:size]
        self._decoded = self._decoded[size:]
        return size

    def _more(self, size: int) -> bytes:
        """Take what has come already, or wait for it."""
        if self._expects:
            self._expects = False
            self._reader.say_continue()
        self._incoming.take_turn()
        data = self._incoming.rest()
        if len(data) > size:
            self._incoming.put_back(data[size:])
            data = data[:size]
        return data or self._receive(size)

    def _receive(self, size: int = PIECE_BYTES) -> bytes:
        limits, now = self._limits, monotonic()
        self._began = self._began or now
        deadline = self._began + limits.body_seconds + self._received / limits.body_bytes_per_second
        data = self._incoming.receive(deadline - now, size)
        if not data:
            raise ConnectionError("the body ended too early")
        return data

    @property
    def _limits(self) -> Limits:
        return self._reader.limits or _DEFAULTS

    def _discard(self) -> None:
        """Read what nobody has read, if that is little: gevent's server calls this behind each request."""
        if self.is_done or self.is_lost or self._is_left:
            return
        buffer, left = bytearray(PIECE_BYTES), _DISCARDED_BYTES
        while left > 0 and (read := self.readinto(buffer)):
            left -= read


_DEFAULTS = Limits()
