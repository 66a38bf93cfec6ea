"""How a client comes in: once for each key and user, however many connections race."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from typing import Any, NamedTuple

import gevent
from gevent.event import Event

from cometware.client import Client, Environ
from cometware.core import keys
from cometware.core.entry import Position
from cometware.core.events import Close
from cometware.core.negotiation import Asked
from cometware.dialects.base import Greeting, Shape
from cometware.errors import Gap, LogUnavailable, Refused, TooFast
from cometware.roster.base import Arrival, Opening, Record, RosterFull, State
from cometware.transports.clients import GONE_SECONDS
from cometware.transports.report import report, tell
from cometware.transports.worker import Worker

_TAIL_PAUSE_SECONDS = 0.01
_TOLD = ("max_message_bytes", "max_waiting_messages", "last_entries", "last_bytes", "grace_seconds")
"""Limits that a client is to know."""
_ELSEWHERE_SECONDS = 0.05
"""How often to look whether another worker has opened a client."""


class Admission(NamedTuple):
    """A client that is in, and from where its new connection reads.

    `opened`: this request opened it. `reset`: why its history is lost. `close`: it was closed while it was away, and is
    to be told so instead of being served.
    """

    record: Record
    position: Position
    opened: bool
    reset: str | None = None
    close: Close | None = None

    @property
    def recovered(self) -> bool:
        return self.reset is None


def admit(
    worker: Worker,
    asked: Asked,
    user: str | None,
    environ: Environ,
    transport: str,
    dialect: str,
    why: str = "",
    *,
    leaves: bool = False,
) -> Admission:
    """Let a client in, or find that it is in already. May wait: for `on_open`, or for a racing request's.

    `why` tells the cause of its transport. `leaves`: all that it says is goodbye; one that is not here is not opened for that.

    Raises:
        Refused: The application does not want it, there is no room (503), or there are too many new ones (429).
    """
    if asked.key is None:
        id, key = secrets.token_hex(12), None
    else:
        id, key = keys.client_id(asked.key, user), keys.key_id(asked.key)
    address = environ.get("cometware.address", "")
    if worker.meters is not None and worker.roster.get(id) is None:
        check_opens(worker, user, address)
    doubtful = "cometware.doubtful" in environ
    request = worker.channel.request_of(environ)
    arrival = Arrival(id, key, user, transport, dialect, worker.clock.time(), request, why, doubtful)
    begin = worker.log.head
    record, opened, former, is_fresh = _find(worker, arrival)
    if opened or not doubtful:  # else a stranger's page could lend this visitor's cookies to a client of its own
        worker.channel.remember(record, environ)
    record.address = address
    if opened:
        record.opened_at = begin.offset
    if opened and leaves:
        _bury(worker, record)
    elif opened:
        _open(worker, record, Client(worker.channel, record, transport, dialect, environ))
    elif record.state is State.OPENING:
        _await_opening(worker, record)
    else:
        record.has_returned = True
        if not is_fresh and transport != "post" and (transport != "poll" or asked.tell_accepted or not asked.has_position):
            _catch_up(worker, record)
    if record.state is State.OPEN and record.close is not None:
        worker.clients.close(record, record.close)  # before its control has come through the log
    if record.state is State.ENDED:
        close = record.close or Close(1000)
        worker.clients.told(record)
        return Admission(record, begin, opened, close=close)
    if opened and former is not None:
        _take_leave_of(worker, former)
    return _resume(worker, asked, record, begin, opened, former is not None)


def check_opens(worker: Worker, user: str | None, address: str) -> None:
    """May a new client of this user come from this address?

    Raises:
        TooFast: Not now.
    """
    wait = worker.meters.open(user, address, worker.now()) if worker.meters is not None else None
    if wait is not None:
        raise turned_away(str(wait), wait.seconds, address)


def turned_away(why: str, wait_seconds: float, address: str) -> TooFast:
    """Return what refuses for now, and tell the operator: what is too much for one may be many behind a proxy."""
    whose = f"from {address}" if address else "of one user"
    what = why.partition("; wait ")[0]  # the same each time, so that it is counted
    tell("429", f"refused with 429, {whose}: {what}. If this is a proxy of yours, say whom to believe: Cometware(addresses=…)")
    return TooFast(why, wait_seconds)


def _find(worker: Worker, arrival: Arrival) -> Opening:
    """Find a client, or open it; if another worker is about to, wait for what comes of that."""
    deadline = time.monotonic() + worker.limits.open_seconds
    while True:
        try:
            opening = worker.roster.open(arrival)
        except RosterFull:
            if worker.clients.make_room():
                continue
            raise Refused(503, f"this worker keeps {worker.limits.max_clients} clients; see Limits.max_clients") from None
        except LogUnavailable:
            raise _away() from None
        record = opening.record
        if opening.is_first or record.state is not State.OPENING or record.settled is not None:
            return opening
        if time.monotonic() > deadline:
            raise _too_slow(worker)
        gevent.sleep(_ELSEWHERE_SECONDS)


def _away() -> Refused:
    return Refused(503, "the channel's store is not available; come back in a moment")


def _too_slow(worker: Worker) -> Refused:
    return Refused(503, f"on_open took longer than Limits.open_seconds={worker.limits.open_seconds:g}")


@contextmanager
def kept(worker: Worker, record: Record) -> Iterator[None]:
    """While a connection is being made for a client that is in: if that fails, the client is left without one."""
    try:
        yield
    except BaseException:
        worker.clients.left_alone(record)
        raise


def run_on_open(worker: Worker, client: Client) -> None:
    """Ask the application whether it wants this client.

    Raises:
        Refused: It does not, or its handler failed (500).
    """
    try:
        worker.call("open", client)
    except Refused:
        raise
    except Exception:
        report("on_open")
        raise Refused(500, "the application's on_open failed; its log says why") from None


def _open(worker: Worker, record: Record, client: Client) -> None:
    """Run `on_open`; those who wait for it learn its end, good or bad."""
    settled = record.settled = Event()
    try:
        run_on_open(worker, client)
        _settle(worker, record)
    except Refused as refused:
        record.settled = refused
        raise
    else:
        record.state = State.OPEN
        record.settled = None
        if record.key is not None:
            worker.clients.is_away(record)
        if record.close is not None:  # by the application, while its own `on_open` ran
            worker.clients.close(record, record.close)
    finally:
        if record.state is State.OPENING:
            worker.clients.forget(record)
            if record.settled is settled:
                record.settled = Refused(503, "the opening of this client was given up")
        settled.set()


def _catch_up(worker: Worker, record: Record) -> None:
    try:
        worker.roster.catch_up(record)
    except LogUnavailable:
        raise _away() from None


def _bury(worker: Worker, record: Record) -> None:
    try:
        worker.clients.bury(record)
    except LogUnavailable:
        raise _away() from None


def _take_leave_of(worker: Worker, former: str) -> None:
    """A key is another user's now: who it was before has left, unless it comes back soon, or the store cannot be asked."""
    try:
        worker.clients.leave_by_id(former, GONE_SECONDS)
    except (LogUnavailable, Refused):
        pass  # its grace is left


