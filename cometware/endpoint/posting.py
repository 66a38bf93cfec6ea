"""Messages by POST: of a client with a key, or of somebody who says one thing and is gone."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from cometware.client import Client
from cometware.core.events import LEFT, TOO_MANY, Close, Event, Left
from cometware.endpoint.answers import ask_to_wait, error_response, json_response
from cometware.endpoint.exchange import Exchange
from cometware.endpoint.gate import doubted
from cometware.errors import BadFrame
from cometware.response import Response
from cometware.roster.base import Record, State
from cometware.transports.opening import check_opens, run_on_open
from cometware.transports.turns import at_a_pace
from cometware.transports.upload import Ticket, UploadRefused, post_once, read_body, understand, upload


def post(exchange: Exchange) -> Response:
    """Handle the messages in a body, and say which is accepted."""
    asked, environ, limits = exchange.asked, exchange.environ, exchange.worker.limits
    if exchange.is_doubtful and (asked.key is None or exchange.find_own(asked.key) is None):
        return doubted()
    try:
        body = read_body(environ, limits.max_message_bytes, limits.body_seconds)
        events = understand(body, environ.get("CONTENT_TYPE", ""), limits.max_waiting_messages, native=asked.native)
    except UploadRefused as refused:
        status, shape, close = refused.answer
        response = json_response(status, shape)
        if close:
            response.headers["Connection"] = "close"
        return response
    except BadFrame as error:
        if exchange.worker.meters is not None:
            exchange.worker.meters.owe((None, None, exchange.address), 1, len(body), exchange.worker.now())
        return error_response(413 if error.code == "many" else 400, error.code, error.message, **error.details)
    dialect = "native" if asked.native else "plain"
    if asked.key is None:
        return _once(exchange, events, dialect, len(body))
    goodbyes = [event for event in events if isinstance(event, Left)]
    leaves = bool(goodbyes) and len(goodbyes) == len(events)
    if leaves and not exchange.is_known(asked.key) and (exchange.leave_by_key(goodbyes[0]) or goodbyes[0].wait_seconds):
        return json_response(200, {"accepted": 0})
    admission = exchange.admit(Ticket.transport, dialect, leaves=leaves)
    if leaves and admission.close is not None and admission.close.code == LEFT:
        return json_response(200, {"accepted": 0})
    if admission.close is not None:
        code, reason = admission.close
        return error_response(410, "closed", reason or "this client was closed", close=code)
    late = too_fast(exchange, admission.record, events, len(body))
    if late is not None:
        return late
    answer = upload(exchange.worker, admission.record, events, dialect)
    exchange.worker.clients.left_alone(admission.record)  # its grace begins anew, if this is its only way
    return json_response(answer.status, answer.shape)


def too_fast(exchange: Exchange, record: Record, events: Sequence[Event], size: int) -> Response | None:
    """Are these messages more than this client, its user or its address may send now? Then say so, and take none."""
    worker, now = exchange.worker, exchange.worker.now()
    if worker.meters is None:
        return None
    heeding, name = worker.heeding, record.key and record.id
    has_waited = not (name and heeding.is_waiting(name, now))
    names = (name, record.user, exchange.address)
    wait = worker.meters.take(names, len(events), size, now)
    if wait is None or worker.lends(names, events, size):
        return None
    if name and has_waited:
        heeding.listened(name)
    if name and heeding.told(name, wait.seconds, now) >= worker.limits.rate_patience_seconds:
        close = Close(TOO_MANY, str(wait))
        worker.clients.close(record, close)
        return error_response(410, "closed", close.reason, close=close.code)
    accepted = {"accepted": record.accepted} if name else {}
    response = error_response(429, "rate", str(wait), wait_seconds=wait.seconds, **accepted)
    ask_to_wait(response, wait.seconds)
    return response


def _once(exchange: Exchange, events: Sequence[Event], dialect: str, size: int) -> Response:
    """Somebody without a key: opened, heard and gone within one request, never present."""
    worker = exchange.worker
    record = Record(secrets.token_hex(12), None, exchange.ask_user(), 0)
    late = too_fast(exchange, record, events, size)
    if late is not None:
        return late
    check_opens(worker, record.user, exchange.address)
    record.transport, record.dialect = Ticket.transport, dialect
    worker.channel.remember(record, exchange.environ)
    run_on_open(worker, Client(worker.channel, record, Ticket.transport, dialect, exchange.environ))
    record.state = State.OPEN
    try:
        client = Client(worker.channel, record, Ticket.transport, dialect)
        answer = at_a_pace(size, post_once, worker, client, events)
    finally:
        record.state = State.ENDED
        worker.inboxes.end(record, "left")
    return at_a_pace(size, json_response, answer.status, answer.shape)
