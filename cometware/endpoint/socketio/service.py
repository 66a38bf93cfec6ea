"""What a request to Socket.IO's URL asks for, and which session answers it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping

from cometware.client import Environ
from cometware.core.negotiation import NotNegotiable
from cometware.core.origin import Verdict
from cometware.dialects import engineio
from cometware.dialects.engineio import BAD_METHOD, BAD_REQUEST, TRANSPORT_UNKNOWN, UNSUPPORTED_VERSION
from cometware.dialects.socketio import ROOT
from cometware.endpoint.answers import Headers, ask_to_wait, is_repeated, nothing, query_of
from cometware.endpoint.exchange import Exchange, StartResponse
from cometware.endpoint.gate import Gate, without_credentials
from cometware.endpoint.serve import Endpoint
from cometware.endpoint.socketio import owner
from cometware.endpoint.socketio.elsewhere import Elsewhere
from cometware.endpoint.socketio.errors import BadEngineRequest, error_response
from cometware.endpoint.socketio.polling import farewell, open_polling, poll
from cometware.endpoint.socketio.posting import post
from cometware.endpoint.socketio.websocket import open_websocket, upgrade
from cometware.errors import Refused, TooFast
from cometware.response import Response
from cometware.servers.base import Parking
from cometware.servers.passed import Door, home_here
from cometware.transports.engine import Engine
from cometware.transports.worker import Worker

_HEAD_BYTES = 1024 * 1024
"""What of a request that is passed on is none of its body: more than any server takes."""


class SocketIOService:
    """The channels of `endpoints`, by namespace, for Socket.IO clients; served in the event loop of the first."""

    def __init__(self, endpoints: Mapping[str, Endpoint], gate: Gate, *, recovery: bool) -> None:
        self._endpoints = endpoints
        self._main = endpoints[ROOT]
        self._gate = gate
        self._recovery = recovery
        self._engine: Engine | None = None
        self._elsewhere = Elsewhere()

    def serve(self, environ: Environ, start_response: StartResponse, path: str) -> Iterable[bytes]:
        """Answer a request to `path`, the part behind the prefix."""
        if path not in ("", "/"):
            return Response("Not found", 404, content_type="text/plain")(environ, start_response)
        listens = environ["REQUEST_METHOD"] == "GET"
        verdict = self._gate.judge(environ, script=listens and "j" in query_of(environ), listens=listens)
        if not verdict.allowed:
            message = json.loads(self._gate.refuse(verdict, environ).get_data())["error"]["message"]
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
            self._engine = Engine(worker, namespaces, self._main.find_user, home_here(), recovery=self._recovery)
            if exchange.environ.get("wsgi.multiprocess") and isinstance(exchange.server, Parking):
                Door(self._engine.home, self._serve_passed, worker.limits.max_message_bytes + _HEAD_BYTES)
        return self._engine

    def _serve_passed(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        return self.serve(environ, start_response, "")

    def _answer(self, exchange: Exchange) -> Iterable[bytes]:
        try:
            return _route(exchange, self._engine_of(exchange), self._elsewhere)
        except BadEngineRequest as error:
            response = error_response(error.code, error.message)
        except NotNegotiable as error:
            response = error_response(BAD_REQUEST, error.message)
            response.status_code = error.status
            response.headers.update(error.headers)
        except Refused as refused:
            response = error_response(BAD_REQUEST, refused.reason)
            response.status_code = refused.status
            if isinstance(refused, TooFast):
                ask_to_wait(response, refused.wait_seconds)
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


def _route(exchange: Exchange, engine: Engine, elsewhere: Elsewhere) -> Iterable[bytes]:
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
            return open_polling(exchange, engine, version, query)
        if not is_upgrade:
            raise BadEngineRequest(BAD_REQUEST, "a WebSocket without the Upgrade header: did a proxy take it away?")
        return open_websocket(exchange, engine, version, query)
    if is_repeated(environ, "sid"):
        raise BadEngineRequest(BAD_REQUEST, "sid: got more than one, expected that of the session")
    session = engine.sessions.get(sid)
    if session is None:
        passed = elsewhere.serve(exchange, engine, sid)
        return farewell(exchange, engine, sid) if passed is None else passed
    owner.check(exchange, session, query)
    if session.closed:
        return farewell(exchange, engine, sid)
    if query.get("EIO") != str(session.version):
        raise BadEngineRequest(BAD_REQUEST, f"this session speaks EIO={session.version}")
    if transport == "websocket":
        if not is_upgrade:
            raise BadEngineRequest(BAD_REQUEST, "a WebSocket without the Upgrade header: did a proxy take it away?")
        return upgrade(exchange, session, query)
    if session.socket is not None:
        raise BadEngineRequest(BAD_REQUEST, "this session has gone on to its WebSocket")
    if environ["REQUEST_METHOD"] == "GET":
        return poll(exchange, session, query)
    if environ["REQUEST_METHOD"] == "POST":
        return exchange.respond(post(exchange, session))
    response = Response("", 405)
    response.headers["Allow"] = "GET, POST, OPTIONS"
    return exchange.respond(response)


def _version(query: Mapping[str, str]) -> int:
    if query.get("EIO") not in ("3", "4"):
        raise BadEngineRequest(UNSUPPORTED_VERSION)
    return int(query["EIO"])
