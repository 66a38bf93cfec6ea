"""A body in chunks (RFC 9112 §7.1), read by its grammar and nothing beside it.

llhttp reads chunks, too, but does not tell where a body ends; the tests hold the two to the same verdict.
"""

from __future__ import annotations

import re

from cometware.core.request import TOKEN

_LINE_BYTES = 1024
_EXTRA_BYTES = 16384
"""Bytes of a body's extensions and trailers, which nobody reads."""
_QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})((?:;%b+(?:=(?:%b+|%b))?)*)\r\n" % (TOKEN, TOKEN, _QUOTED))
_TRAILER = re.compile(rb"(%b+):[\t \x21-\x7e\x80-\xff]*\r\n" % TOKEN)
_SIZE_BEGUN = re.compile(rb"[0-9A-Fa-f]{0,15}(?:(?<=.)(?:;[^\n]*|\r))?\Z", re.DOTALL)
_TRAILER_BEGUN = re.compile(rb"(?:\r|%b*|%b+:[^\n]*)\Z" % (TOKEN, TOKEN))
_FRAMING = (b"content-length", b"transfer-encoding", b"host")


class BadChunk(Exception):
    """The body is not what its head says: where it ends, nobody knows."""


class Chunks:
    """`is_done`: the last chunk and its trailers were read."""

    def __init__(self) -> None:
        self.is_done = False
        self._left = 0
        self._is_behind_data = False
        self._is_in_trailers = False
        self._extra = 0

    def decode(self, data: bytes) -> tuple[bytes, int]:
        """Return what these bytes hold of the body, and how many of them were read: the others belong to a line that is
        not complete, or to what follows the body.

        Raises:
            BadChunk: They are no chunks.
        """
        pieces: list[bytes] = []
        at, size = 0, len(data)
        while at < size and not self.is_done:
            if self._left:
                piece = data[at : at + self._left]
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
                self._is_behind_data = not self._left
            elif self._is_behind_data:
                if data[at : at + 2] != b"\r\n":
                    if data[at:] == b"\r":
                        break
                    raise BadChunk("a chunk is longer than its size says")
                at += 2
                self._is_behind_data = False
            elif self._is_in_trailers:
                at, before = self._trailer(data, at), at
                if at == before:
                    break
            else:
                at = self._whole_chunks(data, at, pieces)
                if not self._left and not self._is_in_trailers:
                    break
        return b"".join(pieces), at

    def _whole_chunks(self, data: bytes, at: int, pieces: list[bytes]) -> int:
        """Read chunks that are here as a whole, and the line before the next one; return how far that was."""
        match = _SIZE.match
        while True:
            found = match(data, at)
            if found is None:
                return _incomplete(data, at, _SIZE_BEGUN, "a chunk's size: expected up to 15 hexadecimal digits")
            begin, size = found.end(), int(found[1], 16)
            if found[2]:
                self._spend(len(found[2]))
            end = begin + size
            if not size or data[end : end + 2] != b"\r\n":
                self._left, self._is_in_trailers = size, not size
                return begin
            pieces.append(data[begin:end])
            at = end + 2

    def _trailer(self, data: bytes, at: int) -> int:
        if data[at : at + 2] == b"\r\n":
            self.is_done = True
            return at + 2
        found = _TRAILER.match(data, at)
        if found is None:
            return _incomplete(data, at, _TRAILER_BEGUN, "a trailer: expected NAME: VALUE")
        if found[1].lower() in _FRAMING:
            raise BadChunk("a trailer may not say how the body is framed (RFC 9110 §6.5.1)")
        self._spend(found.end() - at)
        return found.end()

    def _spend(self, count: int) -> None:
        self._extra += count
        if self._extra > _EXTRA_BYTES:
            raise BadChunk(f"more than {_EXTRA_BYTES} bytes of extensions and trailers")


def _incomplete(data: bytes, at: int, begun: re.Pattern[bytes], why: str) -> int:
    """Wait for the rest of a line, if it can become one."""
    if len(data) - at > _LINE_BYTES or begun.match(data, at) is None:
        raise BadChunk(why)
    return at
