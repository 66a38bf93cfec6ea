"""SockJS's polls: each answer is one frame, and the position is put down before it leaves."""

from __future__ import annotations

from collections.abc import Iterable

from cometware.core.entry import Position
from cometware.core.events import Close
from cometware.core.negotiation import NotNegotiable
from cometware.core.wheel import ticks
from cometware.dialects import shapes, sockjs
from cometware.dialects.base import Shape
from cometware.dialects.sockjs import SOCKJS
from cometware.endpoint.answers import Headers
from cometware.endpoint.exchange import Exchange
from cometware.endpoint.sockjs.answers import NO_CACHE, drain_body
from cometware.endpoint.sockjs.opening import OPENED, admit, pick_up
from cometware.errors import Gap
from cometware.response import NOSNIFF, Response
from cometware.transports.clock import TICK_SECONDS
from cometware.transports.opening import Admission, kept
from cometware.transports.sockjs import SCRIPT_TYPE, SockJSPlan, SockJSPoll, history_lost


def poll(exchange: Exchange, function: str) -> Iterable[bytes]:
    """Answer a poll at once if there is something to say, else park it until there is."""
    worker, shape = exchange.worker, shapes.SOCKJS_XHR
    if not exchange.server.can_park:
        raise NotNegotiable(503, "server", f"no request may be held here: {exchange.server.why}")
    is_whole = drain_body(exchange)
    admission = admit(exchange, "poll")
    if isinstance(admission, Close):
        return _told(exchange, shape, admission, function)
    record = admission.record
    if admission.opened:
        worker.roster.put_down(record, admission.position)
        worker.clients.left_alone(record)
        return _answered(exchange, shape.write(OPENED), function)
    if admission.close is not None:
        return _told(exchange, shape, admission.close, function)
    position = pick_up(exchange, admission)
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
    headers = _poll_headers(exchange)
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
        taken = exchange.take()
        parked = SockJSPoll(worker, taken.sock, taken.give_back)
        if plan.keep_alive:
            parked.early = taken.early
            has_body = "HTTP_TRANSFER_ENCODING" in environ or environ.get("CONTENT_LENGTH") not in (None, "", "0")
            if not function and not has_body:
                worker.polls.learn(exchange.server.raw_head, taken.give_back, plan)
        parked.park()
        parked.hold(plan, position)
    return taken.result


def _answered(exchange: Exchange, body: bytes, function: str) -> Iterable[bytes]:
    """Answer a poll, as a script if a function is named."""
    response = Response(sockjs.script(function, body) if function else body, content_type=SCRIPT_TYPE)
    response.headers.extend(_poll_headers(exchange))
    return response(exchange.environ, exchange.start_response)


def _told(exchange: Exchange, shape: Shape, close: Close, function: str) -> Iterable[bytes]:
    return _answered(exchange, shape.write(SOCKJS.close(close)), function)


def _poll_headers(exchange: Exchange) -> Headers:
    return [NO_CACHE, NOSNIFF, *exchange.cors]
