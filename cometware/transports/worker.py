"""A channel on one event loop: its parked connections, and what happens to them.

One tailer, one poller, one wheel and the runners of handlers; nothing here exists once for each client.
"""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import gevent
from gevent import monkey
from gevent.event import Event
from gevent.threadpool import ThreadPool

from cometware.channel import Channel
from cometware.client import Client
from cometware.core.entry import Entry, Position
from cometware.core.events import DRAIN, REPLACED, REVOKED, Close
from cometware.core.patience import Patience
from cometware.core.wheel import Wheel, ticks
from cometware.dialects.base import Shape
from cometware.errors import BadFrame, LogUnavailable
from cometware.logs.base import real_lock
from cometware.questions import Signal
from cometware.roster.base import Idle, Record, State
from cometware.roster.shared import SharedRoster
from cometware.transports.clock import Clock
from cometware.transports.connection import Connection
from cometware.transports.dispatcher import Dispatcher
from cometware.transports.inbox import Inboxes
from cometware.transports.poll import Poll, Polls
from cometware.transports.poller import Poller
from cometware.transports.pump import pump
from cometware.transports.report import report
from cometware.transports.tenant import Tenant
from cometware.transports.websocket import WebSocket

TICK_SECONDS = 0.25
PROOF_SECONDS = 0.15
_SWITCH_SECONDS = 0.0002
_SLOTS = 512
_get_ident: Callable[[], int] = monkey.get_original("_thread", "get_ident")

Result = TypeVar("Result")


class Timed(Protocol):
    """What stands in the wheel; `slot` is the tick for which it does (-1: none). `due` must not wait."""

    slot: int

    def __hash__(self) -> int: ...

    def due(self, tick: int) -> None: ...

    def lost(self, reason: str) -> None: ...


