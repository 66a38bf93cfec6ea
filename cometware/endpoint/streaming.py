"""WebSockets and streams: the connection is taken from the server and parked."""

from __future__ import annotations

from collections.abc import Iterable
from email.utils import formatdate

from cometware.core import framing
from cometware.core.events import Close
from cometware.core.negotiation import NotNegotiable, Transport
from cometware.dialects import shapes
from cometware.dialects.base import Shape
from cometware.endpoint.answers import close_of, nothing, query_of
from cometware.endpoint.exchange import Exchange
from cometware.errors import Refused
from cometware.roster.base import State
from cometware.transports.connection import Connection
from cometware.transports.opening import Admission, greet, kept
from cometware.transports.pump import missed
from cometware.transports.stream import EventStream, Stream
from cometware.transports.websocket import WebSocket, handshake, websocket_headers

_CONTENT_TYPES = {
    Transport.SSE: "text/event-stream; charset=utf-8",
    Transport.STREAM: "application/x-ndjson; charset=utf-8",
}
_PADDING_BYTES = 2048
"""What old browsers and virus scanners hold back of a stream; sent where `?pad=1` asks for it."""


def websocket(exchange: Exchange) -> Iterable[bytes]:
    """Switch protocols, after the application has agreed."""
    asked, environ, worker = exchange.asked, exchange.environ, exchange.worker
    if not exchange.is_http11:
        raise NotNegotiable(400, "handshake", "a WebSocket handshake needs HTTP/1.1 (RFC 6455 §4.1)")
    path = environ.get("PATH_INFO") or "/"
    status, headers = handshake(path, websocket_headers(environ), exchange.subprotocols, native=asked.native)
    shape = shapes.NATIVE_WEBSOCKET if asked.native else shapes.PLAIN_WEBSOCKET
    try:
        admission = exchange.admit("websocket", shape.dialect.name)
    except Refused as refused:
        if exchange.server.has_upgraded:
            return _refuse_late(exchange, shape, refused)
        raise
    with kept(worker, admission.record):
        head = b"" if exchange.server.has_upgraded else framing.head(status, headers)
        taken = exchange.take()
        connection = WebSocket(worker, taken.sock, shape, admission.record)
        _begin(exchange, connection, admission, head)
    if taken.early and not connection.closed:
        worker.soon(connection.received, taken.early)
    return taken.result


def _refuse_late(exchange: Exchange, shape: Shape, refused: Refused) -> Iterable[bytes]:
    """Refuse a client to whom the server has said 101 already: by the close code that says the same."""
    taken = exchange.take()
    connection = WebSocket(exchange.worker, taken.sock, shape, None)
    connection.park()
    connection.finish_with(close_of(refused))
    return taken.result


def stream(exchange: Exchange) -> Iterable[bytes]:
    """Begin a response that does not end."""
    asked, chunked = exchange.asked, exchange.is_chunked
    if asked.transport is Transport.SSE:
        shape = (shapes.NATIVE_SSE if asked.native else shapes.PLAIN_SSE)[chunked]
    else:
        shape = shapes.NATIVE_STREAM[chunked]
    admission = exchange.admit(asked.transport.value, shape.dialect.name)
    if admission.close is not None and not asked.native:
        return exchange.respond(nothing())  # the one answer after which an EventSource does not come back
    headers = [
        ("Content-Type", _CONTENT_TYPES[asked.transport]),
        ("Transfer-Encoding", "chunked") if chunked else ("Connection", "close"),
        ("Date", formatdate(usegmt=True)),
        ("X-Accel-Buffering", "no"),
        *exchange.headers,
    ]
    start = _start(exchange, admission)
    with kept(exchange.worker, admission.record):
        head = framing.head("200 OK", headers) + (framing.chunk(start) if chunked else start)
        taken = exchange.take()
        kind = EventStream if asked.transport is Transport.SSE else Stream
        connection = kind(exchange.worker, taken.sock, shape, admission.record, chunked=chunked)
        _begin(exchange, connection, admission, head)
    if asked.native:
        exchange.worker.proofs.soon(connection)
    return taken.result


def _start(exchange: Exchange, admission: Admission) -> bytes:
    """Write what a stream begins with, so that some bytes leave with its head: nothing less shows it in a browser."""
    padding = b" " * _PADDING_BYTES if query_of(exchange.environ).get("pad") == "1" else b""
    if exchange.asked.transport is Transport.STREAM:
        return padding + b"\n" if padding else b""
    start = f"retry: {shapes.RETRY_MILLISECONDS}\nid: {admission.position}\n\n".encode()
    return b":" + padding + b"\n\n" + start if padding else start


def _begin(exchange: Exchange, connection: Connection, admission: Admission, head: bytes) -> None:
    """Write head and greeting, then let the connection read on from its position."""
    worker, record = exchange.worker, admission.record
    connection.park()
    start = head + greet(worker, admission, connection.shape, exchange.describe_server())
    if admission.close is not None or record.state is State.ENDED:
        connection.write(start)
        connection.finish_with(admission.close or Close(1000))
        return
    connection.position = admission.position
    if admission.reset is None:
        connection.write(start + missed(worker, connection))
    else:
        connection.write(start)
        connection.reset(admission.reset, admission.position)
    if connection.closed or connection.finishing:
        worker.clients.left_alone(record)
        return
    connection.beat_tick = worker.tick_after(worker.limits.heartbeat_seconds)
    if record.user is not None:
        connection.end_tick = worker.tick_after(worker.limits.reauthorise_seconds)
    worker.clients.attach(connection)