def _settle(worker: Worker, record: Record) -> None:
    try:
        worker.roster.settle(record)
    except LogUnavailable:
        raise _away() from None


def _await_opening(worker: Worker, record: Record) -> None:
    if isinstance(record.settled, Event):
        record.settled.wait(worker.limits.open_seconds)
    if record.state is State.OPENING:
        refused = record.settled
        if isinstance(refused, Refused):
            raise copy(refused)
        raise _too_slow(worker)


def _resume(worker: Worker, asked: Asked, record: Record, begin: Position, opened: bool, other_user: bool) -> Admission:
    if not asked.has_position:
        return Admission(record, _history(worker, asked, record, begin), opened)
    reason = "user" if other_user and opened else None
    if reason is None and asked.position is None:
        reason = "position"
    if reason is None and asked.position is not None:
        _await_tail(worker, asked.position)
        try:
            worker.log.check(asked.position, record.audiences)
        except Gap as gap:
            reason = gap.reason
        else:
            return Admission(record, asked.position, opened)
    return Admission(record, _history(worker, asked, record, begin), opened, reset=reason)


def _await_tail(worker: Worker, position: Position) -> None:
    """A client that comes from a faster worker is ahead of this one: wait until the log has come as far.

    Only the store knows whether it ever does: this process may have stood still, or heard nothing of the store for long.

    Raises:
        Refused: The store is away.
    """
    deadline = time.monotonic() + worker.limits.tail_seconds
    while worker.roster.is_shared and position.is_ahead_of(worker.log.head):
        if time.monotonic() > deadline:
            try:
                worker.log.sync()
            except LogUnavailable:
                raise _away() from None
            return
        gevent.sleep(_TAIL_PAUSE_SECONDS)


def _history(worker: Worker, asked: Asked, record: Record, begin: Position) -> Position:
    """Return the place from which on a reader gets the last messages: history is nothing but an earlier beginning."""
    if not asked.last:
        return begin
    limits = worker.limits
    entries = worker.log.last(asked.last, record.audiences, begin.offset, limits.last_entries, limits.last_bytes)
    if not entries:
        return begin
    epoch, offset = entries[0].position
    return Position(epoch, offset - 1)


def greet(worker: Worker, admission: Admission, shape: Shape, server: dict[str, Any]) -> bytes:
    """Write what a connection is told first; or why it is not served."""
    if admission.close is not None:
        return shape.write(shape.dialect.close(admission.close))
    limits = worker.limits
    greeting = Greeting(
        client=admission.record.id,
        position=admission.position,
        accepted=admission.record.accepted,
        heartbeat_seconds=limits.heartbeat_seconds,
        limits={name: getattr(limits, name) for name in _TOLD},
        server=server,
        recovered=admission.recovered,
    )
    return shape.write(shape.dialect.greeting(greeting))
