"""What a request below a SockJS address asks for, and who answers it.

Rule: a session is a client whose key is the session's id, so any worker finds or opens it; what SockJS asks of the server to
remember between two requests is one position in the client's record.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from cometware.client import Environ
from cometware.core.negotiation import Asked, NotNegotiable, Transport
from cometware.dialects import sockjs
from cometware.endpoint.answers import query_of, refused_response
from cometware.endpoint.exchange import Exchange, StartResponse
from cometware.endpoint.gate import Gate, without_credentials
from cometware.endpoint.serve import Endpoint
from cometware.endpoint.sockjs.answers import TEXT, cors, iframe, not_allowed, only, options, respond, session_cookie
from cometware.endpoint.sockjs.polling import poll
from cometware.endpoint.sockjs.posting import post
from cometware.endpoint.sockjs.streaming import STREAMS, stream, websocket
from cometware.endpoint.streaming import websocket as raw_websocket
from cometware.errors import BadFrame, Refused
from cometware.response import Response


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
SENDERS = ("xhr_send", "jsonp_send")
"""By these a client says something; by all others it listens."""
_INFO = Kind(("GET", "OPTIONS"))


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
            return only("GET", environ, Response(sockjs.GREETING, content_type=TEXT))(environ, start_response)
        if sockjs.is_page(path):
            return only("GET", environ, iframe(self._page, self._gate.frame_ancestors, environ))(environ, start_response)
        session, transport = sockjs.session(path) or ("", "")
        kind = {"/info": _INFO, "/websocket": _KINDS["websocket"]}.get(path) or _KINDS.get(transport)
        if kind is None:
            return Response(sockjs.explained(path), 404, content_type=TEXT)(environ, start_response)
        method = environ["REQUEST_METHOD"]
        if method not in kind.methods:
            return not_allowed(kind.methods)(environ, start_response)
        says = transport in SENDERS
        verdict = self._gate.judge(environ, script=kind.is_script, listens=not says)
        if not verdict.allowed:
            return self._gate.refuse(verdict, environ)(environ, start_response)
        headers = cors(verdict, environ) if not kind.is_script else []
        if session and self._cookie and transport != "websocket":
            headers += [("Set-Cookie", f"JSESSIONID={session_cookie(environ)}; path=/")]
        if method == "OPTIONS":
            return options(kind.methods, headers)(environ, start_response)
        if verdict.anonymous:
            environ = without_credentials(environ)
        if path == "/info":
            return self._endpoint.serve(environ, start_response, headers, self._info)
        ask = _Ask(session, transport)
        return self._endpoint.serve(environ, start_response, headers, ask.answer)

    def _info(self, exchange: Exchange) -> Iterable[bytes]:
        can = "websocket" in exchange.server.transports
        body = sockjs.info(websocket=can, cookie=self._cookie, entropy=secrets.randbits(32))
        return respond(exchange, Response(body, content_type="application/json; charset=UTF-8"))


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
            if self.transport in SENDERS:
                return respond(exchange, post(exchange, is_script=self.transport == "jsonp_send"))
            function = ""
            if self.transport in ("jsonp", "htmlfile"):
                query = query_of(exchange.environ)
                function = sockjs.callback(query.get("c") or query.get("callback", ""))
            if self.transport in STREAMS:
                return stream(exchange, self.transport, function)
            return poll(exchange, function)
        except BadFrame as error:
            return respond(exchange, Response(error.message, 413 if error.code == "many" else 500, content_type=TEXT))
        except NotNegotiable as error:
            return respond(exchange, Response(error.message, error.status, headers=error.headers, content_type=TEXT))
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
        return websocket(exchange) if self.session else raw_websocket(exchange)
