"""A channel on one event loop: its parked connections, and what happens to them.

One tailer, one poller, one wheel and the runners of handlers; nothing here exists once for each client.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import gevent
from gevent import monkey
from gevent.event import Event
from gevent.threadpool import ThreadPool

from cometware.channel import Channel
from cometware.client import Client
from cometware.core.entry import Entry, Position
from cometware.core.events import DRAIN, Close, Left, Received
from cometware.core.events import Event as Said
from cometware.core.patience import Patience
from cometware.core.rates import Heeding, Meters
from cometware.core.wheel import Wheel, ticks
from cometware.dialects.base import Shape
from cometware.errors import BadFrame, Gap
from cometware.logs.base import real_lock
from cometware.questions import Signal
from cometware.roster.base import Record
from cometware.roster.shared import SharedRoster
from cometware.transports.clients import Clients
from cometware.transports.clock import TICK_SECONDS, Clock
from cometware.transports.connection import Connection
from cometware.transports.dispatcher import Dispatcher
from cometware.transports.inbox import Inboxes
from cometware.transports.poll import Polls
from cometware.transports.poller import Poller
from cometware.transports.proofs import Proofs
from cometware.transports.pump import pump
from cometware.transports.report import begin_anew, report
from cometware.transports.tenant import Tenant
from cometware.transports.websocket import WebSocket

_SWITCH_SECONDS = 0.0002
_SLOTS = 512
_FORGET_TICKS = 20
"""Every so many ticks, a log in memory is asked to forget what is too old."""
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
        begin_anew()
        self.threads = threads
        self._threads = ThreadPool(threads) if threads else None
        if threads:
            _take_turns()
        self.clock = clock or Clock()
        self.channel = channel
        channel.is_served = True
        self.limits = channel.limits
        self.log = channel.log
        self.roster = channel.roster
        self.silence_milliseconds = int(1000 * (self.limits.heartbeat_seconds + self.limits.pong_seconds))
        self.poller = Poller()
        self.wheel: Wheel[Timed] = Wheel(_SLOTS)
        self.patience = Patience()
        self.meters = None if self.limits.rates is None else Meters(self.limits.rates)
        self.heeding = Heeding()
        self.now = self.clock.monotonic
        self.polls = Polls(enabled=fast_polls, size=self.limits.max_clients)
        self.inboxes = Inboxes(self)
        self.owing: list[WebSocket] = []
        self.clients = Clients(self)
        self.proofs = Proofs(self)
        self._event = Event()
        self._ticks = 0
        loop = gevent.get_hub().loop
        self._arrival = loop.async_()
        self._arrival.start(self._event.set)
        self.dispatcher = Dispatcher(self)
        self._unsubscribe = self.log.subscribe(self._arrival.send)
        self._ticking = self.clock.timer(TICK_SECONDS, TICK_SECONDS)
        self._ticking.start(self._tick)
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
            self.clients.expire()
            if self.wheel.tick % _FORGET_TICKS == 0:
                self.log.forget_old(self.clock.monotonic())

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

    def soon(self, call: Callable[..., None], *arguments: object) -> None:
        """Do something in the next turn of the loop."""
        gevent.get_hub().loop.run_callback(call, *arguments)

    def blocking(self, call: Callable[..., Result], *arguments: Any) -> Result:
        """Run the application's code: in a native thread if there are any, else here, where it must not block.

        Its `sys.exit()` is a failure as any other: a client that meets it must not end the event loop.
        """
        if self._threads is None:
            result, error = _attempt(call, *arguments)
        else:
            result, error = self._threads.apply(_attempt, (call, *arguments))
        if isinstance(error, SystemExit):
            raise RuntimeError("the application called sys.exit()") from error
        if error is not None:
            raise error
        return result  # type: ignore[return-value]

    def who(self, find: Callable[..., str | None], *arguments: Any) -> str | None:
        """Ask the application who is logged in; once more, if that user was revoked while it looked.

        A client is only revoked if it is there, and this one is not yet. Who is revoked again meanwhile is nobody.
        """
        for _ in range(2):
            before = self.log.head
            user = self.blocking(find, *arguments)
            if user is None or not self._was_revoked(user, before):
                return user
        return None

    def _was_revoked(self, user: str, since: Position) -> bool:
        head = self.log.head
        if head == since:
            return False
        try:
            entries = self.log.since(since.offset)
        except Gap:
            return True
        revoked = any(entry.message.kind == "revoke" and f"user:{user}" in entry.message.to for entry in entries)
        return revoked or head.epoch != since.epoch

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

    def check_size(self, size: int) -> None:
        """Raise an error if a message is larger than it may be."""
        limit = self.limits.max_message_bytes
        if size > limit:
            message = f"a message of {size} bytes; Limits.max_message_bytes allows {limit}"
            raise BadFrame("size", message, limit=limit, size=size)

    def lends(self, names: tuple[str | None, ...], events: Sequence[Said], size: int) -> bool:
        """May this be taken though its sender is too fast? What comes with a goodbye is not sent again, but waits its time."""
        if self.meters is None or not any(isinstance(event, Left) for event in events):
            return False
        has_more = any(isinstance(event, Received) for event in events)
        patience = self.limits.rate_patience_seconds if has_more else math.inf
        return self.meters.lend(names, len(events), size, self.now(), patience)

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
        self.proofs.close()
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


def _attempt(call: Callable[..., Result], *arguments: Any) -> tuple[Result | None, BaseException | None]:
    """Return an exception instead of raising it: gevent's pool would print it, though a refusal is no failure."""
    try:
        return call(*arguments), None
    except (Exception, SystemExit) as error:
        return None, error
