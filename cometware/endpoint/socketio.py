"""Socket.IO's URL: handshakes, polls, posts and WebSockets of Engine.IO 3 and 4."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import parse_qs

import gevent
from werkzeug.wrappers import Response

from cometware.client import Environ
from cometware.core import framing
from cometware.core.framing import Frame
from cometware.core.negotiation import NotNegotiable
from cometware.core.origin import Verdict
from cometware.dialects import engineio
from cometware.dialects.engineio import BAD_METHOD, BAD_REQUEST, SESSION_UNKNOWN, TRANSPORT_UNKNOWN, UNSUPPORTED_VERSION
from cometware.dialects.socketio import ROOT, shape
from cometware.endpoint.answers import Headers, nothing, query_of
from cometware.endpoint.exchange import Exchange, StartResponse
from cometware.endpoint.gate import Gate, refuse, without_credentials
from cometware.endpoint.serve import Endpoint
from cometware.errors import BadFrame, Refused
from cometware.servers.base import Parking
from cometware.servers.passed import Door, Passed, pass_on
from cometware.transports.engine import Engine
from cometware.transports.enginesocket import EngineSocket
from cometware.transports.poll import SCRIPT_TYPE, Poll
from cometware.transports.session import EnginePlan, Session
from cometware.transports.upload import UploadRefused, read_body
from cometware.transports.websocket import handshake, websocket_headers
from cometware.transports.worker import Worker

_RELEASE_SECONDS = 0.1
"""How long polls are held that a client still makes while it changes to its WebSocket."""
_PLAIN_SECONDS = 1.0
"""The same where no poll can be parked."""
_FULL_SECONDS = 0.02


class BadEngineRequest(Exception):
    """A request that Engine.IO answers by one of its error codes."""

    def __init__(self, code: int, message: str = "") -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message or engineio.ERRORS[code]


class SocketIOService:
    """The channels of `endpoints`, by namespace, for Socket.IO clients; served in the event loop of the first."""

    def __init__(self, endpoints: Mapping[str, Endpoint], gate: Gate, *, recovery: bool) -> None:
        self._endpoints = endpoints
        self._main = endpoints[ROOT]
        self._gate = gate
        self._recovery = recovery
        self._engine: Engine | None = None

    def serve(self, environ: Environ, start_response: StartResponse, path: str) -> Iterable[bytes]:
        """Answer a request to `path`, the part behind the prefix."""
        if path not in ("", "/"):
            return Response("Not found", 404, content_type="text/plain")(environ, start_response)
        verdict = self._gate.judge(environ, script=environ["REQUEST_METHOD"] == "GET" and "j" in query_of(environ))
        if not verdict.allowed:
            message = json.loads(refuse(verdict, environ).get_data())["error"]["message"]
            return error_response(engineio.FORBIDDEN, message)(environ, start_response)
        headers = _cors(verdict)
        if environ["REQUEST_METHOD"] == "OPTIONS":
            return _preflight(environ, headers)(environ, start_response)
        if verdict.anonymous:
            environ = without_credentials(environ)
        return self._main.serve(environ, start_response, headers, self._answer)

    def _engine_of(self, exchange: Exchange) -> Engine:
        """Return the sessions of this event loop; beside other processes, they are to be found by those, too."""
        worker = exchange.worker
        if self._engine is None or self._engine.worker is not worker:

            def namespace(endpoint: Endpoint) -> Callable[[], Worker]:
                return lambda: endpoint.worker_here(worker.threads, self._main.run_in_loop)

            namespaces = {name: namespace(endpoint) for name, endpoint in self._endpoints.items()}
            namespaces[ROOT] = lambda: worker
            self._engine = Engine(worker, namespaces, self._main.find_user, recovery=self._recovery)
            if exchange.environ.get("wsgi.multiprocess") and isinstance(exchange.server, Parking):
                Door(self._engine.home, self._serve_passed, 2 * worker.limits.max_message_bytes)
        return self._engine

    def _serve_passed(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        return self.serve(environ, start_response, "")

    def _answer(self, exchange: Exchange) -> Iterable[bytes]:
        try:
            return _route(exchange, self._engine_of(exchange))
        except BadEngineRequest as error:
            response = error_response(error.code, error.message)
        except NotNegotiable as error:
            response = error_response(BAD_REQUEST, error.message)
            response.status_code = error.status
            response.headers.update(error.headers)
        except Refused as refused:
            response = error_response(BAD_REQUEST, refused.reason)
            response.status_code = refused.status
        return exchange.respond(response)


def _cors(verdict: Verdict) -> Headers:
    if verdict.origin is None:
        return []
    headers = [("Access-Control-Allow-Origin", verdict.origin)]
    return headers if verdict.anonymous else [*headers, ("Access-Control-Allow-Credentials", "true")]


def _preflight(environ: Environ, headers: Headers) -> Response:
    """Answer a browser's question; only clients with headers of their own, or bytes, make it ask."""
    response = nothing()
    response.headers.extend(headers)
    response.headers["Access-Control-Allow-Methods"] = "GET, POST"
    response.headers["Access-Control-Allow-Headers"] = environ.get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS", "Content-Type")
    response.headers["Access-Control-Max-Age"] = "7200"
    response.headers["Vary"] = "Origin, Access-Control-Request-Headers"
    return response


