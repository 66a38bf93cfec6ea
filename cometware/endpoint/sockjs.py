"""SockJS (protocol 0.3.3) in front of the channel: what each of its URLs answers.

Rule: a session is a client whose key is the session's id, so any worker finds or opens it; what SockJS asks of the server to
remember between two requests is one position in the client's record.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Iterable
from dataclasses import replace
from email.utils import formatdate
from typing import NamedTuple

from werkzeug.http import parse_options_header
from werkzeug.wrappers import Response

from cometware.client import Environ
from cometware.core import framing, keys
from cometware.core.entry import Position
from cometware.core.events import FORBIDDEN, UNAUTHORISED, Close, Received
from cometware.core.negotiation import Asked, NotNegotiable, Transport
from cometware.core.origin import Verdict
from cometware.core.wheel import ticks
from cometware.dialects import shapes, sockjs
from cometware.dialects.base import Shape
from cometware.dialects.sockjs import SOCKJS
from cometware.endpoint.answers import Headers, error_response, query_of, refused_response
from cometware.endpoint.exchange import Exchange, StartResponse
from cometware.endpoint.gate import Gate, refuse, without_credentials
from cometware.endpoint.serve import Endpoint
from cometware.endpoint.streaming import websocket as raw_websocket
from cometware.errors import BadFrame, Gap, Refused
from cometware.roster.base import Record, State
from cometware.transports.clock import TICK_SECONDS
from cometware.transports.connection import Connection
from cometware.transports.opening import Admission, kept
from cometware.transports.sockjs import SCRIPT_TYPE, SockJSPlan, SockJSPoll, SockJSStream, SockJSWebSocket, history_lost
from cometware.transports.upload import Ticket, UploadRefused, read_body
from cometware.transports.websocket import handshake, websocket_headers

_YEAR = 31536000
_NO_CACHE = ("Cache-Control", "no-store, no-cache, no-transform, must-revalidate, max-age=0")
_TEXT = "text/plain; charset=UTF-8"
_HTML = "text/html; charset=UTF-8"
_COOKIE = re.compile(r"(?:^|;\s*)JSESSIONID=(?P<value>[!#-+\--:<-\[\]-~]{1,256})\s*(?:;|\Z)")
_EMPTY_BODY_BYTES = 65536


class Kind(NamedTuple):
    """What a session's URL is: `methods` by which it may be asked, `is_script` if a script tag or a frame asks."""

    methods: tuple[str, ...]
    is_script: bool = False


_POST = Kind(("POST", "OPTIONS"))
_KINDS = {
    "websocket": Kind(("GET",)),
    "xhr": _POST,
    "xhr_send": _POST,
    "xhr_streaming": _POST,
    "eventsource": Kind(("GET",)),
    "htmlfile": Kind(("GET",), is_script=True),
    "jsonp": Kind(("GET",), is_script=True),
    "jsonp_send": Kind(("POST",), is_script=True),
}
_INFO = Kind(("GET", "OPTIONS"))
_STREAMS = {
    "xhr_streaming": (shapes.SOCKJS_XHR_STREAMING, SCRIPT_TYPE),
    "eventsource": (shapes.SOCKJS_EVENTSOURCE, "text/event-stream"),
    "htmlfile": (shapes.SOCKJS_HTMLFILE, _HTML),
}


