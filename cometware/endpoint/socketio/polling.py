"""Sessions that poll: their opening, and each GET that waits for what they are owed."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Mapping

import gevent

from cometware.client import Environ
from cometware.core.framing import Frame
from cometware.dialects import engineio
from cometware.dialects.engineio import BAD_REQUEST, SESSION_UNKNOWN
from cometware.dialects.socketio import ROOT
from cometware.endpoint.answers import query_of
from cometware.endpoint.exchange import Exchange
from cometware.endpoint.socketio import owner
from cometware.endpoint.socketio.errors import BadEngineRequest
from cometware.response import Response
from cometware.transports.engine import Engine
from cometware.transports.poll import SCRIPT_TYPE, Poll
from cometware.transports.session import EnginePlan, Session

_RELEASE_SECONDS = 0.1
"""How long polls are held that a client still makes while it changes to its WebSocket."""
_PLAIN_SECONDS = 1.0
"""The same where no poll can be parked."""


def is_text_only(query: Mapping[str, str]) -> bool:
    """Does this client want bytes as text?"""
    return "j" in query or query.get("b64") == "1"


def kept_environ(environ: Environ) -> Environ:
    """Return what of a request may be asked for later, when a namespace is opened: a WSGI environ without its server."""
    kept = {key: value for key, value in environ.items() if isinstance(value, str | int | tuple)}
    return {**kept, "wsgi.input": io.BytesIO(), "wsgi.errors": sys.stderr, "CONTENT_LENGTH": "", "REQUEST_METHOD": "GET"}


def open_polling(exchange: Exchange, engine: Engine, version: int, query: Mapping[str, str]) -> Iterable[bytes]:
    """Begin a session by a poll; version 3 is connected with its opening."""
    session = engine.open(version, kept_environ(exchange.environ), base64=is_text_only(query))
    owner.begin(exchange, session, query)
    upgrades = ("websocket",) if "websocket" in exchange.server.transports and "j" not in query else ()
    first = session.opening(upgrades)
    if version == 3:
        session.namespaces.connect(ROOT, {})  # the client does not ask for it
    return respond(exchange, session.write([first, *session.take_owed()]), query)


def poll(exchange: Exchange, session: Session, query: Mapping[str, str]) -> Iterable[bytes]:
    """Answer a poll at once if there is something to say, else hold it until there is."""
    session.heard = True
    if session.poll is not None:
        session.close("protocol")  # two polls at once; the first is told
        raise BadEngineRequest(BAD_REQUEST, "another poll of this session waits already")
    server = exchange.server
    if "j" in query and not session.base64:
        raise BadEngineRequest(BAD_REQUEST, "a script for a session that did not begin with one: it may owe bytes")
    if session.upgrading:
        return _poll_while_upgrading(exchange, session, query)
    payload = b""
    if server.raw_head is None or not server.can_park:
        payload = session.read()
    if session.closed:
        return farewell(exchange, session.engine, session.sid)
    if payload:
        return respond(exchange, payload, query)
    if not server.can_park:
        gevent.sleep(_PLAIN_SECONDS)
        payload = b"" if session.closed else session.read()
        return respond(exchange, payload or session.write([Frame("6")]), query)
    return _hold(exchange, session, query)


def _poll_while_upgrading(exchange: Exchange, session: Session, query: Mapping[str, str]) -> Iterable[bytes]:
    """Answer at once; and a client that has not seen the WebSocket's answer yet, and asks again, a little later."""
    if session.released:
        gevent.sleep(_RELEASE_SECONDS)
    session.released = True
    return respond(exchange, session.read() or session.write([Frame("6")]), query)


def _hold(exchange: Exchange, session: Session, query: Mapping[str, str]) -> Iterable[bytes]:
    worker, environ, server = exchange.worker, exchange.environ, exchange.server
    has_body = "HTTP_TRANSFER_ENCODING" in environ or environ.get("CONTENT_LENGTH") not in (None, "", "0")
    prefix = "".join([f"{name}: {value}\r\n" for name, value in exchange.headers]).encode("latin-1", "replace")
    keep_alive = exchange.is_http11 and not has_body and environ.get("HTTP_CONNECTION", "").lower() != "close"
    plan = EnginePlan(
        session, prefix, session.ask_tick or worker.tick_after(worker.limits.reauthorise_seconds), query.get("j")
    )
    taken = exchange.take()
    held = Poll(worker, taken.sock, taken.give_back)
    if keep_alive:
        worker.polls.learn(server.raw_head, taken.give_back, plan)
        held.early = taken.early
    held.park()
    session.hold(held, prefix, plan.script, keep_alive=keep_alive)
    return taken.result


def respond(exchange: Exchange, payload: bytes, query: Mapping[str, str]) -> Iterable[bytes]:
    """Answer a GET, as a script if one asked."""
    if "j" in query:
        return exchange.respond(Response(engineio.script(query["j"], payload), content_type=SCRIPT_TYPE))
    response = Response(payload)
    response.headers["Content-Type"] = engineio.content_type(payload)
    return exchange.respond(response)


def farewell(exchange: Exchange, engine: Engine, sid: str) -> Iterable[bytes]:
    """Tell the poll that came behind a session's end that it has ended; anything else, that there is none."""
    payload = engine.farewell(sid) if exchange.environ["REQUEST_METHOD"] == "GET" else None
    if payload is None:
        raise BadEngineRequest(SESSION_UNKNOWN)
    return respond(exchange, payload, query_of(exchange.environ))
