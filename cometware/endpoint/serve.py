"""What a request to the channel's URL asks for, and which module answers it."""

from __future__ import annotations

import io
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from itertools import islice
from typing import Any, TypeAlias

from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from cometware import assets
from cometware.channel import Channel
from cometware.client import Environ
from cometware.core.masking import masked_url
from cometware.core.negotiation import ACCEPTED, Asked, Facts, NotNegotiable, Transport, negotiate
from cometware.core.text import is_length, shown
from cometware.endpoint.answers import BASE_HEADERS, Headers, error_response, query_of, refused_response, scripted
from cometware.endpoint.ending import Ending, RunInLoop, drain_before_end
from cometware.endpoint.exchange import Exchange, StartResponse, User
from cometware.endpoint.polling import poll
from cometware.endpoint.posting import post
from cometware.endpoint.reasons import Reasons
from cometware.endpoint.streaming import stream, websocket
from cometware.errors import LogUnavailable, Refused
from cometware.logs.base import real_lock
from cometware.servers.base import Server
from cometware.servers.detect import detect
from cometware.servers.threaded import Threaded, end_to_end
from cometware.transports.clock import Clock
from cometware.transports.loop import LoopThread
from cometware.transports.report import logger
from cometware.transports.worker import Worker

_HANDLER_THREADS = 8
"""Native threads for handlers where the server's own requests run in threads, unless `threads` says otherwise."""
_ACCEPT_CHARACTERS = 1000
"""Of an `Accept`; no browser's is longer, and what is remembered of strangers is bounded."""
_ACCEPTS = 32
"""Values of `Accept` that are remembered."""
_RANGES = frozenset({*ACCEPTED, *(kind.partition("/")[0] + "/*" for kind in ACCEPTED), "*/*"})
_MAX_RANGES = 16
"""Items of an `Accept` that are weighed, of those that are about what there is."""
_DISCARDED_BYTES = 32 * 1024 * 1024
_FIX = "`cometware serve`, gevent.pywsgi with handler_class=cometware.Handler and `gunicorn -k gevent` carry all"
_NOTHING = Asked(Transport.POST, native=False)
Answering: TypeAlias = Callable[[Exchange], Iterable[bytes]]
"""How a dialect answers a request; what is asked for, it finds out itself."""


