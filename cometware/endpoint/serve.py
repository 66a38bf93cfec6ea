"""What a request to the channel's URL asks for, and which module answers it."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_options_header
from werkzeug.wrappers import Request

from cometware import assets
from cometware.channel import Channel
from cometware.client import Environ
from cometware.core.negotiation import ACCEPTED, Asked, Facts, NotNegotiable, Transport, negotiate
from cometware.core.text import shown
from cometware.endpoint.answers import BASE_HEADERS, Headers, error_response, query_of, scripted
from cometware.endpoint.exchange import Exchange, StartResponse, User
from cometware.endpoint.polling import poll
from cometware.endpoint.posting import post
from cometware.endpoint.streaming import stream, websocket
from cometware.errors import Refused
from cometware.servers.base import Server
from cometware.servers.detect import detect
from cometware.transports.report import logger
from cometware.transports.worker import Worker

_WHY = "since this server does not hand its connections over"
_FIX = "serve with `cometware serve`, or with gevent.pywsgi and handler_class=cometware.Handler"


class Endpoint:
    """One channel behind one URL. `user` is asked at each request who is logged in."""

    def __init__(self, channel: Channel, user: User | None, subprotocols: Sequence[str]) -> None:
        self.channel = channel
        self._user = user
        self._subprotocols = tuple(subprotocols)
        self._worker: Worker | None = None
        self._told = False

    @property
    def worker(self) -> Worker:
        """The channel's worker in this process; made at the first request, and again after a fork."""
        if self._worker is None or self._worker.process != os.getpid():
            self._worker = Worker(self.channel)
        return self._worker

    def drain(self, window_seconds: float) -> None:
        """Ask the clients of this process to come back."""
        if self._worker is not None:
            self._worker.drain(window_seconds)

    def status(self) -> dict[str, Any]:
        """Tell who is here and how, as JSON can hold it."""
        presence = [dataclasses.asdict(client) for client in self.channel.presence()]
        return {
            "name": self.channel.name,
            "log": self.channel.url.partition("@")[2] or self.channel.url,
            "position": str(self.channel.position),
            "connections": Counter(client["transport"] or "none" for client in presence),
            "clients": presence,
        }

    def serve(self, environ: Environ, start_response: StartResponse, cors: Headers) -> Iterable[bytes]:
        """Answer a request whose origin was found good."""
        try:
            asked = negotiate(facts(environ))
            server = detect(environ, start_response)
            exchange = Exchange(self.worker, server, asked, environ, start_response, cors, self._user, self._subprotocols)
            if asked.transport is Transport.POST:
                return exchange.respond(post(exchange))
            if asked.transport is Transport.PAGE:
                return exchange.respond(assets.page(environ.get("PATH_INFO", "")))
            self._check(server, asked)
            if asked.transport is Transport.POLL:
                return poll(exchange)
            return websocket(exchange) if asked.transport is Transport.WEBSOCKET else stream(exchange)
        except NotNegotiable as error:
            response = error_response(error.status, error.code, error.message)
            response.headers.update(error.headers)
        except Refused as refused:
            response = error_response(refused.status, "refused", refused.reason)
        response = scripted(environ, response)
        response.headers.extend(BASE_HEADERS + cors)
        return response(environ, start_response)

    def _check(self, server: Server, asked: Asked) -> None:
        """Refuse what this server cannot carry; say once why, and what to change."""
        if server.can_park:
            return
        if not self._told:
            self._told = True
            name = shown(server.name)
            logger.warning("server %s: only plain polls are on, %s; %s", name, _WHY, _FIX)
        if asked.transport is not Transport.POLL:
            message = f"{asked.transport.value} is off, {_WHY}; {_FIX}, or use transport=poll"
            raise NotNegotiable(501, "server", message)


def facts(environ: Environ) -> Facts:
    """Read from a WSGI environ what negotiation needs."""
    accept: MIMEAccept = Request(environ).accept_mimetypes
    offered = environ.get("HTTP_SEC_WEBSOCKET_PROTOCOL", "")
    return Facts(
        method=environ["REQUEST_METHOD"],
        accept=(accept.best_match(ACCEPTED) if accept else None) or ACCEPTED[0],
        content_type=parse_options_header(environ.get("CONTENT_TYPE", ""))[0],
        upgrade=environ.get("HTTP_UPGRADE", ""),
        connection=environ.get("HTTP_CONNECTION", ""),
        websocket_key=environ.get("HTTP_SEC_WEBSOCKET_KEY"),
        subprotocols=[name.strip() for name in offered.split(",") if name.strip()],
        key=environ.get("HTTP_COMET_KEY"),
        last_event_id=environ.get("HTTP_LAST_EVENT_ID"),
        query=query_of(environ),
    )