class SockJSService:
    """Answers below one or several paths. `script_url` is that of the client for its iframe transports, `cookie` whether
    JSESSIONID is set."""

    def __init__(self, endpoint: Endpoint, gate: Gate, script_url: str, *, cookie: bool) -> None:
        self._endpoint = endpoint
        self._gate = gate
        self._cookie = cookie
        self._page = sockjs.iframe_page(script_url) if script_url else b""

    def serve(self, environ: Environ, start_response: StartResponse, path: str) -> Iterable[bytes]:
        """Answer a request to `path`, the part behind the prefix."""
        if path in ("", "/"):
            return _only("GET", environ, Response(sockjs.GREETING, content_type=_TEXT))(environ, start_response)
        if sockjs.is_page(path):
            return _only("GET", environ, self._iframe(environ))(environ, start_response)
        session, transport = sockjs.session(path) or ("", "")
        kind = {"/info": _INFO, "/websocket": _KINDS["websocket"]}.get(path) or _KINDS.get(transport)
        if kind is None:
            return Response(sockjs.explained(path), 404, content_type=_TEXT)(environ, start_response)
        method = environ["REQUEST_METHOD"]
        if method not in kind.methods:
            return _not_allowed(kind.methods)(environ, start_response)
        verdict = self._gate.judge(environ, script=kind.is_script)
        if not verdict.allowed:
            return refuse(verdict, environ)(environ, start_response)
        headers = _cors(verdict, environ) if not kind.is_script else []
        if session and self._cookie and transport != "websocket":
            headers += [("Set-Cookie", f"JSESSIONID={_session_cookie(environ)}; path=/")]
        if method == "OPTIONS":
            return _options(kind.methods, headers)(environ, start_response)
        if verdict.anonymous:
            environ = without_credentials(environ)
        if path == "/info":
            return self._endpoint.serve(environ, start_response, headers, self._info)
        ask = _Ask(session, transport)
        return self._endpoint.serve(environ, start_response, headers, ask.answer)

    def _iframe(self, environ: Environ) -> Response:
        """Give the page that lets a page of another origin use this one's: only those that are allowed to, may frame it."""
        if not self._page:
            return error_response(
                404, "script", "iframe transports are off; Cometware(sockjs_script=…) is the URL of the client"
            )
        response = Response(self._page, content_type=_HTML)
        origins = sorted(self._gate.allowed_origins - {"*"})
        response.headers["Content-Security-Policy"] = " ".join(["frame-ancestors", "'self'", *origins])
        response.headers["Cache-Control"] = f"public, max-age={_YEAR}"
        response.headers["Expires"] = formatdate(time.time() + _YEAR, usegmt=True)
        response.set_etag(hashlib.sha256(self._page).hexdigest()[:32])
        response.make_conditional(environ)
        if response.status_code == 304:
            response.headers.remove("Content-Type")
        return response

    def _info(self, exchange: Exchange) -> Iterable[bytes]:
        can = "websocket" in exchange.server.transports
        body = sockjs.info(websocket=can, cookie=self._cookie, entropy=secrets.randbits(32))
        return _respond(exchange, Response(body, content_type="application/json; charset=UTF-8"))


class _Ask(NamedTuple):
    """One request of a session (or, without one, of a raw WebSocket)."""

    session: str
    transport: str

    def answer(self, exchange: Exchange) -> Iterable[bytes]:
        try:
            if not self.session or self.transport == "websocket":
                return self._websocket(exchange)
            asked = Asked(Transport.POST, native=False, key=sockjs.key_of(self.session))
            exchange = replace(exchange, asked=asked)
            if self.transport in ("xhr_send", "jsonp_send"):
                return _respond(exchange, _send(exchange, is_script=self.transport == "jsonp_send"))
            function = ""
            if self.transport in ("jsonp", "htmlfile"):
                query = query_of(exchange.environ)
                function = sockjs.callback(query.get("c") or query.get("callback", ""))
            if self.transport in _STREAMS:
                return _stream(exchange, self.transport, function)
            return _poll(exchange, function)
        except BadFrame as error:
            return _respond(exchange, Response(error.message, 500, content_type=_TEXT))
        except NotNegotiable as error:
            return _respond(exchange, Response(error.message, error.status, headers=error.headers, content_type=_TEXT))
        except Refused as refused:
            return exchange.respond(refused_response(refused, as_json=False))

    def _websocket(self, exchange: Exchange) -> Iterable[bytes]:
        environ = exchange.environ
        if "websocket" not in exchange.server.transports:
            raise NotNegotiable(404, "server", f"websocket is off under this server: {exchange.server.why}")
        if environ.get("HTTP_UPGRADE", "").lower() != "websocket":
            raise NotNegotiable(400, "handshake", "Not a valid websocket request")
        if "upgrade" not in environ.get("HTTP_CONNECTION", "").lower():
            raise NotNegotiable(400, "handshake", "Not a valid websocket request: expected Connection: Upgrade")
        exchange = replace(exchange, asked=Asked(Transport.WEBSOCKET, native=False))
        return _websocket(exchange) if self.session else raw_websocket(exchange)


