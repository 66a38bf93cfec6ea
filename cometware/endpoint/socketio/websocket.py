"""WebSockets that carry a session: from its beginning, or from an upgrade on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import gevent

from cometware.core import framing
from cometware.core.negotiation import NotNegotiable
from cometware.dialects.engineio import BAD_REQUEST
from cometware.dialects.socketio import ROOT, shape
from cometware.endpoint.exchange import Exchange
from cometware.endpoint.socketio import owner
from cometware.endpoint.socketio.errors import BadEngineRequest
from cometware.endpoint.socketio.polling import is_text_only, kept_environ
from cometware.transports.engine import Engine
from cometware.transports.enginesocket import EngineSocket
from cometware.transports.session import Session
from cometware.transports.websocket import handshake, websocket_headers


def open_websocket(exchange: Exchange, engine: Engine, version: int, query: Mapping[str, str]) -> Iterable[bytes]:
    """Begin a session by a WebSocket."""
    head = _accept(exchange)
    base64 = is_text_only(query)
    session = engine.open(version, kept_environ(exchange.environ), base64=base64)
    owner.begin(exchange, session, query)
    try:
        taken = exchange.take()
        written = shape(ROOT, version, "websocket", base64=base64, offsets=False)
        connection = EngineSocket(exchange.worker, taken.sock, written, session, base64=base64)
        session.socket = connection
        connection.park()
        connection.write(head + session.write([session.opening(())]))
    except BaseException:
        session.close("left")
        raise
    if version == 3:
        gevent.spawn(session.namespaces.connect, ROOT, {})
    if taken.early and not connection.closed:
        exchange.worker.soon(connection.received, taken.early)
    return taken.result


def _accept(exchange: Exchange) -> bytes:
    """Return the 101 that is still to be said."""
    if not exchange.is_http11:
        raise NotNegotiable(400, "handshake", "a WebSocket handshake needs HTTP/1.1 (RFC 6455 §4.1)")
    exchange.check_connections()
    path = exchange.environ.get("PATH_INFO") or "/"
    status, headers = handshake(path, websocket_headers(exchange.environ), (), native=False)
    return b"" if exchange.server.has_upgraded else framing.head(status, headers)


def upgrade(exchange: Exchange, session: Session, query: Mapping[str, str]) -> Iterable[bytes]:
    """Let a WebSocket try to take over."""
    if session.socket is not None or session.probe is not None:
        raise BadEngineRequest(BAD_REQUEST, "this session has a WebSocket already")
    head = _accept(exchange)
    taken = exchange.take()
    base64 = is_text_only(query)
    written = shape(ROOT, session.version, "websocket", base64=base64, offsets=False)
    connection = EngineSocket(exchange.worker, taken.sock, written, session, base64=base64)
    connection.park()
    connection.probe()
    connection.write(head)
    if taken.early and not connection.closed:
        exchange.worker.soon(connection.received, taken.early)
    return taken.result
