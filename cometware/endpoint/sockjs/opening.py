"""How a SockJS session comes in, by whichever of its requests: with one connection at a time, and a place to read on."""

from __future__ import annotations

from cometware.core.entry import Position
from cometware.core.events import Close
from cometware.core.framing import Frame
from cometware.dialects import sockjs
from cometware.dialects.sockjs import SOCKJS
from cometware.endpoint.answers import close_of
from cometware.endpoint.exchange import Exchange
from cometware.errors import Refused, TooFast
from cometware.roster.base import State
from cometware.transports.connection import Connection
from cometware.transports.opening import Admission

OPENED = [Frame("o")]
"""What a new session is told first."""


def admit(exchange: Exchange, transport: str) -> Admission | Close:
    """Let a session in, or say why not; it has one connection at a time.

    A refusal is told in SockJS's own words, since a status would only make the client try every other transport.
    """
    try:
        admission = exchange.admit(transport, SOCKJS.name)
        gone = [other for other in admission.record.connections if other.is_gone]
        if gone:
            for other in gone:
                other.lost("left")
            admission = exchange.admit(transport, SOCKJS.name)
    except Refused as refused:
        if refused.status >= 500 or isinstance(refused, TooFast):
            raise
        return close_of(refused)
    if admission.record.connections:
        return sockjs.ANOTHER_OPEN
    return admission


def pick_up(exchange: Exchange, admission: Admission) -> Position | None:
    """Return where a session reads on: None if it has a connection at another worker, or had one that is gone."""
    return admission.position if admission.opened else exchange.worker.roster.pick_up(admission.record)


def begin(connection: Connection, admission: Admission, head: bytes, position: Position) -> None:
    """Write head and opening, then let the connection read on from its position."""
    worker, record, shape = connection.worker, admission.record, connection.shape
    connection.park()
    connection.write(head + (shape.write(OPENED) if admission.opened else b""))
    if admission.close is not None or record.state is State.ENDED:
        close = admission.close or Close(1000)
        connection.write(shape.write(SOCKJS.close(close)))
        connection.finish_with(close)
        return
    if connection.closed or connection.finishing:
        worker.clients.left_alone(record)
        return
    connection.position = position
    connection.beat_tick = worker.tick_after(worker.limits.heartbeat_seconds)
    if record.user is not None:
        connection.end_tick = worker.tick_after(worker.limits.reauthorise_seconds)
    worker.clients.attach(connection)
