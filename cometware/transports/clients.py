"""The clients of a worker: by which connections each is served, and how it ends.

Rule: a client ends once, whoever ends it; its handlers learn it behind all that it said before.
"""

from __future__ import annotations

import json
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import gevent

from cometware.core.entry import Entry, Message
from cometware.core.events import LEFT, REVOKED, Close
from cometware.core.wheel import ticks
from cometware.errors import LogUnavailable, Refused
from cometware.roster.base import Idle, Record, RosterFull, State
from cometware.transports.clock import TICK_SECONDS
from cometware.transports.connection import Connection
from cometware.transports.poll import Poll
from cometware.transports.report import report

if TYPE_CHECKING:
    from cometware.transports.worker import Worker

_LONG_AWAY_SECONDS = 10.0
"""Who has been away for so long goes, if there is no other room."""
_LOOKED_AT = 1000
_TRIED = 3
"""How many are asked to make room for one: each may be somebody whom another worker needs, or the store may be away."""


_LEFT = Close(LEFT, "this client said goodbye a moment ago")
GONE_SECONDS = 2.0
"""How long who seems to have gone may take to come back."""
_LEFT_SECONDS = 2.0
"""How long a client that said goodbye is told so: requests of its own may still be on their way, and must not open it anew."""


class Later:
    """Something that is to be done at a tick, in the worker's wheel."""

    __slots__ = ("began", "call", "slot", "tick", "worker")

    def __init__(self, worker: Worker, call: Callable[[], None], seconds: float) -> None:
        self.worker = worker
        self.call = call
        self.began = worker.wheel.tick
        self.tick = worker.tick_after(seconds)
        self.slot = -1
        worker.put(self, self.tick)

    def due(self, tick: int) -> None:
        if tick >= self.tick:
            self.call()
        else:
            self.worker.put(self, self.tick)

    def lost(self, reason: str) -> None:
        """Its call has failed, and the log says why."""


