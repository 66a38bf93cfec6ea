"""SockJS's connections that carry more than one frame: WebSockets, and responses that end when they have carried enough."""

from __future__ import annotations

from collections.abc import Iterable
from email.utils import formatdate

from cometware.core import framing
from cometware.core.events import Close
from cometware.core.negotiation import NotNegotiable
from cometware.dialects import shapes, sockjs
from cometware.dialects.sockjs import SOCKJS
from cometware.endpoint.answers import close_of
from cometware.endpoint.exchange import Exchange
from cometware.endpoint.sockjs.answers import NO_CACHE, drain_body
from cometware.endpoint.sockjs.opening import OPENED, admit, begin, pick_up
from cometware.errors import Refused
from cometware.response import NOSNIFF
from cometware.transports.connection import Connection
from cometware.transports.opening import kept
from cometware.transports.sockjs import SCRIPT_TYPE, SockJSStream, SockJSWebSocket
from cometware.transports.websocket import handshake, websocket_headers

STREAMS = {
    "xhr_streaming": (shapes.SOCKJS_XHR_STREAMING, SCRIPT_TYPE),
    "eventsource": (shapes.SOCKJS_EVENTSOURCE, "text/event-stream"),
    "htmlfile": (shapes.SOCKJS_HTMLFILE, "text/html; charset=UTF-8"),
}


def websocket(exchange: Exchange) -> Iterable[bytes]:
    """Switch protocols, after the application has agreed. Such a session lives as long as its connection."""
    environ, worker = exchange.environ, exchange.worker
    if not exchange.is_http11:
        raise NotNegotiable(400, "handshake", "a WebSocket handshake needs HTTP/1.1 (RFC 6455 §4.1)")
    path = environ.get("PATH_INFO") or "/"
    status, headers = handshake(path, websocket_headers(environ), exchange.subprotocols, native=False)
    try:
        admission = exchange.admit("websocket", SOCKJS.name)
    except Refused as refused:
        if exchange.server.has_upgraded:
            return _refuse_late(exchange, refused)
        raise
    with kept(worker, admission.record):
        taken = exchange.take()
        connection = SockJSWebSocket(worker, taken.sock, admission.record)
        head = b"" if exchange.server.has_upgraded else framing.head(status, headers)
        begin(connection, admission, head, admission.position)
    if taken.early and not connection.closed:
        worker.soon(connection.received, taken.early)
    return taken.result


def _refuse_late(exchange: Exchange, refused: Refused) -> Iterable[bytes]:
    """Refuse a client to whom the server has said 101 already."""
    taken = exchange.take()
    connection = SockJSWebSocket(exchange.worker, taken.sock, None)
    connection.park()
    close = close_of(refused)
    connection.write(connection.shape.write(SOCKJS.close(close)))
    connection.finish_with(close)
    return taken.result


def stream(exchange: Exchange, transport: str, function: str) -> Iterable[bytes]:
    """Begin a response that ends when it has carried enough."""
    shapes_of, content_type = STREAMS[transport]
    shape, server, chunked = shapes_of[exchange.is_chunked], exchange.server, exchange.is_chunked
    if "stream" not in server.transports:
        raise NotNegotiable(501, "server", f"{transport} is off under this server: {server.why}")
    if not server.can_park:
        raise NotNegotiable(503, "busy", f"this server holds as many requests as it may: {server.why}")
    drain_body(exchange)
    admission = admit(exchange, "sse" if transport == "eventsource" else "stream")
    headers = [
        ("Content-Type", content_type),
        ("Transfer-Encoding", "chunked") if chunked else ("Connection", "close"),
        *([("Connection", "close")] if chunked else []),
        ("Date", formatdate(usegmt=True)),
        ("X-Accel-Buffering", "no"),
        NO_CACHE,
        NOSNIFF,
        *exchange.cors,
    ]
    prelude = {"xhr_streaming": sockjs.PRELUDE, "eventsource": b"\r\n"}.get(transport) or sockjs.htmlfile_page(function)
    head = framing.head("200 OK", headers) + (framing.chunk(prelude) if chunked else prelude)
    position = None if isinstance(admission, Close) else pick_up(exchange, admission)
    if isinstance(admission, Close) or (position is None and admission.close is None):
        close = admission if isinstance(admission, Close) else sockjs.INTERRUPTED
        body = shape.write(SOCKJS.close(close)) + (framing.LAST_CHUNK if chunked else b"")
        taken = exchange.take()
        told = Connection(exchange.worker, taken.sock, shape, None)
        told.park()
        told.write(head + body)
        told.finish()
        return taken.result
    with kept(exchange.worker, admission.record):
        taken = exchange.take()
        record = admission.record
        connection = SockJSStream(exchange.worker, taken.sock, shape, record, chunked=chunked)
        begin(connection, admission, head, position or admission.position)
    if admission.opened:
        connection.carried(len(shape.write(OPENED)))
    return taken.result