class Endpoint:
    """One channel behind one URL. `user` is asked at each request who is logged in; `beside` shares its event loop."""

    def __init__(
        self,
        channel: Channel,
        user: User | None,
        subprotocols: Sequence[str],
        threads: int,
        beside: Endpoint | None = None,
    ) -> None:
        self.channel = channel
        self.find_user = user
        self._subprotocols = tuple(subprotocols)
        self._threads = threads
        self._beside = beside
        self._worker: Worker | None = None
        self._ending: Ending | None = None
        self._loop: LoopThread | None = None
        self._starting = real_lock()
        self._process = 0
        self._telling: Any = real_lock()
        self._has_to_warn: Any = real_lock()
        self._reasons = Reasons()
        self._clock = Clock()
        self._rehearsing: tuple[Worker, Server] | None = None

    def drain(self, window_seconds: float) -> None:
        """Ask the clients of this process to come back."""
        if self._worker is not None:
            self._worker.drain(window_seconds)

    def rehearse(self, instead: tuple[Worker, Server] | None) -> None:
        """For tests: serve by this worker instead, as this server where a request brings none; None: as before."""
        self._rehearsing = instead

    @property
    def clock(self) -> Clock:
        """The time as this channel has it; in a test, the test's."""
        return self._clock if self._rehearsing is None else self._rehearsing[0].clock

    def status(self) -> dict[str, Any]:
        """Tell who is here and how, as JSON can hold it."""
        presence = [asdict(client) for client in self.channel.presence()]
        return {
            "name": self.channel.name,
            "log": masked_url(self.channel.url),
            "position": str(self.channel.position),
            "connections": Counter(client["transport"] or "none" for client in presence),
            "clients": presence,
        }

    def serve(
        self, environ: Environ, start_response: StartResponse, cors: Headers, answer: Answering | None = None
    ) -> Iterable[bytes]:
        """Answer a request whose origin was found good; another dialect's by its own `answer`."""
        answer = answer or self._answer
        if self._rehearsing is not None:
            worker, server = self._rehearsing
            server = environ.get("cometware.server", server)
            return self._ask(answer, lambda: worker, server, environ, start_response, cors)
        server = detect(environ, start_response)
        if self._telling.acquire(blocking=False):  # never released: of all threads, one tells it
            self._tell(server, environ)
        if isinstance(server, Threaded):
            return self._serve_threaded(server, environ, start_response, cors, answer)
        return self._ask(answer, lambda: self.worker_here(0, run_here), server, environ, start_response, cors)

    def _tell(self, server: Server, environ: Environ) -> None:
        """Say once which transports this server cannot carry, why, and what to change; and what several processes miss."""
        if environ.get("wsgi.multiprocess"):
            self.warn_of_processes()
        if server.why:
            transports = ", ".join(server.transports)
            logger.warning("server %s: transports %s; %s; %s", shown(server.name), transports, server.why, _FIX)

    def warn_of_processes(self, *, aloud: bool = True) -> None:
        """Several processes serve this channel: say once, if it cannot be."""
        if self.channel.url.startswith("memory:") and self._has_to_warn.acquire(blocking=False) and aloud:
            logger.warning(
                "several processes serve the channel, but its log %r is in each of them apart: clients of one do not hear "
                "those of another. Serve it with one worker, or take Channel('sqlite:///channel.db') on one host, "
                "Channel('redis://…') on several",
                self.channel.url,
            )

    def worker_here(self, threads: int, run: RunInLoop) -> Worker:
        """Return the worker of this event loop; made at the first request, and again after a fork.

        `run` runs a function in this loop and waits for it, from the server's main thread.

        Raises:
            LogUnavailable: There is no worker yet, and its store is away.
        """
        log = self.channel.log  # it may wait for its store; then another request may have made the worker
        if self._worker is None or self._worker.log is not log:  # or it is of the process that we were forked from
            self._worker = Worker(self.channel, threads=self._threads or threads)
            self._ending = drain_before_end(self._worker, run)
        return self._worker

    def _serve_threaded(
        self, server: Threaded, environ: Environ, start_response: StartResponse, cors: Headers, answer: Answering
    ) -> Iterable[bytes]:
        """Answer in the channel's own event loop, while this thread of the server waits and then pulls."""
        environ = with_body(environ, 4 * self.channel.limits.max_message_bytes)
        started: list[Any] = []
        loop = self.loop_here()

        def in_loop() -> list[bytes]:
            return list(self._ask(answer, here, server, environ, lambda *head: started.append(head), cors))

        def here() -> Worker:
            return self.worker_here(_HANDLER_THREADS, loop.call)

        if environ["REQUEST_METHOD"] == "GET" or answer != self._answer:
            server.reserve()
        try:
            body = loop.call(in_loop)
        finally:
            if server.pulled is None:
                server.release()
        if server.pulled is not None:
            return server.pull(start_response)
        status, headers, *exc_info = started[0]
        start_response(status, end_to_end(headers), *exc_info)
        return body

    @property
    def run_in_loop(self) -> RunInLoop:
        """Return what runs a function in the event loop of this process's worker."""
        return run_here if self._loop is None else self._loop.call

    def loop_here(self) -> LoopThread:
        """Return this process's event loop; made at the first request, and again after a fork."""
        if self._beside is not None:
            return self._beside.loop_here()
        with self._starting:
            if self._loop is None or self._process != os.getpid():
                self._loop, self._process = LoopThread(), os.getpid()
            return self._loop

    def _ask(
        self,
        answer: Answering,
        here: Callable[[], Worker],
        server: Server,
        environ: Environ,
        start_response: StartResponse,
        cors: Headers,
    ) -> Iterable[bytes]:
        try:
            given = (server, _NOTHING, environ, start_response, cors, self.find_user, self._subprotocols, self._reasons)
            return answer(Exchange(here(), *given))
        except LogUnavailable:
            response = error_response(503, "log", "the channel's store is not available; come back in a moment")
            response.headers["Retry-After"] = "2"
            response = scripted(environ, response)
            response.headers.extend(BASE_HEADERS + cors)
            response.says_type = True
            return response(environ, start_response)

    def _answer(self, exchange: Exchange) -> Iterable[bytes]:
        environ, server = exchange.environ, exchange.server
        try:
            found = facts(environ)
            self._reasons.look(found, environ)
            asked = negotiate(found)
            exchange = replace(exchange, asked=asked)
            if asked.transport is Transport.POST:
                return exchange.respond(post(exchange))
            if asked.transport is Transport.PAGE:
                return exchange.respond(assets.page(environ.get("PATH_INFO", "")))
            if asked.transport is Transport.POLL:
                return poll(exchange)
            _check(server, asked)
            return websocket(exchange) if asked.transport is Transport.WEBSOCKET else stream(exchange)
        except NotNegotiable as error:
            response = error_response(error.status, error.code, error.message)
            response.headers.update(error.headers)
        except Refused as refused:
            response = refused_response(refused, as_json="callback" in query_of(environ))
        response = scripted(environ, response)
        response.headers.extend(exchange.headers)
        return response(environ, exchange.start_response)