# WebSocket


def _websocket(exchange: Exchange) -> Iterable[bytes]:
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
        taken = exchange.server.take(environ)
        connection = SockJSWebSocket(worker, taken.sock, admission.record)
        head = b"" if exchange.server.has_upgraded else framing.head(status, headers)
        _begin(connection, admission, head, admission.position)
    if taken.early and not connection.closed:
        worker.soon(connection.received, taken.early)
    return taken.result


def _refuse_late(exchange: Exchange, refused: Refused) -> Iterable[bytes]:
    """Refuse a client to whom the server has said 101 already."""
    taken = exchange.server.take(exchange.environ)
    connection = SockJSWebSocket(exchange.worker, taken.sock, None)
    connection.park()
    close = _close_of(refused)
    connection.write(connection.shape.write(SOCKJS.close(close)))
    connection.finish_with(close)
    return taken.result


def _close_of(refused: Refused) -> Close:
    return Close(UNAUTHORISED if refused.status == 401 else FORBIDDEN, refused.reason)


def _begin(connection: Connection, admission: Admission, head: bytes, position: Position) -> None:
    """Write head and opening, then let the connection read on from its position."""
    worker, record, shape = connection.worker, admission.record, connection.shape
    connection.park()
    connection.write(head + (shape.write(OPENED) if admission.opened else b""))
    if admission.close is not None or record.state is State.ENDED:
        close = admission.close or Close(1000)
        connection.write(shape.write(SOCKJS.close(close)))
        connection.finish_with(close)
        return
    if connection.closed or connection.finishing:
        worker.clients.left_alone(record)
        return
    connection.position = position
    connection.beat_tick = worker.tick_after(worker.limits.heartbeat_seconds)
    if record.user is not None:
        connection.end_tick = worker.tick_after(worker.limits.reauthorise_seconds)
    worker.clients.attach(connection)


OPENED = [framing.Frame("o")]


# Sessions


def _admit(exchange: Exchange, transport: str) -> Admission | Close:
    """Let a session in, or say why not; it has one connection at a time.

    A refusal is told in SockJS's own words, since a status would only make the client try every other transport.
    """
    try:
        admission = exchange.admit(transport, SOCKJS.name)
        gone = [other for other in admission.record.connections if other.is_gone]
        if gone:
            for other in gone:
                other.lost("left")
            admission = exchange.admit(transport, SOCKJS.name)
    except Refused as refused:
        if refused.status >= 500:
            raise
        return _close_of(refused)
    if admission.record.connections:
        return sockjs.ANOTHER_OPEN
    return admission


def _pick_up(exchange: Exchange, admission: Admission) -> Position | None:
    """Return where a session reads on: None if it has a connection at another worker, or had one that is gone."""
    return admission.position if admission.opened else exchange.worker.roster.pick_up(admission.record)


def _stream(exchange: Exchange, transport: str, function: str) -> Iterable[bytes]:
    """Begin a response that ends when it has carried enough."""
    shapes_of, content_type = _STREAMS[transport]
    shape, server, chunked = shapes_of[exchange.is_chunked], exchange.server, exchange.is_chunked
    if "stream" not in server.transports:
        raise NotNegotiable(501, "server", f"{transport} is off under this server: {server.why}")
    if not server.can_park:
        raise NotNegotiable(503, "busy", f"this server holds as many requests as it may: {server.why}")
    _drain_body(exchange)
    admission = _admit(exchange, "sse" if transport == "eventsource" else "stream")
    headers = [
        ("Content-Type", content_type),
        ("Transfer-Encoding", "chunked") if chunked else ("Connection", "close"),
        *([("Connection", "close")] if chunked else []),
        ("Date", formatdate(usegmt=True)),
        ("X-Accel-Buffering", "no"),
        _NO_CACHE,
        *exchange.cors,
    ]
    prelude = {"xhr_streaming": sockjs.PRELUDE, "eventsource": b"\r\n"}.get(transport) or sockjs.htmlfile_page(function)
    head = framing.head("200 OK", headers) + (framing.chunk(prelude) if chunked else prelude)
    position = None if isinstance(admission, Close) else _pick_up(exchange, admission)
    if isinstance(admission, Close) or (position is None and admission.close is None):
        close = admission if isinstance(admission, Close) else sockjs.INTERRUPTED
        body = shape.write(SOCKJS.close(close)) + (framing.LAST_CHUNK if chunked else b"")
        taken = server.take(exchange.environ)
        told = Connection(exchange.worker, taken.sock, shape, None)
        told.park()
        told.write(head + body)
        told.finish()
        return taken.result
    with kept(exchange.worker, admission.record):
        taken = server.take(exchange.environ)
        record = admission.record
        connection = SockJSStream(exchange.worker, taken.sock, shape, record, chunked=chunked)
        _begin(connection, admission, head, position or admission.position)
    if admission.opened:
        connection.carried(len(shape.write(OPENED)))
    return taken.result


