"""How frames become bytes on a transport: WebSocket frames, SSE events, lines, arrays, chunks. Pure functions.

A frame is what a dialect writes: text or bytes, with the name and position that only SSE can show.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Frame(NamedTuple):
    """One piece of a dialect's output. `body` None is an SSE event without data, which only moves `Last-Event-ID`."""

    body: str | bytes | None
    event: str = ""
    id: str = ""


TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA


def websocket_frame(opcode: int, payload: bytes) -> bytes:
    """Write one final, unmasked frame (RFC 6455 §5.2)."""
    size = len(payload)
    if size < 126:
        return bytes((0x80 | opcode, size)) + payload
    if size < 65536:
        return bytes((0x80 | opcode, 126)) + size.to_bytes(2, "big") + payload
    return bytes((0x80 | opcode, 127)) + size.to_bytes(8, "big") + payload


def size_of_frame(data: memoryview) -> int:
    """Return how long the frame is that begins here, its header included; 0, if that is not here yet (RFC 6455 §5.2)."""
    if len(data) < 2:
        return 0
    size, at = data[1] & 0x7F, 2
    if size > 125:
        at = 4 if size == 126 else 10
        if len(data) < at:
            return 0
        size = int.from_bytes(data[2:at], "big")
    return at + size + (4 if data[1] & 0x80 else 0)


def websocket_close(code: int, reason: str) -> bytes:
    """Write a close frame; the reason is cut to the 123 bytes that it may have (RFC 6455 §5.5)."""
    text = reason.encode("utf-8", "replace")[:123].decode("utf-8", "ignore").encode()
    return websocket_frame(CLOSE, code.to_bytes(2, "big") + text)


def websocket(frames: Iterable[Frame]) -> bytes:
    """Write each frame as one WebSocket message: str as text, bytes as binary."""
    return b"".join(
        [
            websocket_frame(TEXT, utf8(body)) if isinstance(body, str) else websocket_frame(BINARY, body)
            for body, _, _ in frames
            if body is not None
        ]
    )


def sse(frames: Iterable[Frame]) -> bytes:
    """Write each frame as one event (WHATWG HTML §9.2): bytes as a `data:` URL, since SSE is text."""
    parts: list[str] = []
    for body, event, position in frames:
        if event:
            parts.append(f"event: {event}\n")
        if position:
            parts.append(f"id: {position}\n")
        if body is not None:
            text = body if isinstance(body, str) else data_url(body)
            if "\r" in text:
                text = text.replace("\r\n", "\n").replace("\r", "\n")
            if "\n" in text:
                text = text.replace("\n", "\ndata: ")
            parts.append(f"data: {text}\n")
        parts.append("\n")
    return utf8("".join(parts))


def data_url(body: bytes) -> str:
    return "data:;base64," + base64.b64encode(body).decode("ascii")


def lines(frames: Iterable[Frame]) -> bytes:
    """Write each frame as one line (ndjson)."""
    return utf8("".join([f"{body!s}\n" for body, _, _ in frames]))


def array(frames: Iterable[Frame]) -> bytes:
    """Write all frames as one JSON array."""
    return utf8("[" + ",".join([str(body) for body, _, _ in frames]) + "]")


def script(callback: str, body: bytes) -> bytes:
    """Write JSON as a script that calls a function with it (JSONP).

    The comment keeps the answer from being anything else, whatever the name (Rosetta Flash). U+2028 and U+2029 end a
    line in the JavaScript of old browsers, though not in JSON.
    """
    literal = body.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")
    return b"/**/%b(%b);" % (callback.encode("ascii"), literal)


def utf8(text: str) -> bytes:
    """Encode text; half of a surrogate pair becomes U+FFFD, as in every browser."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def chunk(body: bytes) -> bytes:
    """Write one chunk of a chunked body (RFC 9112 §7.1)."""
    return b"%x\r\n%b\r\n" % (len(body), body) if body else b""


LAST_CHUNK = b"0\r\n\r\n"


def head(status: str, headers: Sequence[tuple[str, str]]) -> bytes:
    """Write the head of an HTTP/1.1 response, the empty line included."""
    for name, value in headers:
        if "\r" in value or "\n" in value:
            raise ValueError(f"header {name}: a value must not contain a line break")
    fields = "".join([f"{name}: {value}\r\n" for name, value in headers])
    return f"HTTP/1.1 {status}\r\n{fields}\r\n".encode("latin-1", "replace")