def run_here(call: Callable[[], Any]) -> Any:
    """Run what is to be run in the loop of a server that is gevent's: whoever asks is in it."""
    return call()


def _check(server: Server, asked: Asked) -> None:
    """Refuse what this server cannot carry, or not now."""
    name = asked.transport.value
    if name not in server.transports:
        raise NotNegotiable(501, "server", f"{name} is off under this server: {server.why}. {_FIX}")
    if not server.can_park:
        raise NotNegotiable(503, "busy", f"this server holds as many requests as it may: {server.why}", {"Retry-After": "5"})


def facts(environ: Environ) -> Facts:
    """Read from a WSGI environ what negotiation needs."""
    offered = environ.get("HTTP_SEC_WEBSOCKET_PROTOCOL", "")
    return Facts(
        method=environ["REQUEST_METHOD"],
        accept=_accepted(environ.get("HTTP_ACCEPT", "")[:_ACCEPT_CHARACTERS]),
        content_type=environ.get("CONTENT_TYPE", "").partition(";")[0].strip(" \t"),
        upgrade=environ.get("HTTP_UPGRADE", ""),
        connection=environ.get("HTTP_CONNECTION", ""),
        websocket_key=environ.get("HTTP_SEC_WEBSOCKET_KEY"),
        subprotocols=[name.strip() for name in offered.split(",") if name.strip()],
        key=environ.get("HTTP_COMET_KEY"),
        last_event_id=environ.get("HTTP_LAST_EVENT_ID"),
        query=query_of(environ),
    )


@lru_cache(_ACCEPTS)
def _accepted(header: str) -> str:
    """Find what an `Accept` likes best of what there is; most requests bear one of a few."""
    ours = (item for item in header.split(",") if item.partition(";")[0].strip().lower() in _RANGES)
    accept = parse_accept_header(",".join(islice(ours, _MAX_RANGES)), MIMEAccept)
    return (accept.best_match(ACCEPTED) if accept else None) or ACCEPTED[0]


def with_body(environ: Environ, limit: int) -> Environ:
    """Read a request's body, as far as it will be looked at, in the thread whose socket it comes from."""
    stream, length = environ["wsgi.input"], environ.get("CONTENT_LENGTH") or ""
    if environ["REQUEST_METHOD"] != "POST":
        body = b""
    elif is_length(length):
        body = stream.read(int(length)) if int(length) <= limit else _discard(stream, int(length))
    else:
        body = stream.read(limit + 1) if environ.get("wsgi.input_terminated") else b""
    return {**environ, "wsgi.input": io.BytesIO(body)}


def _discard(stream: Any, length: int) -> bytes:
    """Read a body that is too large, within bounds: a client that is still sending would not see the answer."""
    left = min(length, _DISCARDED_BYTES)
    while left > 0 and (data := stream.read(min(left, 65536))):
        left -= len(data)
    return b""
