"""Polls: answered at once if there is something to say, else parked until there is."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from urllib.parse import urlencode

from cometware.core import framing
from cometware.core.cause import SAID
from cometware.core.entry import Entry, Position
from cometware.core.wheel import ticks
from cometware.dialects import shapes
from cometware.endpoint.answers import query_of
from cometware.endpoint.exchange import Exchange
from cometware.errors import Gap
from cometware.response import Response
from cometware.roster.base import State
from cometware.transports.clock import TICK_SECONDS
from cometware.transports.opening import Admission, greet, kept
from cometware.transports.poll import SCRIPT_TYPE, Plan, Poll

_ASKS_MORE = frozenset({"last_event_id", "lastEventId", "last", "accepted"})
"""Options by which a poll's answer depends on more than the position in `after`."""


def poll(exchange: Exchange) -> Iterable[bytes]:
    """Answer a poll. One that opens a client or has no position is answered at once, greeting first."""
    if exchange.asked.key is None:
        exchange = exchange.asking(key=secrets.token_urlsafe(24))
    asked, worker = exchange.asked, exchange.worker
    admission = exchange.admit("poll", shapes.NATIVE_POLL.dialect.name)
    admission, entries, position = _read(exchange, admission)
    is_first = admission.opened or not asked.has_position
    wait = worker.limits.poll_seconds
    if asked.wait_seconds is not None:
        wait = min(wait, asked.wait_seconds)
    is_open = admission.close is None and admission.record.state is State.OPEN
    was_parked = exchange.server.raw_head is not None and not asked.tell_accepted  # and answers at once when it is again
    has_news = (bool(entries) and not was_parked) or is_first or not admission.recovered
    if is_open and not has_news and wait > 0 and exchange.server.can_park:
        return _hold(exchange, admission, wait)
    response = _answer(exchange, admission, entries, position, is_first=is_first)
    if is_open:
        worker.clients.polled(admission.record, stays=wait > 0)
    return exchange.respond(response)


def _read(exchange: Exchange, admission: Admission) -> tuple[Admission, list[Entry], Position]:
    """Read what waits for this client, up to the very end of the log: nobody will write to this connection later."""
    worker = exchange.worker
    if admission.close is not None:
        return admission, [], admission.position
    try:
        entries, position = worker.read(admission.record, admission.position, worker.log.head.offset)
    except Gap as gap:
        head = worker.log.head
        return admission._replace(reset=gap.reason, position=head), [], head
    return admission, entries, position


def _answer(exchange: Exchange, admission: Admission, entries: list[Entry], position: Position, *, is_first: bool) -> Response:
    worker, asked, shape = exchange.worker, exchange.asked, shapes.NATIVE_POLL
    body = b"[]"
    if is_first or admission.close is not None:
        body = greet(worker, admission, shape, exchange.describe_server())
    if admission.reset is not None:
        body = _joined(body, shape.write(shape.dialect.reset(admission.reset, admission.position)))
        wait = worker.patience.lost(admission.record.id, worker.clock.monotonic())
        if wait:
            body = _joined(body, shape.write(shape.dialect.reconnect(wait)))
    if entries:
        body = _joined(body, worker.share(shape, entries))
    if asked.tell_accepted:
        body = _joined(body, shape.write(shape.dialect.accepted(admission.record.accepted)))
    if body == b"[]":
        body = shape.heartbeat(position)
    if asked.callback:
        response = Response(framing.script(asked.callback, body), content_type=SCRIPT_TYPE)
    else:
        response = Response(body, content_type="application/json")
    response.headers["Link"] = f'<{_link(exchange)}{position}>; rel="next"'
    if not exchange.server.can_park:
        response.headers["Retry-After"] = "1"
    return response


def _hold(exchange: Exchange, admission: Admission, wait_seconds: float) -> Iterable[bytes]:
    """Park a poll until there is something for it."""
    worker, environ, server = exchange.worker, exchange.environ, exchange.server
    has_body = "HTTP_TRANSFER_ENCODING" in environ or environ.get("CONTENT_LENGTH") not in (None, "", "0")
    fields = "".join([f"{name}: {value}\r\n" for name, value in exchange.headers])
    plan = Plan(
        admission.record,
        f"{fields}Link: <{_link(exchange)}".encode("latin-1", "replace"),
        ticks(wait_seconds, TICK_SECONDS),
        keep_alive=exchange.is_http11 and not has_body and environ.get("HTTP_CONNECTION", "").lower() != "close",
        until_tick=worker.tick_after(worker.limits.reauthorise_seconds),
        callback=exchange.asked.callback,
    )
    with kept(worker, admission.record):
        taken = exchange.take()
        parked = Poll(worker, taken.sock, taken.give_back)
        if plan.keep_alive:
            if _changes_by_position_alone(exchange):
                worker.polls.learn(server.raw_head, taken.give_back, plan)
            parked.early = taken.early  # of a body that nobody reads, no byte may be taken for the next request
        parked.park()
        parked.hold(plan, admission.position)
    return taken.result


def _changes_by_position_alone(exchange: Exchange) -> bool:
    """Does `after` alone tell where this client reads on, and does it ask for nothing but entries?"""
    return "HTTP_LAST_EVENT_ID" not in exchange.environ and _ASKS_MORE.isdisjoint(query_of(exchange.environ))


def _link(exchange: Exchange) -> str:
    """Begin the reference to the next poll; the position comes last."""
    query = query_of(exchange.environ)
    parts: dict[str, str] = {}
    if exchange.environ.get("HTTP_COMET_KEY") is None:
        parts["key"] = exchange.asked.key or ""
    if "transport" in query:
        parts["transport"] = query["transport"]
    if query.get("why") in SAID:
        parts["why"] = query["why"]
    if exchange.asked.wait_seconds is not None:
        parts["wait"] = f"{exchange.asked.wait_seconds:g}"
    return f"?{urlencode(parts)}&after=" if parts else "?after="


def _joined(first: bytes, second: bytes) -> bytes:
    """Unite two JSON arrays that were written apart."""
    return second if first == b"[]" else first[:-1] + b"," + second[1:]