def _poll(exchange: Exchange, function: str) -> Iterable[bytes]:
    """Answer a poll at once if there is something to say, else park it until there is."""
    worker, shape = exchange.worker, shapes.SOCKJS_XHR
    if not exchange.server.can_park:
        raise NotNegotiable(503, "server", f"no request may be held here: {exchange.server.why}")
    is_whole = _drain_body(exchange)
    admission = _admit(exchange, "poll")
    if isinstance(admission, Close):
        return _told(exchange, shape, admission, function)
    record = admission.record
    if admission.opened:
        worker.roster.put_down(record, admission.position)
        worker.clients.left_alone(record)
        return _answered(exchange, shape.write(OPENED), function)
    if admission.close is not None:
        return _told(exchange, shape, admission.close, function)
    position = _pick_up(exchange, admission)
    if position is None:
        return _told(exchange, shape, sockjs.INTERRUPTED, function)
    try:
        entries, reached = worker.read(record, position, worker.log.head.offset)
    except Gap as gap:
        close = history_lost(gap.reason)
        worker.clients.close(record, close)
        return _told(exchange, shape, close, function)
    body = worker.share(shape, entries) if entries else b""
    if body:
        worker.roster.put_down(record, reached)
        worker.clients.left_alone(record)
        return _answered(exchange, body, function)
    return _hold(exchange, admission, reached, function, keep_alive=is_whole)


def _hold(exchange: Exchange, admission: Admission, position: Position, function: str, *, keep_alive: bool) -> Iterable[bytes]:
    worker, environ, record = exchange.worker, exchange.environ, admission.record
    headers = _poll_headers(exchange, function)
    fields = "".join([f"{name}: {value}\r\n" for name, value in headers])
    wants_more = exchange.is_http11 and environ.get("HTTP_CONNECTION", "").lower() != "close"
    plan = SockJSPlan(
        record,
        fields.encode("latin-1", "replace"),
        ticks(worker.limits.heartbeat_seconds, TICK_SECONDS),
        keep_alive=keep_alive and wants_more,
        until_tick=worker.tick_after(worker.limits.reauthorise_seconds),
        callback=function,
    )
    with kept(worker, record):
        taken = exchange.server.take(environ)
        parked = SockJSPoll(worker, taken.sock, taken.give_back)
        if plan.keep_alive:
            parked.early = taken.early
            has_body = "HTTP_TRANSFER_ENCODING" in environ or environ.get("CONTENT_LENGTH") not in (None, "", "0")
            if not function and not has_body:
                worker.polls.learn(exchange.server.raw_head, plan)
        parked.park()
        parked.hold(plan, position)
    return taken.result


def _answered(exchange: Exchange, body: bytes, function: str) -> Iterable[bytes]:
    """Answer a poll, as a script if a function is named."""
    response = Response(sockjs.script(function, body) if function else body, content_type=SCRIPT_TYPE)
    response.headers.extend(_poll_headers(exchange, function))
    return response(exchange.environ, exchange.start_response)


def _told(exchange: Exchange, shape: Shape, close: Close, function: str) -> Iterable[bytes]:
    return _answered(exchange, shape.write(SOCKJS.close(close)), function)


