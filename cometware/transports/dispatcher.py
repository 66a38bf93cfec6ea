"""Takes what has arrived in the log to the connections that stand at its end, in rounds.

A round settles where it ends and takes a snapshot of its listeners before its first send. Who joins later starts at that
end; after a pause, who is no longer live, or was brought up to date by other means, is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import gevent

from cometware.core.cursor import BATCH_BYTES, within
from cometware.core.entry import EVERYBODY, Entry, Position
from cometware.dialects.base import Shape
from cometware.errors import Gap
from cometware.roster.base import Record
from cometware.transports.connection import Connection
from cometware.transports.report import report

if TYPE_CHECKING:
    from cometware.transports.worker import Worker

_SENDS_BEFORE_PAUSE = 1000
_SHARED = 64
_SHARED_BYTES = 4 * 1024 * 1024
"""Batches that are kept for others who come to the same place, and what they may occupy."""

_EVERYBODY_ONLY = (EVERYBODY,)


class Dispatcher:
    """`position` is the end of the last round, `start` where the running one begins, `round` its number."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self.position = worker.log.head
        self.start = self.position
        self.round = 1
        self._running = False
        self._everyone: dict[Shape, set[Connection]] = {}
        self._by_audience: dict[str, set[Connection]] = {}
        self._waiting: list[Connection] = []
        self._shared: dict[tuple[Shape, str, tuple[int, ...]], bytes] = {}
        self._shared_bytes = 0
        self._heartbeats: dict[Shape, tuple[Position, bytes]] = {}
        self._sends = 0

    # Listeners: live connections only

    def add(self, connection: Connection) -> None:
        """A connection has read all up to here: it is live."""
        record = connection.record
        assert record is not None
        connection.position = None
        connection.live = True
        connection.round = self.round
        try:
            self._everyone[connection.shape].add(connection)
        except KeyError:
            self._everyone[connection.shape] = {connection}
        connection.rooms = record.rooms
        for audience in record.rooms:
            self._listen(connection, audience)
        if record.user is not None:
            self._listen(connection, f"user:{record.user}")

    def remove(self, connection: Connection) -> None:
        """A connection is behind, or gone."""
        if not connection.live:
            return
        record = connection.record
        assert record is not None
        connection.live = False
        self._everyone[connection.shape].discard(connection)
        for audience in connection.rooms:
            self._ignore(connection, audience)
        if record.user is not None:
            self._ignore(connection, f"user:{record.user}")

    def _listen(self, connection: Connection, audience: str) -> None:
        self._by_audience.setdefault(audience, set()).add(connection)

    def _ignore(self, connection: Connection, audience: str) -> None:
        listeners = self._by_audience.get(audience)
        if listeners is not None:
            listeners.discard(connection)
            if not listeners:
                del self._by_audience[audience]

    def move(self, record: Record, kind: str, room: str) -> None:
        """A client has joined or left a room, at this point of the log."""
        joins = kind == "join"
        if joins != (room in record.rooms):
            return  # it has changed its mind since
        for connection in record.connections:
            if connection.live:
                (self._listen if joins else self._ignore)(connection, room)
                connection.rooms = connection.rooms | {room} if joins else connection.rooms - {room}

    def wait_for(self, connection: Connection) -> None:
        """A connection stands ahead of this dispatcher: pump it after the next round."""
        self._waiting.append(connection)

    def position_of(self, connection: Connection) -> Position:
        """Where does a live connection stand?"""
        if self._running and connection.round != self.round:
            return self.start
        return self.position

    # What many share

    def share(self, shape: Shape, entries: Sequence[Entry]) -> bytes:
        """Write a batch, or take what was written of it for somebody else."""
        key = (shape, entries[0].position.epoch, tuple([entry.position.offset for entry in entries]))
        body = self._shared.get(key)
        if body is None:
            body = shape.share(entries)
            self._shared_bytes += len(body)
            while self._shared and (self._shared_bytes > _SHARED_BYTES or len(self._shared) >= _SHARED):
                self._shared_bytes -= len(self._shared.pop(next(iter(self._shared))))
            self._shared[key] = body
        return body

    def heartbeat(self, shape: Shape) -> bytes:
        known = self._heartbeats.get(shape)
        if known is None or known[0] != self.position:
            known = self._heartbeats[shape] = (self.position, shape.heartbeat(self.position))
        return known[1]

    # Rounds

    def dispatch(self) -> None:
        """Take everything that has arrived since the last time to whom it is for. Switches greenlets between sends."""
        log = self._worker.log
        while True:
            head = log.head
            if head == self.position:
                break
            try:
                if head.epoch != self.position.epoch:
                    raise Gap("epoch")
                entries = log.since(self.position.offset)
            except Gap as gap:
                self._history_lost(gap.reason, log.head)
                continue
            for batch in _batches(entries, self._worker.limits.batch_entries):
                if batch[0].message.is_control:
                    self.position = batch[0].position
                    self._worker.clients.control(batch[0])
                else:
                    self._round(batch)
                self._pump_waiting()
                self._worker.turn()
        self._pump_waiting()

    def _pump_waiting(self) -> None:
        """Bring those in who stood ahead of the last round."""
        waiting, self._waiting = self._waiting, []
        for connection in waiting:
            if not connection.closed and not connection.live:
                self._worker.pump(connection)

    def _round(self, entries: Sequence[Entry]) -> None:
        self.start, self.position = self.position, entries[-1].position
        self.round += 1
        self._running = True
        try:
            for (shape, share), connections in self._snapshot(entries):
                try:
                    body = self.share(shape, share) if len(connections) > 1 else shape.share(share)
                    if body:
                        self._send(shape, connections, body, entries[-1].position)
                except Exception:
                    report(f"writing for {shape!r}")
                    self._give_up(connections)
        finally:
            self._running = False

    def _give_up(self, connections: Iterable[Connection]) -> None:
        """Writing has failed: who was not written to in this round misses nothing, but comes back; all others go on."""
        for connection in connections:
            if connection.live and connection.round != self.round:
                connection.lost("error")

    def _snapshot(self, entries: Sequence[Entry]) -> list[tuple[tuple[Shape, Sequence[Entry]], list[Connection]]]:
        """Group the connections by what of these entries they hear."""
        if all(entry.message.to == _EVERYBODY_ONLY and entry.message.but is None for entry in entries):
            return [((shape, entries), list(connections)) for shape, connections in self._everyone.items() if connections]
        if len(entries) == 1:
            return self._direct(entries)
        owed: dict[Connection, list[int]] = {}
        for index, entry in enumerate(entries):
            left_out = () if entry.message.but is None else entry.message.left_out
            for connection in self._listeners(entry.message.to):
                if not left_out or connection.record is None or connection.record.id not in left_out:
                    mine = owed.setdefault(connection, [])
                    if not mine or mine[-1] != index:
                        mine.append(index)
        groups: dict[tuple[Shape, tuple[int, ...]], list[Connection]] = {}
        for connection, indexes in owed.items():
            groups.setdefault((connection.shape, tuple(indexes)), []).append(connection)
        return [
            ((shape, [entries[index] for index in indexes]), connections) for (shape, indexes), connections in groups.items()
        ]

    def _direct(self, entries: Sequence[Entry]) -> list[tuple[tuple[Shape, Sequence[Entry]], list[Connection]]]:
        """The same for one entry: who hears it at all hears all of it."""
        message = entries[0].message
        left_out = () if message.but is None else message.left_out
        groups: dict[Shape, dict[Connection, None]] = {}
        for connection in self._listeners(message.to):
            if not left_out or connection.record is None or connection.record.id not in left_out:
                groups.setdefault(connection.shape, {})[connection] = None
        return [((shape, entries), list(connections)) for shape, connections in groups.items()]

    def _listeners(self, to: Iterable[str]) -> Iterator[Connection]:
        for audience in to:
            if audience == EVERYBODY:
                for connections in self._everyone.values():
                    yield from connections
            elif audience.startswith("client:"):
                record = self._worker.roster.get(audience[7:])
                if record is not None:
                    yield from [connection for connection in record.connections if connection.live]
            else:
                yield from self._by_audience.get(audience, ())

    def _send(self, shape: Shape, connections: list[Connection], body: bytes, end: Position) -> None:
        this_round = self.round
        answer = None
        size = len(body)
        for connection in connections:
            if not connection.live or connection.round == this_round:
                continue
            self._sends += 1
            if self._sends >= _SENDS_BEFORE_PAUSE:
                self._pause()
                if not connection.live or connection.round == this_round:
                    continue
            connection.round = this_round
            if shape.is_poll:
                answer = answer or connection.compose(body, end)
                connection.answer(answer)
            else:
                try:
                    sent = connection.sock.send(body)
                except BlockingIOError:
                    sent = 0
                except OSError:
                    connection.lost("reset")
                    continue
                if sent != size:
                    connection.keep(body, sent)
        if connections[0].is_bounded:
            for connection in connections:
                connection.carried(size)

    def _pause(self) -> None:
        """Let the loop look at its sockets. `gevent.sleep(0)` would only run callbacks."""
        self._sends = 0
        hub = gevent.get_hub()
        hub.wait(hub.loop.timer(0))

    def _history_lost(self, reason: str, head: Position) -> None:
        """The log was reborn, or ran away from us: everybody is told, and what was in it is taken from the roster."""
        live = [connection for connections in self._everyone.values() for connection in connections]
        self.position = self.start = head
        for connection in live:
            if connection.live and connection.reset(reason, head) and connection.live:
                self.remove(connection)
                self.add(connection)
        for record in self._worker.roster:
            if record.close is not None:
                self._worker.clients.close(record, record.close)


def _batches(entries: list[Entry], limit: int) -> Iterator[list[Entry]]:
    """Part entries into batches of mail that are not too long; a control is a batch of its own."""
    batch: list[Entry] = []
    for entry in entries:
        if entry.message.is_control:
            if batch:
                yield from _bounded(batch, limit)
                batch = []
            yield [entry]
        else:
            batch.append(entry)
    if batch:
        yield from _bounded(batch, limit)


def _bounded(entries: list[Entry], limit: int) -> Iterator[list[Entry]]:
    while entries:
        batch, _ = within(entries[:limit], BATCH_BYTES)
        yield batch
        entries = entries[len(batch) :]