class Clients:
    """Connections come and go; who has none is away, and ends when its grace does."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._away: deque[tuple[int, Record]] = deque()
        self._grace_ticks = ticks(worker.limits.grace_seconds, TICK_SECONDS)
        self._asks_again_seconds = min(worker.limits.overlap_seconds, worker.limits.grace_seconds) / 2
        self._sessions_away: deque[tuple[int, Record]] = deque()
        self._session_ticks = ticks(worker.limits.session_seconds, TICK_SECONDS)
        self._newcomers: OrderedDict[str, Record] = OrderedDict()
        """Those who have not come back since they were opened, or not long ago; the oldest first."""

    def attach(self, connection: Connection) -> None:
        """Begin to serve a client by this connection, from `connection.position` on."""
        record = connection.record
        assert record is not None
        others = record.connections
        record.connections = (*others, connection)
        record.has_returned = True
        record.away_tick = self._worker.wheel.tick + self._grace_of(record)
        if record.departure is not None:
            self._came_back(record)
        for other in others:
            if isinstance(other, Poll):
                other.beat()
            else:
                other.give_way_later("replaced by a newer connection")
        connection.schedule()
        self._worker.pump(connection)

    def detach(self, connection: Connection, reason: str = "left", *, asks_again: bool = False) -> None:
        """Serve a client no longer by this connection. One without a key has left with it.

        `asks_again`: it was a poll that is answered, and the next one is on its way. Else the newest of those that are left
        need not give way any more.
        """
        self._worker.dispatcher.remove(connection)
        record = connection.record
        if record is None or connection not in record.connections:
            return
        if len(record.connections) > 1:
            record.connections = tuple([other for other in record.connections if other is not connection])
            if record.is_home and not asks_again:
                record.connections[-1].rival = None
            return
        record.connections = ()
        self.left_alone(record, reason)
        if record.moved_until:
            self._tell_away(record, self._asks_again_seconds if asks_again else 0)

    def give_way(self, connection: Connection, farewell: Close) -> None:
        """The time of a connection beside a newer one is over: it ends if there still is one, here or elsewhere."""
        record = connection.record
        if record is not None and record.connections[-1:] != (connection,):
            connection.end(farewell)
        elif record is not None and not record.is_home:
            gevent.spawn(self._give_way_elsewhere, connection, record, farewell)

    def _give_way_elsewhere(self, connection: Connection, record: Record, farewell: Close) -> None:
        try:
            is_newest = self._worker.roster.take_back(record)
        except LogUnavailable:
            connection.give_way_later(farewell.reason)  # ask again
            return
        if not is_newest and connection in record.connections:
            connection.end(farewell)

    def _tell_away(self, record: Record, seconds: float) -> None:
        """A client came here from another worker and has no connection here any more: that one's may be the newest now."""
        if time.monotonic() < record.moved_until:
            gevent.spawn_later(seconds, self._say_away, record)

    def _say_away(self, record: Record) -> None:
        if not record.connections and record.state is State.OPEN:
            try:
                self._worker.roster.away(record)
            except LogUnavailable:
                pass  # then its other connection ends, and the client comes back

    def left_alone(self, record: Record, reason: str = "left") -> None:
        """A client has no connection: one without a key has left, another one may come back."""
        if record.connections or record.state is not State.OPEN:
            return
        if record.key is None:
            self.ended(record, reason)
        else:
            self.is_away(record)

    def polled(self, record: Record, *, stays: bool) -> None:
        """A poll was answered at once. One that `stays` is the client's newest connection; another one only looks."""
        if record.departure is not None:
            self._came_back(record)
        for other in record.connections if stays else ():
            if isinstance(other, Poll):
                other.beat()
            else:
                other.give_way_later("replaced by a poll")
        if not record.connections and record.key is not None:
            self.is_away(record)
            if record.moved_until:
                self._tell_away(record, self._asks_again_seconds)

    def is_away(self, record: Record) -> None:
        """Begin a client's grace: it has no connection just now."""
        patience = self._grace_of(record)
        record.away_tick = self._worker.wheel.tick + patience
        if not record.has_returned:
            self._newcomers[record.id] = record
        if not record.is_queued:
            record.is_queued = True
            away = self._away if patience == self._grace_ticks else self._sessions_away
            away.append((record.away_tick, record))

    def _grace_of(self, record: Record) -> int:
        """How many ticks may this client be without a connection?"""
        return self._session_ticks if record.dialect == "sockjs" else self._grace_ticks

    def expire(self) -> None:
        """Look after those whose grace may be over; who has come back, or left again since, is passed over."""
        tick = self._worker.wheel.tick
        over = []
        for away in (self._away, self._sessions_away):
            while away and away[0][0] <= tick:
                _, record = away.popleft()
                record.is_queued = False
                self._newcomers.pop(record.id, None)
                if record.connections:
                    continue
                if record.away_tick > tick:
                    record.is_queued = True
                    away.append((record.away_tick, record))
                else:
                    over.append(record)
        if over and self._worker.roster.is_shared:
            gevent.spawn(self._end_idle, over)
        else:
            self._end_idle(over)

    def _end_idle(self, records: Sequence[Record]) -> None:
        """End those who did not come back, here or elsewhere."""
        for record in records:
            if record.state is State.OPEN:
                try:
                    idle = self._worker.roster.is_idle(record)
                except LogUnavailable:
                    idle = Idle.BUSY
                except Exception:
                    report("the end of a client")  # which must not be that of looking after the others
                    idle = Idle.BUSY
                if record.connections:
                    continue  # it came back meanwhile
                if idle is Idle.BUSY:
                    self.is_away(record)
                    continue
                if idle is Idle.ELSEWHERE:
                    self._worker.roster.forget(record)
                    continue
                self.ended(record, "timeout")
            self.forget(record)

    def make_room(self) -> bool:
        """There are too many clients: let the one go that is missed least. Is there one?

        Who has never come back since it was opened goes first, of those the oldest; then who has been away for long.
        Clients with a connection stay, and those whose messages are being handled.
        """
        for _ in range(_TRIED):
            record = self._newcomer() or self._long_away()
            if record is None:
                return False
            self._end_idle([record])
            if self._worker.roster.get(record.id) is not record:
                return True
        return False

    def _newcomer(self) -> Record | None:
        while self._newcomers:
            _, record = self._newcomers.popitem(last=False)
            if not record.has_returned and _may_go(record):
                return record
        return None

    def _long_away(self) -> Record | None:
        latest = self._worker.wheel.tick + self._grace_ticks - ticks(_LONG_AWAY_SECONDS, TICK_SECONDS)
        for _, record in islice(self._away, _LOOKED_AT):
            if record.away_tick <= latest and _may_go(record):
                return record
        return None

    def forget(self, record: Record) -> None:
        """Let go of a client for good."""
        self._worker.roster.forget(record)
        if self._worker.roster.is_shared:
            gevent.spawn(self._drop, record)

    def _drop(self, record: Record) -> None:
        try:
            self._worker.roster.drop(record)
        except LogUnavailable:
            pass  # the worker that looks after its grace finds it again

    def seen_seconds_ago(self, record: Record) -> float:
        """When did this client last come here with a connection? At most a tick too long ago."""
        return (self._worker.wheel.tick - record.away_tick + self._grace_of(record) + 1) * TICK_SECONDS

    def ended(self, record: Record, reason: str, close: Close | None = None) -> None:
        """End a client: its handlers learn it once. What it was told to do next waits for its next request."""
        if record.state is not State.OPEN:
            return
        record.state = State.ENDED
        record.close = close
        self._worker.polls.forget(record)
        self._worker.inboxes.end(record, reason)
        if close is None or record.key is None:
            self.forget(record)
        elif close is _LEFT:
            self._bury(record)
        else:
            self.is_away(record)

    def close(self, record: Record, close: Close, reason: str = "") -> None:
        """End a client and all its connections. One that is being opened ends as soon as it is open.

        `reason` is what `on_close` is told; without it, whether the client was closed or its user revoked.
        """
        if record.state is State.OPENING:
            record.close = close
            return
        connections = record.connections
        self.ended(record, reason or ("revoked" if close.code == REVOKED else "closed"), close)
        for connection in connections:
            connection.end(close)

    # Goodbyes

    def leave_by(self, connection: Connection, wait_seconds: float) -> None:
        """A client says goodbye on a connection. If it has a newer one, it has come back already."""
        record = connection.record
        if record is None or (wait_seconds and record.connections[-1:] != (connection,)):
            return
        if wait_seconds and not record.is_home:
            gevent.spawn(self._leave_elsewhere, record, wait_seconds)  # the store is asked, and here the loop itself may run
        else:
            self.leave(record, wait_seconds)

    def _leave_elsewhere(self, record: Record, wait_seconds: float) -> None:
        try:
            self.leave(record, wait_seconds)
        except LogUnavailable:
            pass  # its grace is left

    def leave(self, record: Record, wait_seconds: float) -> None:
        """A client says goodbye: it has left now, or after so many seconds, at most its grace, unless it comes back."""
        seconds = min(wait_seconds, self._worker.limits.grace_seconds)
        if not seconds:
            self._left(record, _LEFT)
        elif record.is_home:
            self._came_back(record)
            record.departure = Later(self._worker, lambda: self._depart(record), seconds)
        else:
            details = json.dumps({"code": 1000, "reason": "left", "wait": seconds})
            self._worker.log.append(Message("close", details, (f"client:{record.id}",), kind="close"))

    def leave_by_id(self, id: str, wait_seconds: float) -> bool:
        """The same for whoever is known by an id, on whichever worker. Is it here?

        Raises:
            LogUnavailable: The store cannot say who is here.
            Refused: As `find`.
        """
        record = self.find(id)
        if record is None or record.state is not State.OPEN:
            return False
        self.leave(record, wait_seconds)
        return True

    def find(self, id: str) -> Record | None:
        """Return the record of a client, on whichever worker it is; here it is kept for its grace only, if that is another.

        Raises:
            LogUnavailable: The store cannot say who is here.
            Refused: There is no room here for the record (503).
        """
        try:
            record = self._worker.roster.find(id)
        except RosterFull:
            raise Refused(
                503, f"this worker keeps {self._worker.limits.max_clients} clients; see Limits.max_clients"
            ) from None
        if record is not None and not record.is_home:
            self.left_alone(record)
        return record

    def _came_back(self, record: Record) -> None:
        departure, record.departure = record.departure, None
        if departure is not None:
            self._worker.unput(departure)

    def _depart(self, record: Record) -> None:
        """The time of a goodbye is over. A goodbye may come late: who has a connection that came just before it, stays."""
        departure, record.departure = record.departure, None
        came = record.away_tick - self._grace_of(record)
        if record.state is not State.OPEN or (record.connections and came >= 2 * departure.began - departure.tick):
            return
        if self._worker.roster.is_shared:
            gevent.spawn(self._depart_unless_elsewhere, record)
        else:
            self._left(record, None)

    def _depart_unless_elsewhere(self, record: Record) -> None:
        try:
            if self._worker.roster.leaves(record) is Idle.YES:
                self._left(record, None)
        except LogUnavailable:
            pass  # its grace is left

    def _left(self, record: Record, told: Close | None) -> None:
        connections = record.connections
        self.ended(record, "left", told)
        farewell = _LEFT if told is None else Close(1000, "left")  # it did not close itself: it may live after all
        for connection in connections:
            connection.end(farewell)

    def bury(self, record: Record) -> None:
        """A client has said goodbye that was never here. If it comes after all, it is told so for a while.

        Raises:
            LogUnavailable: Other workers cannot be told.
        """
        record.state, record.close = State.ENDED, _LEFT
        self._bury(record)
        self._worker.roster.bury(record)

    def _bury(self, record: Record) -> None:
        record.departure = Later(self._worker, lambda: self.forget(record), _LEFT_SECONDS)

    def told(self, record: Record) -> None:
        """A client was told why it has ended: once, whether it may come back is for `user` and `on_open` to decide."""
        if record.close is None or record.close.code != LEFT:
            if record.dialect != "sockjs":  # whose client asks again
                self.forget(record)
        elif self._worker.roster.is_shared:
            self._worker.roster.forget(record)  # the store knows

    def control(self, entry: Entry) -> None:
        """Do what a control asks of the connections that are here."""
        message = entry.message
        name = message.to[0].partition(":")[2]
        details = json.loads(message.json)
        if message.kind == "revoke":  # of those who were here; who logged in behind it was asked for behind it
            offset = entry.position.offset
            records = [record for record in self._worker.roster.of_user(name) if record.opened_at < offset]
        else:
            record = self._worker.roster.get(name)
            records = [record] if record is not None else []
        for record in records:
            if message.kind in ("join", "leave"):
                self._worker.roster.moved(record, message.kind, details["room"])
                self._worker.dispatcher.move(record, message.kind, details["room"])
            elif "wait" in details:
                if record.is_home:
                    self.leave(record, details["wait"])
            else:
                self.close(record, Close(details["code"], details["reason"]))


def _may_go(record: Record) -> bool:
    return record.state is State.OPEN and not record.connections and record.inbox is None