def error_response(code: int, message: str = "") -> Response:
    """Say what is wrong, as Engine.IO does."""
    body = json.dumps({"code": code, "message": message or engineio.ERRORS[code]}, separators=(",", ":"))
    return Response(body, 403 if code == engineio.FORBIDDEN else 400, content_type="application/json")


def _route(exchange: Exchange, engine: Engine) -> Iterable[bytes]:
    """Find what is asked for: transport, session, version, in this order (Engine.IO, "error codes")."""
    query, environ = query_of(exchange.environ), exchange.environ
    transport = query.get("transport")
    if transport not in ("polling", "websocket"):
        raise BadEngineRequest(TRANSPORT_UNKNOWN)
    if transport == "websocket" and "websocket" not in exchange.server.transports:
        raise BadEngineRequest(TRANSPORT_UNKNOWN, f"websocket is off under this server: {exchange.server.why}")
    is_upgrade = environ.get("HTTP_UPGRADE", "").lower() == "websocket"
    sid = query.get("sid")
    if sid is None:
        if environ["REQUEST_METHOD"] != "GET":
            raise BadEngineRequest(BAD_METHOD)
        version = _version(query)
        if transport == "polling":
            return _open(exchange, engine, version, query)
        if not is_upgrade:
            raise BadEngineRequest(BAD_REQUEST, "a WebSocket without the Upgrade header: did a proxy take it away?")
        return _open_websocket(exchange, engine, version, query)
    session = engine.sessions.get(sid)
    if session is None:
        passed = _elsewhere(exchange, engine, sid)
        return _farewell(exchange, engine, sid) if passed is None else passed
    if query.get("EIO") != str(session.version):
        raise BadEngineRequest(BAD_REQUEST, f"this session speaks EIO={session.version}")
    if transport == "websocket":
        if not is_upgrade:
            raise BadEngineRequest(BAD_REQUEST, "a WebSocket without the Upgrade header: did a proxy take it away?")
        return _upgrade(exchange, session, query)
    if session.socket is not None:
        raise BadEngineRequest(BAD_REQUEST, "this session has gone on to its WebSocket")
    if environ["REQUEST_METHOD"] == "GET":
        return _poll(exchange, session, query)
    if environ["REQUEST_METHOD"] == "POST":
        return exchange.respond(_post(exchange, session))
    response = Response("", 405)
    response.headers["Allow"] = "GET, POST, OPTIONS"
    return exchange.respond(response)


def _elsewhere(exchange: Exchange, engine: Engine, sid: str) -> Iterable[bytes] | None:
    """Let the process have the request that has its session; None if there is none."""
    home = engine.home_of(sid)
    if home is None or isinstance(exchange.server, Passed):
        return None
    limits = exchange.worker.limits
    try:
        body = read_body(exchange.environ, limits.max_message_bytes, limits.body_seconds)
    except UploadRefused as refused:
        return exchange.respond(_too_much(refused))
    return pass_on(home, exchange.server, exchange.environ, body)


