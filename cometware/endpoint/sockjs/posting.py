"""What a SockJS session says: xhr_send and jsonp_send."""

from __future__ import annotations

import gevent

from cometware.core import keys
from cometware.core.events import Received
from cometware.dialects import sockjs
from cometware.dialects.sockjs import SOCKJS
from cometware.endpoint.answers import ask_to_wait
from cometware.endpoint.exchange import Exchange
from cometware.endpoint.gate import doubted
from cometware.endpoint.sockjs.answers import TEXT
from cometware.errors import BadFrame
from cometware.response import Response
from cometware.roster.base import Record, RosterFull, State
from cometware.transports.turns import in_turns
from cometware.transports.upload import Ticket, UploadRefused, read_body

_HELD_SECONDS = 20.0
"""How long one that is too fast is held at most; whoever would have to wait for longer is refused (429)."""


def post(exchange: Exchange, *, is_script: bool) -> Response:
    """Handle the messages in a body; they are done when the answer is given."""
    environ, limits = exchange.environ, exchange.worker.limits
    try:
        body = read_body(environ, limits.max_message_bytes, limits.body_seconds)
    except UploadRefused as refused:
        status, shape, close = refused.answer
        response = Response(shape["error"]["message"], status, content_type=TEXT)
        if close:
            response.headers["Connection"] = "close"
        return response
    try:
        record = _find(exchange)
    except RosterFull:
        text = f"this worker keeps {limits.max_clients} clients; see Limits.max_clients\n"
        return Response(text, 503, content_type=TEXT)
    if record is None:
        return Response("404 Error: this session is not open here\n", 404, content_type=TEXT)
    if exchange.is_doubtful and record.doubtful:
        return doubted()
    exchange.worker.clients.left_alone(record)  # who lives at another worker is kept here for no longer than that
    kind = environ.get("CONTENT_TYPE", "").partition(";")[0].strip(" \t")
    most = limits.max_waiting_messages
    read, given = (sockjs.posted, (body, kind, most)) if is_script else (sockjs.received, (body, most))
    messages = in_turns(len(body), read, *given)
    if messages and record.state is State.OPEN:
        try:
            exchange.worker.inboxes.check_room(record, messages)
        except BadFrame as busy:
            return Response(f"{busy.message}\n", 429, content_type=TEXT)
        late = _wait_for_turn(exchange, record, len(messages), len(body))
        if late is not None:
            return late
        _deliver(exchange, record, messages)
    if not is_script:
        response = Response(status=204)
        response.headers["Content-Type"] = TEXT
        return response
    return Response("ok", content_type=TEXT)


def _find(exchange: Exchange) -> Record | None:
    """Find who says this: the user's session, or the anonymous one of a receiver that carries no cookies (EventSource)."""
    user, key = exchange.ask_user(), exchange.asked.key or ""
    find = exchange.worker.roster.find
    record = find(keys.client_id(key, user))
    return find(keys.client_id(key, None)) if record is None and user is not None else record


def _wait_for_turn(exchange: Exchange, record: Record, count: int, size: int) -> Response | None:
    """Hold who is too fast: a SockJS client sends one thing after the other, and has no word for "later" but the end."""
    worker = exchange.worker
    names = (record.id, record.user, exchange.address)
    wait = worker.meters.take(names, count, size, worker.now()) if worker.meters is not None else None
    if wait is None or worker.meters is None:
        return None
    if wait.seconds > _HELD_SECONDS:
        response = Response(f"{wait}\n", 429, content_type=TEXT)
        ask_to_wait(response, wait.seconds)
        return response
    worker.meters.owe(names, count, size, worker.now())
    gevent.sleep(wait.seconds)
    return None


def _deliver(exchange: Exchange, record: Record, messages: list[Received]) -> None:
    worker = exchange.worker
    ticket = Ticket(SOCKJS.name, len(messages))
    for message in messages:
        worker.inboxes.deliver(record, message, ticket)
    ticket.wait(worker.limits.answer_seconds)
    worker.clients.left_alone(record)
