"""Requests whose session another process has: passed on to it, or explained to the operator.

Rule: a client is only told that its session is unknown, whereupon it begins a new one; who has to change something is told
in the log, once for each cause.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from cometware.core.text import shown
from cometware.endpoint.exchange import Exchange
from cometware.endpoint.socketio.errors import too_much
from cometware.servers.base import Parking, Server
from cometware.servers.passed import Passed, is_on_this_host, pass_on
from cometware.transports.engine import Engine
from cometware.transports.report import logger
from cometware.transports.upload import UploadRefused, read_body


class Cause(Enum):
    """Why a session cannot be reached from here; its value is what to do."""

    HOST = (
        "a request of a Socket.IO session came here that began on another host (or in another container). Connections are "
        "passed on within a host only: let your balancer keep each client on one host, by a cookie or by its address, or let "
        "the pages say io({transports: ['websocket']}). If a host was just replaced, nothing is wrong: its clients begin anew"
    )
    SERVER = (
        "a request of a Socket.IO session came here that began in another process, and the connections of this server "
        "cannot be passed on: serve with one process, or by `cometware serve` or `gunicorn -k gevent`"
    )


class Elsewhere:
    """What a service does with sessions that are none of its own."""

    def __init__(self) -> None:
        self._told: set[Cause] = set()

    def serve(self, exchange: Exchange, engine: Engine, sid: str) -> Iterable[bytes] | None:
        """Let the process have the request that has its session; None if there is none."""
        home, server = engine.home_of(sid), exchange.server
        if home is None or isinstance(server, Passed):
            return None
        if not is_on_this_host(home):
            self._tell(Cause.HOST, server)
            return None
        if not isinstance(server, Parking) or not server.can_park:
            self._tell(Cause.SERVER, server)
            return None
        limits = exchange.worker.limits
        try:
            body = read_body(exchange.environ, limits.max_message_bytes, limits.body_seconds)
        except UploadRefused as refused:
            return exchange.respond(too_much(refused))
        return pass_on(home, server, exchange.environ, body)

    def _tell(self, cause: Cause, server: Server) -> None:
        if cause not in self._told:
            self._told.add(cause)
            logger.warning("%s (server %s; told once for each kind of cause)", cause.value, shown(server.name))
