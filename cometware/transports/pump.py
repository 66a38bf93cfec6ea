"""What feeds every transport."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cometware.errors import Gap
from cometware.transports.connection import Connection

if TYPE_CHECKING:
    from cometware.transports.worker import Worker


def pump(worker: Worker, connection: Connection) -> None:
    """Bring this connection up to date, as far as its socket takes it without waiting.

    May be called at any time by: an arrival in the log, a socket that became writable, a new connection. It never
    switches greenlets, so a connection has one writer and needs no lock.
    """
    record = connection.record
    while record is not None and connection.position is not None and connection.unsent is None and not connection.closed:
        dispatcher = worker.dispatcher
        if connection.position == dispatcher.position:
            dispatcher.add(connection)
            return
        if connection.position.is_ahead_of(dispatcher.position) and not connection.position.is_ahead_of(worker.log.head):
            dispatcher.wait_for(connection)
            return
        try:
            entries, reached = worker.read(record, connection.position, dispatcher.position.offset)
        except Gap as gap:
            connection.position = dispatcher.position
            if not connection.reset(gap.reason, dispatcher.position):
                return
            continue
        if entries:
            body = worker.share(connection.shape, entries)
            connection.position = reached
            if body and connection.shape.is_poll:
                connection.answer(connection.compose(body, reached))
                return
            if body:
                connection.send_shared(body)
                connection.carried(len(body))
        else:
            connection.position = reached
        record = connection.record


def missed(worker: Worker, connection: Connection) -> bytes:
    """Return the first batch of what a new connection has missed, to be sent in one piece with its greeting.

    The connection counts as having been sent it; `pump` goes on from there, and it finds any gap.
    """
    record, position, until = connection.record, connection.position, worker.dispatcher.position
    if record is None or position is None or not until.is_ahead_of(position):
        return b""
    try:
        entries, connection.position = worker.read(record, position, until.offset)
    except Gap:
        return b""
    return worker.share(connection.shape, entries) if entries else b""