def _version(query: Mapping[str, str]) -> int:
    if query.get("EIO") not in ("3", "4"):
        raise BadEngineRequest(UNSUPPORTED_VERSION)
    return int(query["EIO"])


def _is_text_only(query: Mapping[str, str]) -> bool:
    return "j" in query or query.get("b64") == "1"


# Handshakes


def _kept(environ: Environ) -> Environ:
    """Return what of a request may be asked for later, when a namespace is opened: a WSGI environ without its server."""
    kept = {key: value for key, value in environ.items() if isinstance(value, str | int | tuple)}
    return {**kept, "wsgi.input": io.BytesIO(), "wsgi.errors": sys.stderr, "CONTENT_LENGTH": "", "REQUEST_METHOD": "GET"}


def _open(exchange: Exchange, engine: Engine, version: int, query: Mapping[str, str]) -> Iterable[bytes]:
    session = engine.open(version, _kept(exchange.environ), base64=_is_text_only(query))
    upgrades = ("websocket",) if "websocket" in exchange.server.transports and "j" not in query else ()
    first = session.opening(upgrades)
    if version == 3:
        session.connect(ROOT, {})  # the client does not ask for it
    return _respond(exchange, session.write([first, *session.take_owed()]), query)


def _open_websocket(exchange: Exchange, engine: Engine, version: int, query: Mapping[str, str]) -> Iterable[bytes]:
    head = _accept(exchange)
    base64 = _is_text_only(query)
    session = engine.open(version, _kept(exchange.environ), base64=base64)
    try:
        taken = exchange.server.take(exchange.environ)
        written = shape(ROOT, version, "websocket", base64=base64, offsets=False)
        connection = EngineSocket(exchange.worker, taken.sock, written, session, base64=base64)
        session.socket = connection
        connection.park()
        connection.write(head + session.write([session.opening(())]))
    except BaseException:
        session.close("left")
        raise
    if version == 3:
        gevent.spawn(session.connect, ROOT, {})
    if taken.early and not connection.closed:
        exchange.worker.soon(connection.received, taken.early)
    return taken.result


def _accept(exchange: Exchange) -> bytes:
    """Return the 101 that is still to be said."""
    if not exchange.is_http11:
        raise NotNegotiable(400, "handshake", "a WebSocket handshake needs HTTP/1.1 (RFC 6455 §4.1)")
    path = exchange.environ.get("PATH_INFO") or "/"
    status, headers = handshake(path, websocket_headers(exchange.environ), (), native=False)
    return b"" if exchange.server.has_upgraded else framing.head(status, headers)


def _upgrade(exchange: Exchange, session: Session, query: Mapping[str, str]) -> Iterable[bytes]:
    """Let a WebSocket try to take over."""
    if session.socket is not None or session.probe is not None:
        raise BadEngineRequest(BAD_REQUEST, "this session has a WebSocket already")
    head = _accept(exchange)
    taken = exchange.server.take(exchange.environ)
    base64 = _is_text_only(query)
    written = shape(ROOT, session.version, "websocket", base64=base64, offsets=False)
    connection = EngineSocket(exchange.worker, taken.sock, written, session, base64=base64)
    connection.park()
    connection.probe()
    connection.write(head)
    if taken.early and not connection.closed:
        exchange.worker.soon(connection.received, taken.early)
    return taken.result


# Polls


def _poll(exchange: Exchange, session: Session, query: Mapping[str, str]) -> Iterable[bytes]:
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
        return _farewell(exchange, session.engine, session.sid)
    if payload:
        return _respond(exchange, payload, query)
    if not server.can_park:
        gevent.sleep(_PLAIN_SECONDS)
        payload = b"" if session.closed else session.read()
        return _respond(exchange, payload or session.write([Frame("6")]), query)
    return _hold(exchange, session, query)