def _poll_headers(exchange: Exchange, function: str) -> Headers:
    nosniff = [("X-Content-Type-Options", "nosniff")] if function else []
    return [_NO_CACHE, *nosniff, *exchange.cors]


def _send(exchange: Exchange, *, is_script: bool) -> Response:
    """Handle the messages in a body; they are done when the answer is given."""
    environ, limits = exchange.environ, exchange.worker.limits
    try:
        body = read_body(environ, limits.max_message_bytes, limits.body_seconds)
    except UploadRefused as refused:
        status, shape, close = refused.answer
        response = Response(shape["error"]["message"], status, content_type=_TEXT)
        if close:
            response.headers["Connection"] = "close"
        return response
    record = _find(exchange)
    if record is None:
        return Response("404 Error: this session is not open here\n", 404, content_type=_TEXT)
    kind, _ = parse_options_header(environ.get("CONTENT_TYPE", ""))
    messages = sockjs.posted(body, kind) if is_script else sockjs.received(body)
    if messages and record.state is State.OPEN:
        if exchange.worker.inboxes.is_full(record):
            return Response(f"{limits.max_waiting_messages} messages of this client wait already\n", 429, content_type=_TEXT)
        _deliver(exchange, record, messages)
    if not is_script:
        response = Response(status=204)
        response.headers["Content-Type"] = _TEXT
        return response
    return Response("ok", content_type=_TEXT)


def _find(exchange: Exchange) -> Record | None:
    """Find who says this: the user's session, or the anonymous one of a receiver that carries no cookies (EventSource)."""
    user, key = exchange.ask_user(), exchange.asked.key or ""
    find = exchange.worker.roster.find
    record = find(keys.client_id(key, user))
    return find(keys.client_id(key, None)) if record is None and user is not None else record


def _deliver(exchange: Exchange, record: Record, messages: list[Received]) -> None:
    worker = exchange.worker
    ticket = Ticket(SOCKJS.name, len(messages))
    for message in messages:
        worker.inboxes.deliver(record, message, ticket)
    ticket.wait(worker.limits.answer_seconds)
    worker.clients.left_alone(record)


# Answers


def _respond(exchange: Exchange, response: Response) -> Iterable[bytes]:
    response.headers.extend([_NO_CACHE, *exchange.cors])
    return response(exchange.environ, exchange.start_response)


def _drain_body(exchange: Exchange) -> bool:
    """Read away the body of a request that needs none. Is all of it read?"""
    try:
        read_body(exchange.environ, _EMPTY_BODY_BYTES, exchange.worker.limits.body_seconds)
    except UploadRefused:
        return False
    return True


def _only(method: str, environ: Environ, response: Response) -> Response:
    return response if environ["REQUEST_METHOD"] in (method, "HEAD") else _not_allowed((method,))


def _not_allowed(methods: Iterable[str]) -> Response:
    response = Response(status=405)
    response.headers["Allow"] = ", ".join(methods)
    del response.headers["Content-Type"]
    return response


def _options(methods: Iterable[str], headers: Headers) -> Response:
    response = Response(status=204)
    del response.headers["Content-Type"]
    response.headers["Cache-Control"] = f"public, max-age={_YEAR}"
    response.headers["Expires"] = formatdate(time.time() + _YEAR, usegmt=True)
    response.headers["Access-Control-Max-Age"] = str(_YEAR)
    response.headers["Access-Control-Allow-Methods"] = ", ".join(sorted(methods))
    response.headers.extend(headers)
    return response


def _cors(verdict: Verdict, environ: Environ) -> Headers:
    """Let the page read the answer. Of a stranger's request, the cookies were not looked at."""
    headers = [("Vary", "Origin")]
    origin = environ.get("HTTP_ORIGIN")
    if origin is None:
        headers.append(("Access-Control-Allow-Origin", "*"))
    else:
        headers += [("Access-Control-Allow-Origin", origin), ("Access-Control-Allow-Credentials", "true")]
    wanted = environ.get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS")
    return [*headers, ("Access-Control-Allow-Headers", wanted)] if wanted else headers


def _session_cookie(environ: Environ) -> str:
    found = _COOKIE.search(environ.get("HTTP_COOKIE", ""))
    return found["value"] if found is not None else "dummy"
