"""Engine.IO 3 and 4: packets and payloads, to and from what WebSockets and HTTP bodies carry. Functions without a state.

A frame's body is a packet: text with its type's digit in front, or the bytes of a message. What is read of a peer either is
a packet or raises `BadFrame`.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from cometware.core import framing
from cometware.core.framing import BINARY, TEXT, Frame, utf8, websocket_frame
from cometware.core.text import shown
from cometware.dialects.base import ANY_NUMBER, check_number
from cometware.errors import BadFrame

OPEN, CLOSE, PING, PONG, MESSAGE, UPGRADE, NOOP = range(7)

TRANSPORT_UNKNOWN = 0
SESSION_UNKNOWN = 1
BAD_METHOD = 2
BAD_REQUEST = 3
FORBIDDEN = 4
UNSUPPORTED_VERSION = 5

ERRORS = {
    TRANSPORT_UNKNOWN: "Transport unknown",
    SESSION_UNKNOWN: "Session ID unknown",
    BAD_METHOD: "Bad handshake method",
    BAD_REQUEST: "Bad request",
    FORBIDDEN: "Forbidden",
    UNSUPPORTED_VERSION: "Unsupported protocol version",
}
"""What the body of a refused request says, by its code; 403 for `FORBIDDEN`, else 400."""

TEXT_TYPE = "text/plain; charset=UTF-8"
BINARY_TYPE = "application/octet-stream"
"""Clients of version 3 compare these to the letter."""

_SEPARATOR = "\x1e"
_BESIDE = 11
"""Packets of a payload for each message that it may hold: a message and ten attachments."""
_DIGITS = 10
"""Digits of a length; more are nonsense."""


class Packet(NamedTuple):
    """One packet: `data` is bytes only in a binary message."""

    type: int
    data: str | bytes = ""


def opening(sid: str, upgrades: Iterable[str], interval_seconds: float, timeout_seconds: float, max_bytes: int) -> str:
    """Write the packet that opens a session."""
    return "0" + json.dumps(
        {
            "sid": sid,
            "upgrades": list(upgrades),
            "pingInterval": round(1000 * interval_seconds),
            "pingTimeout": round(1000 * timeout_seconds),
            "maxPayload": max_bytes,
        },
        separators=(",", ":"),
    )


# Reading


def read_packet(body: str | bytes, version: int) -> Packet:
    """Read what one WebSocket frame carries, or one piece of a text payload.

    Raises:
        BadFrame: It is no packet of this version.
    """
    if isinstance(body, bytes):
        return Packet(MESSAGE, body) if version == 4 else _typed(body)
    first = body[:1]
    if first == "b":
        if version == 4:
            return Packet(MESSAGE, _from_base64(body[1:]))
        if body[1:2] not in _TYPES:
            raise _bad(f"expected a type from 0 to 6 behind b, got {shown(body, 40)}")
        return Packet(int(body[1]), _from_base64(body[2:]))
    if not first or first not in _TYPES:
        raise _bad(f"expected a type from 0 to 6, got {shown(body, 40)!r}")
    return Packet(int(first), body[1:])


_TYPES = frozenset("0123456")


class Payload:
    """The packets of an HTTP body, which can be counted before any is read."""

    def __init__(self, body: bytes, version: int, *, binary: bool = False, most: int = ANY_NUMBER) -> None:
        """`binary` is version 3's other way to write one.

        Raises:
            BadFrame: It holds more than `most` messages (`many`), or more other packets than these may have attachments.
        """
        self._version = version
        self._pieces: list[str | bytes] = []
        self._error: BadFrame | None = None
        self.count = 0
        try:
            for piece in _cut_binary(body) if binary else _cut(_text(body), version):
                self.count += piece[:1] == "4"
                check_number(self.count, most)
                check_number(len(self._pieces) // _BESIDE, most)
                self._pieces.append(piece)
        except BadFrame as error:
            if error.code == "many":
                raise
            self._error = error

    def __iter__(self) -> Iterator[Packet]:
        """Read the packets, one after the other.

        Raises:
            BadFrame: Here it is no payload any more; the packets before it were good.
        """
        for piece in self._pieces:
            yield read_packet(piece, self._version)
        if self._error is not None:
            raise self._error


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise _bad(f"a payload that is not UTF-8: {error.reason} at byte {error.start}") from None


def _cut(text: str, version: int) -> Iterator[str]:
    return _cut_separated(text) if version == 4 else _cut_counted(text.encode("utf-16-le"))


def _cut_separated(text: str) -> Iterator[str]:
    at = 0
    while (end := text.find(_SEPARATOR, at)) >= 0:
        yield text[at:end]
        at = end + 1
    yield text[at:]


_ASTRAL = re.compile("[\U00010000-\U0010ffff]")
_LENGTH = re.compile(f"([0-9]{{1,{_DIGITS}}}):")


def _cut_counted(units: bytes) -> Iterator[str]:
    """Read `<length>:<packet>`…, in UTF-16: JavaScript counts its units, so beyond U+FFFF each character is two."""
    at, size = 0, len(units) // 2
    while at < size or at == 0:
        head = _units(units, at, at + _DIGITS + 10)
        length = _LENGTH.match(head)
        if length is None:
            raise _bad(f"expected a length and a colon, got {shown(head, 40)!r}")
        begin = at + length.end()
        at = begin + int(length[1])
        if at > size:
            raise _bad(f"expected {length[1]} characters, got {size - begin}")
        if at > begin:
            yield _units(units, begin, at)


def _units(units: bytes, begin: int, end: int) -> str:
    return units[2 * begin : 2 * end].decode("utf-16-le", "replace")


def _cut_binary(body: bytes) -> Iterator[str | bytes]:
    at = 0
    while at < len(body) or at == 0:
        end = body.find(b"\xff", at, at + _DIGITS + 2)
        kind, digits = body[at : at + 1], body[at + 1 : end]
        if end < 0 or kind not in (b"\0", b"\1") or not digits or max(digits) > 9:
            raise _bad(f"expected 0 or 1, the digits of a length and ff, got {body[at : at + 12].hex(' ')}")
        size = int("".join(map(str, digits)))
        piece = body[end + 1 : end + 1 + size]
        if len(piece) < size:
            raise _bad(f"expected {size} bytes, got {len(piece)}")
        at = end + 1 + size
        if kind == b"\1":
            yield piece
        elif piece:
            try:
                yield piece.decode()
            except UnicodeDecodeError as error:
                raise _bad(f"a packet that is not UTF-8: {error.reason} at byte {error.start}") from None


def _typed(body: bytes) -> Packet:
    """Read a binary packet of version 3: its first byte is its type."""
    if not body or body[0] > NOOP:
        raise _bad(f"expected a type from 0 to 6, got {body[:4].hex(' ')}")
    return Packet(body[0], body[1:])


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _bad(f"not base64: {error}") from None


def _bad(message: str) -> BadFrame:
    return BadFrame("packet", message)


_ESCAPED = "\udc5c"
"""Half of a surrogate pair, which no form has in it."""


def read_form(field: str) -> bytes:
    """Undo what a JSONP client does to a payload for its form: it writes a newline as `\\n`, and `\\n` as `\\\\n`."""
    text = field.replace("\\\\n", _ESCAPED).replace("\\n", "\n")
    return utf8(text.replace(_ESCAPED, "\\n"))


# Writing


def _websocket(binary: Callable[[bytes], bytes]) -> Callable[[Iterable[Frame]], bytes]:
    def write(frames: Iterable[Frame]) -> bytes:
        return b"".join(
            [
                websocket_frame(TEXT, utf8(body)) if isinstance(body, str) else binary(body)
                for body, _, _ in frames
                if body is not None
            ]
        )

    return write


def _separated(frames: Iterable[Frame]) -> bytes:
    return utf8(_SEPARATOR.join([body if isinstance(body, str) else "b" + _base64(body or b"") for body, _, _ in frames]))


def _counted(frames: Iterable[Frame]) -> bytes:
    return utf8(
        "".join([_with_length(body if isinstance(body, str) else "b4" + _base64(body or b"")) for body, _, _ in frames])
    )


def _with_length(packet: str) -> str:
    return f"{len(packet) + len(_ASTRAL.findall(packet))}:{packet}"


def _counted_or_binary(frames: Iterable[Frame]) -> bytes:
    """Write a payload of version 3 for a client that knows bytes: if there are any, all of it is binary."""
    several = list(frames)
    if all(isinstance(frame.body, str) for frame in several):
        return _counted(several)
    return b"".join([_sized(frame.body or b"") for frame in several])


def _sized(body: str | bytes) -> bytes:
    piece = utf8(body) if isinstance(body, str) else b"\4" + body
    kind = b"\0" if isinstance(body, str) else b"\1"
    return kind + bytes(map(int, str(len(piece)))) + b"\xff" + piece


def _base64(body: bytes) -> str:
    return base64.b64encode(body).decode("ascii")


Write = Callable[[Iterable[Frame]], bytes]

_WRITERS: dict[tuple[int, str, bool], Write] = {
    (4, "websocket", False): framing.websocket,
    (4, "websocket", True): _websocket(lambda body: websocket_frame(TEXT, b"b" + base64.b64encode(body))),
    (3, "websocket", False): _websocket(lambda body: websocket_frame(BINARY, b"\4" + body)),
    (3, "websocket", True): _websocket(lambda body: websocket_frame(TEXT, b"b4" + base64.b64encode(body))),
    (4, "poll", False): _separated,
    (4, "poll", True): _separated,
    (3, "poll", False): _counted_or_binary,
    (3, "poll", True): _counted,
}


def writer(version: int, transport: str, *, base64: bool) -> Write:
    """Return how packets are written: as WebSocket frames, or as the body of a poll's answer."""
    return _WRITERS[version, transport, base64]


def joined(first: bytes, second: bytes, version: int) -> bytes:
    """Unite two payloads of text that were written apart."""
    return first + b"\x1e" + second if version == 4 else first + second


def content_type(payload: bytes) -> str:
    """Return the type of a payload: a binary one begins with a byte that no text has."""
    return BINARY_TYPE if payload[:1] in (b"\0", b"\1") else TEXT_TYPE


def script(index: str, payload: bytes) -> bytes:
    """Write a payload of text as the script that JSONP asks for; of the index, only the digits count."""
    digits = "".join([character for character in index if character in "0123456789"])[:10]
    return framing.script(f"___eio[{digits}]", json.dumps(payload.decode(), ensure_ascii=False).encode())