def _poll_while_upgrading(exchange: Exchange, session: Session, query: Mapping[str, str]) -> Iterable[bytes]:
    """Answer at once; and a client that has not seen the WebSocket's answer yet, and asks again, a little later."""
    if session.released:
        gevent.sleep(_RELEASE_SECONDS)
    session.released = True
    return _respond(exchange, session.read() or session.write([Frame("6")]), query)


def _hold(exchange: Exchange, session: Session, query: Mapping[str, str]) -> Iterable[bytes]:
    worker, environ, server = exchange.worker, exchange.environ, exchange.server
    has_body = "HTTP_TRANSFER_ENCODING" in environ or environ.get("CONTENT_LENGTH") not in (None, "", "0")
    prefix = "".join([f"{name}: {value}\r\n" for name, value in exchange.headers]).encode("latin-1", "replace")
    keep_alive = exchange.is_http11 and not has_body and environ.get("HTTP_CONNECTION", "").lower() != "close"
    plan = EnginePlan(session, prefix, worker.tick_after(worker.limits.reauthorise_seconds), query.get("j"))
    taken = server.take(environ)
    poll = Poll(worker, taken.sock, taken.give_back)
    if keep_alive:
        worker.polls.learn(server.raw_head, plan)
        poll.early = taken.early
    poll.park()
    session.hold(poll, prefix, plan.script, keep_alive=keep_alive)
    return taken.result


def _respond(exchange: Exchange, payload: bytes, query: Mapping[str, str]) -> Iterable[bytes]:
    if "j" in query:
        return exchange.respond(Response(engineio.script(query["j"], payload), content_type=SCRIPT_TYPE))
    response = Response(payload)
    response.headers["Content-Type"] = engineio.content_type(payload)
    return exchange.respond(response)


def _farewell(exchange: Exchange, engine: Engine, sid: str) -> Iterable[bytes]:
    """Tell the poll that came behind a session's end that it has ended; anything else, that there is none."""
    payload = engine.farewell(sid) if exchange.environ["REQUEST_METHOD"] == "GET" else None
    if payload is None:
        raise BadEngineRequest(SESSION_UNKNOWN)
    return _respond(exchange, payload, query_of(exchange.environ))


# Posts


def _post(exchange: Exchange, session: Session) -> Response:
    """Take the packets of a body; they are with their handlers before the answer is written."""
    environ, limits = exchange.environ, exchange.worker.limits
    if session.posting:
        session.close("protocol")
        raise BadEngineRequest(BAD_REQUEST, "another POST of this session is under way")
    session.posting = session.heard = True
    try:
        body = read_body(environ, limits.max_message_bytes, limits.body_seconds)
        if session.closed:
            raise BadEngineRequest(SESSION_UNKNOWN)
        for packet in _packets(body, environ, session.version):
            session.receive(packet)
            if session.closed:
                break
        _await_room(session, limits.answer_seconds)
    except UploadRefused as refused:
        return _too_much(refused)
    except BadFrame as error:
        session.close("protocol")
        raise BadEngineRequest(BAD_REQUEST, error.message) from None
    finally:
        session.posting = False
    return Response("ok", content_type="text/html")


def _too_much(refused: UploadRefused) -> Response:
    response = Response("", refused.answer.status)
    if refused.answer.close:
        response.headers["Connection"] = "close"
    return response


def _packets(body: bytes, environ: Environ, version: int) -> Iterable[engineio.Packet]:
    kind = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded" and "j" in query_of(environ):
        try:
            fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=10)
        except ValueError as error:
            raise BadFrame("form", f"expected the packets in the form field d: {error}") from None
        body = engineio.read_form(fields.get("d", [""])[0])
        return engineio.read_payload(body, version)
    if kind == engineio.BINARY_TYPE and version == 4:
        raise BadFrame("type", f"Engine.IO 4 has no {kind} bodies")
    return engineio.read_payload(body, version, binary=kind == engineio.BINARY_TYPE)


def _await_room(session: Session, seconds: float) -> None:
    """Hold the answer back while the client's messages wait for their handlers: it sends no more before."""
    with gevent.Timeout(seconds, False):
        while session.is_full and not session.closed:
            gevent.sleep(_FULL_SECONDS)
