"""Every way in which the channel writes: a dialect on a transport. Connections with the same shape share their bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from cometware.core import framing
from cometware.core.framing import Frame
from cometware.dialects import sockjs
from cometware.dialects.base import Dialect, Shape
from cometware.dialects.native import NATIVE
from cometware.dialects.plain import PLAIN, RETRY_MILLISECONDS


def _chunked(write: Callable[[Iterable[Frame]], bytes]) -> Callable[[Iterable[Frame]], bytes]:
    return lambda frames: framing.chunk(write(frames))


def _both(name: str, dialect: Dialect, write: Callable[[Iterable[Frame]], bytes]) -> dict[bool, Shape]:
    """Shapes of an endless response: chunked, and as it is (HTTP/1.0)."""
    return {True: Shape(name, dialect, _chunked(write)), False: Shape(name, dialect, write)}


__all__ = [
    "NATIVE_POLL",
    "NATIVE_SSE",
    "NATIVE_STREAM",
    "NATIVE_WEBSOCKET",
    "PLAIN_SSE",
    "PLAIN_WEBSOCKET",
    "RETRY_MILLISECONDS",
    "SOCKJS_EVENTSOURCE",
    "SOCKJS_HTMLFILE",
    "SOCKJS_WEBSOCKET",
    "SOCKJS_XHR",
    "SOCKJS_XHR_STREAMING",
]

NATIVE_WEBSOCKET = Shape("websocket", NATIVE, framing.websocket)
PLAIN_WEBSOCKET = Shape("websocket", PLAIN, framing.websocket)
NATIVE_STREAM = _both("stream", NATIVE, framing.lines)
NATIVE_SSE = _both("sse", NATIVE, framing.sse)
PLAIN_SSE = _both("sse", PLAIN, framing.sse)
NATIVE_POLL = Shape("poll", NATIVE, framing.array)
SOCKJS_WEBSOCKET = Shape("websocket", sockjs.SOCKJS, framing.websocket)
SOCKJS_XHR_STREAMING = _both("stream", sockjs.SOCKJS, framing.lines)
SOCKJS_EVENTSOURCE = _both("sse", sockjs.SOCKJS, sockjs.event_stream)
SOCKJS_HTMLFILE = _both("htmlfile", sockjs.SOCKJS, sockjs.script_blocks)
SOCKJS_XHR = Shape("poll", sockjs.SOCKJS, framing.lines)