class Worker:
    """Made at the first request of a process, in the thread of its event loop; everything here stays in that thread.

    `threads` is how many native threads run the application's handlers; with 0, greenlets of the loop run them.
    `clock` is what moves everything here that waits.
    """

    def __init__(self, channel: Channel, *, threads: int = 0, fast_polls: bool = True, clock: Clock | None = None) -> None:
        self.threads = threads
        self._threads = ThreadPool(threads) if threads else None
        if threads:
            _take_turns()
        self.clock = clock or Clock()
        self.channel = channel
        self.limits = channel.limits
        self.log = channel.log
        self.roster = channel.roster
        self.silence_milliseconds = int(1000 * (self.limits.heartbeat_seconds + self.limits.pong_seconds))
        self.poller = Poller()
        self.wheel: Wheel[Timed] = Wheel(_SLOTS)
        self.patience = Patience()
        self.polls = Polls(enabled=fast_polls, size=self.limits.max_clients)
        self.inboxes = Inboxes(self)
        self.owing: list[WebSocket] = []
        self._away: deque[tuple[int, Record]] = deque()
        self._grace_ticks = ticks(self.limits.grace_seconds, TICK_SECONDS)
        self._sessions_away: deque[tuple[int, Record]] = deque()
        self._session_ticks = ticks(self.limits.session_seconds, TICK_SECONDS)
        self._event = Event()
        self._ticks = 0
        self._unproven: deque[tuple[float, Connection]] = deque()
        loop = gevent.get_hub().loop
        self._arrival = loop.async_()
        self._arrival.start(self._event.set)
        self.dispatcher = Dispatcher(self)
        self._unsubscribe = self.log.subscribe(self._arrival.send)
        self._ticking = self.clock.timer(TICK_SECONDS, TICK_SECONDS)
        self._ticking.start(self._tick)
        self._proof = self.clock.timer(PROOF_SECONDS)
        self._thread = _get_ident()
        channel.questions.make_signal = self._make_signal
        self._greenlet = gevent.spawn(self._run)
        self._tenant = Tenant(self, self.roster) if isinstance(self.roster, SharedRoster) else None

    def _make_signal(self) -> Signal:
        return Event() if _get_ident() == self._thread else ThreadSignal()

    # The one greenlet: rounds, and between them whatever the clock brings

    def _run(self) -> None:
        while True:
            self._event.wait()
            self._event.clear()
            try:
                self.turn()
                self.dispatcher.dispatch()
            except Exception:
                report("the dispatcher")
                gevent.sleep(0.1)
                self._event.set()

    def _tick(self) -> None:
        self._ticks += 1
        self._event.set()

    def turn(self) -> None:
        """Do what the clock has brought since the last time. Only between two rounds: a heartbeat tells a position."""
        while self._ticks:
            self._ticks -= 1
            for connection in self.wheel.turn():
                connection.slot = -1
                try:
                    connection.due(self.wheel.tick)
                except Exception:
                    report("a connection's timer")
                    connection.lost("error")
            if self.wheel.tick % 4 == 0:
                owing, self.owing = self.owing, []
                for debtor in owing:
                    debtor.acknowledge()
            self._expire()

    # The wheel

    def tick_after(self, seconds: float) -> int:
        """Which tick is this many seconds from now?"""
        return self.wheel.tick + ticks(seconds, TICK_SECONDS)

    def put(self, connection: Timed, tick: int) -> None:
        """Let a connection come up at a tick, or sooner: it then finds that nothing is due, and is put again.

        So that what is always put off (the end of a poll's wait) costs nothing.
        """
        if connection.slot < 0:
            connection.slot = self.wheel.add(connection, tick)
        elif connection.slot > tick:
            self.wheel.discard(connection, connection.slot)
            connection.slot = self.wheel.add(connection, tick)

    def unput(self, connection: Timed) -> None:
        if connection.slot >= 0:
            self.wheel.discard(connection, connection.slot)
            connection.slot = -1

    # Streams prove themselves

    def prove_soon(self, connection: Connection) -> None:
        """Send a stream one small thing soon: if the client sees it before the end, nobody holds the stream back."""
        self._unproven.append((self.clock.monotonic() + PROOF_SECONDS, connection))
        if len(self._unproven) == 1:
            self._proof.start(self._prove)

    def _prove(self) -> None:
        now = self.clock.monotonic() + 0.01
        while self._unproven and self._unproven[0][0] <= now:
            _, connection = self._unproven.popleft()
            if connection.live and connection.unsent is None:
                connection.write(connection.shape.heartbeat(self.position_of(connection)))
        if self._unproven:
            self._proof.start(self._prove)

    # Connections come and go

    def attach(self, connection: Connection) -> None:
        """Begin to serve a client by this connection, from `connection.position` on."""
        record = connection.record
        assert record is not None
        others = record.connections
        record.connections = (*others, connection)
        record.away_tick = self.wheel.tick + self._patience(record)
        for other in others:
            if isinstance(other, Poll):
                other.beat()
            else:
                other.end_later(Close(REPLACED, "replaced by a newer connection"), self.limits.overlap_seconds)
        connection.schedule()
        self.pump(connection)

    def detach(self, connection: Connection, reason: str = "left") -> None:
        """Serve a client no longer by this connection. One without a key has left with it."""
        self.dispatcher.remove(connection)
        record = connection.record
        if record is None or connection not in record.connections:
            return
        if len(record.connections) > 1:
            record.connections = tuple([other for other in record.connections if other is not connection])
            return
        record.connections = ()
        self.left_alone(record, reason)

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
        for other in record.connections if stays else ():
            if isinstance(other, Poll):
                other.beat()
            else:
                other.end_later(Close(REPLACED, "replaced by a poll"), self.limits.overlap_seconds)
        if not record.connections and record.key is not None:
            self.is_away(record)

    def is_away(self, record: Record) -> None:
        """Begin a client's grace: it has no connection just now."""
        patience = self._patience(record)
        record.away_tick = self.wheel.tick + patience
        if not record.is_queued:
            record.is_queued = True
            away = self._away if patience == self._grace_ticks else self._sessions_away
            away.append((record.away_tick, record))

    def _patience(self, record: Record) -> int:
        """How many ticks may this client be without a connection?"""
        return self._session_ticks if record.dialect == "sockjs" else self._grace_ticks

    def _expire(self) -> None:
        """Look after those whose grace may be over; who has come back, or left again since, is passed over."""
        tick = self.wheel.tick
        over = []
        for away in (self._away, self._sessions_away):
            while away and away[0][0] <= tick:
                _, record = away.popleft()
                record.is_queued = False
                if record.connections:
                    continue
                if record.away_tick > tick:
                    record.is_queued = True
                    away.append((record.away_tick, record))
                else:
                    over.append(record)
        if over and self.roster.is_shared:
            gevent.spawn(self._end_idle, over)
        else:
            self._end_idle(over)

    def _end_idle(self, records: Sequence[Record]) -> None:
        """End those who did not come back, here or elsewhere."""
        for record in records:
            if record.state is State.OPEN:
                try:
                    idle = self.roster.is_idle(record)
                except LogUnavailable:
                    idle = Idle.BUSY
                if record.connections:
                    continue  # it came back meanwhile
                if idle is Idle.BUSY:
                    self.is_away(record)
                    continue
                if idle is Idle.ELSEWHERE:
                    self.roster.forget(record)
                    continue
                self.ended(record, "timeout")
            self.forget(record)

    def forget(self, record: Record) -> None:
        """Let go of a client for good."""
        self.roster.forget(record)
        if self.roster.is_shared:
            gevent.spawn(self._drop, record)

    def _drop(self, record: Record) -> None:
        try:
            self.roster.drop(record)
        except LogUnavailable:
            pass  # the worker that looks after its grace finds it again

    def seen_seconds_ago(self, record: Record) -> float:
        """When did this client last come here with a connection? At most a tick too long ago."""
        return (self.wheel.tick - record.away_tick + self._patience(record) + 1) * TICK_SECONDS

    def ended(self, record: Record, reason: str, close: Close | None = None) -> None:
        """End a client: its handlers learn it once. What it was told to do next waits for its next request."""
        if record.state is not State.OPEN:
            return
        record.state = State.ENDED
        record.close = close
        self.polls.forget(record)
        self.inboxes.end(record, reason)
        if close is None or record.key is None:
            self.forget(record)
        else:
            self.is_away(record)

    def close_client(self, record: Record, close: Close, reason: str = "") -> None:
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

    def leave(self, connection: Connection) -> None:
        """The client itself says goodbye."""
        record = connection.record
        if record is not None:
            self.close_client(record, Close(1000, "left"), "left")

    def soon(self, call: Callable[..., None], *arguments: object) -> None:
        """Do something in the next turn of the loop."""
        gevent.get_hub().loop.run_callback(call, *arguments)

    def blocking(self, call: Callable[..., Result], *arguments: Any) -> Result:
        """Run the application's code: in a native thread if there are any, else here, where it must not block."""
        if self._threads is None:
            return call(*arguments)
        result, error = self._threads.apply(_attempt, (call, *arguments))
        if error is not None:
            raise error
        return result  # type: ignore[no-any-return]

    def call(self, event: str, client: Client, *arguments: Any) -> Any:
        """Have the application do what it does when a client speaks: by its handler, or by its hook."""
        hooks = self.channel.hooks_for(event)
        if hooks is not None:
            return hooks.call(self.blocking, event, client, *arguments)
        return self.blocking(self.channel.call, event, client, *arguments)

    # The log

    def pump(self, connection: Connection) -> None:
        pump(self, connection)

    def fell_behind(self, connection: Connection) -> None:
        """A socket is full: from now on this connection has a position of its own."""
        if connection.live:
            connection.position = self.position_of(connection)
            self.dispatcher.remove(connection)

    def position_of(self, connection: Connection) -> Position:
        """Up to where has this connection been written to?"""
        return connection.position or self.dispatcher.position_of(connection)

    def read(self, record: Record, position: Position, until: int) -> tuple[list[Entry], Position]:
        """Return a client's next batch, at most up to an offset, and the position behind it."""
        return self.log.read(position, record.audiences, record.id, self.limits.batch_entries, until)

    def share(self, shape: Shape, entries: Sequence[Entry]) -> bytes:
        return self.dispatcher.share(shape, entries)

    def heartbeat(self, shape: Shape) -> bytes:
        return self.dispatcher.heartbeat(shape)

    def control(self, entry: Entry) -> None:
        """Do what a control asks of the connections that are here."""
        message = entry.message
        name = message.to[0].partition(":")[2]
        details = json.loads(message.json)
        if message.kind == "revoke":
            records = self.roster.of_user(name)
        else:
            record = self.roster.get(name)
            records = [record] if record is not None else []
        for record in records:
            if message.kind in ("join", "leave"):
                self.roster.moved(record, message.kind, details["room"])
                self.dispatcher.move(record, message.kind, details["room"])
            else:
                self.close_client(record, Close(details["code"], details["reason"]))

    def check_size(self, size: int) -> None:
        """Raise an error if a message is larger than it may be."""
        limit = self.limits.max_message_bytes
        if size > limit:
            message = f"a message of {size} bytes; Limits.max_message_bytes allows {limit}"
            raise BadFrame("size", message, limit=limit, size=size)

    # The end

    def drain(self, window_seconds: float) -> None:
        """Ask every client to come back, spread over a window, because this worker is about to end."""
        connections = [connection for record in self.roster for connection in record.connections]
        for index, connection in enumerate(connections):
            wait = round(window_seconds * index / len(connections), 3)
            connection.ask_to_reconnect(wait, Close(DRAIN, "the server restarts"))

    def close(self) -> None:
        """Let go of everything at once."""
        self._unsubscribe()
        self._ticking.stop()
        self._proof.stop()
        self._arrival.stop()
        self._greenlet.kill()
        self.inboxes.close()
        if self._tenant is not None:
            self._tenant.close()
        for connection in [connection for record in self.roster for connection in record.connections]:
            connection.lost("shutdown")
        self.poller.close()


class ThreadSignal:
    """Lets a native thread wait for what happens in the loop's."""

    def __init__(self) -> None:
        lock: Any = real_lock()
        lock.acquire()
        self._lock = lock

    def set(self) -> None:
        if self._lock.locked():
            self._lock.release()

    def wait(self, timeout: float) -> bool:
        return bool(self._lock.acquire(timeout=timeout))


def _take_turns() -> None:
    """Let threads that compute hand on Python's lock sooner, unless the program has set that itself.

    The loop gives the lock away at each send and waits for it behind every thread that computes: by default 5 ms for each.
    """
    if sys.getswitchinterval() == 0.005:
        sys.setswitchinterval(_SWITCH_SECONDS)


def _attempt(call: Callable[..., Result], *arguments: Any) -> tuple[Result | None, Exception | None]:
    """Return an exception instead of raising it: gevent's pool would print it, though a refusal is no failure."""
    try:
        return call(*arguments), None
    except Exception as error:
        return None, error
