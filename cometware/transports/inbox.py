"""What clients say, handled in order for each client, beside each other for different ones.

Who starts a greenlet: `Inboxes`, when work arrives and none is free. It lives on, waiting for more work, so that a message
costs no new greenlet; a runner that has more clients to serve lets another one stand by, for the case that a handler blocks.

Rule: between two messages the loop may look at its sockets, and whoever said nothing for a while comes before who says much.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import gevent
from greenlet import greenlet

from cometware.client import Client
from cometware.core import data as _data
from cometware.core.entry import Message
from cometware.core.events import Event, Received
from cometware.core.pacing import PACE
from cometware.errors import BadFrame, LogUnavailable, Refused, TooFast
from cometware.roster.base import Record, State, Turn
from cometware.transports.report import report
from cometware.transports.turns import all_turns_here

if TYPE_CHECKING:
    from cometware.transports.worker import Worker

_ELSEWHERE_SECONDS = 0.05
"""How often to look whether another worker is done with a client's message."""
_RETRY_SECONDS = 2.0
_TURN = 8
"""Messages of one client that are handled before the next client's turn."""
_MAX_REFUSAL_BYTES = 64 * 1024
"""A longer body of a refusal is not told in a reply, since replies are entries of the log."""


class Source(Protocol):
    """Where a message came from, to be told what became of it."""

    @property
    def transport(self) -> str: ...

    @property
    def dialect(self) -> str: ...

    def handled(self, number: int | None) -> None:
        """This message is done, or was done before."""

    def refused(self, error: BadFrame) -> None:
        """This message was not taken."""


class _Job(NamedTuple):
    """One piece of work for a client: a message, or (with `reason`) its end."""

    received: Received | None
    source: Source | None
    reason: str = ""


class Inboxes:
    """The inboxes of a worker's clients, and the greenlets that empty them."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._ready: deque[Record] = deque()
        self._fresh: deque[Record] = deque()
        """Whose inbox was empty before: they come first, with one message each; but behind every few of them is the turn of
        one who had a first one."""
        self._firsts = 0
        self._is_waiting = False
        """Does a runner wait for its turn? The others need not, then."""
        self._idle: list[greenlet] = []
        self._standby = False
        self._runners = 0
        self._loop = gevent.get_hub().loop
        self._turns = all_turns_here().handling

    # In

    def is_full(self, record: Record) -> bool:
        """Does this client wait for so many of its messages that no more should be read?"""
        inbox = record.inbox
        return inbox is not None and len(inbox) >= self._worker.limits.max_waiting_messages

    def has_room(self, record: Record, count: int) -> bool:
        """May so many more messages of this client wait for their handlers?"""
        inbox = record.inbox
        return inbox is None or len(inbox) + count <= self._worker.limits.max_waiting_messages

    def check_room(self, record: Record, events: Sequence[Event]) -> None:
        """Raise a `BadFrame` (`busy`) unless all that came together may wait beside what waits already."""
        waiting = 0 if record.inbox is None else len(record.inbox)
        if record.early is not None:
            waiting += sum(map(len, record.early.values()))
        limit, known = self._worker.limits.max_waiting_messages, record.accepted
        if waiting + len(events) <= limit:
            return
        new = [event for event in events if isinstance(event, Received) and not 0 < (event.number or 0) <= known]
        if new and waiting + len(new) > limit:
            message = f"{waiting} messages of this client wait already; Limits.max_waiting_messages allows {limit}"
            raise BadFrame("busy", message, accepted=known)

    def deliver(self, record: Record, event: Event, source: Source) -> None:
        """Take a message: once, in the order of its number.

        A repeat is acknowledged; one that comes too early waits for those before it.
        """
        if not isinstance(event, Received):
            return
        number = event.number
        if record.state is State.ENDED:
            source.refused(BadFrame("closed", "this client was closed; open a new one"))
        elif number is None or number == record.queued + 1:
            self._queue(record, event, source)
        elif number <= record.accepted:
            source.handled(number)
        elif number > record.queued:
            self._wait(record, event, number, source)
        else:  # it waits for its handler since it came by another connection: tell this one, too, when it is done
            self._put(record, _Job(None, source, ""))

    def _queue(self, record: Record, event: Received, source: Source) -> None:
        self._put(record, _Job(event, source))
        if event.number is None:
            return
        record.queued = event.number
        self._release(record)

    def _release(self, record: Record) -> None:
        """Go on with the message that waited for the last one."""
        following = record.early.pop(record.queued + 1, None) if record.early else None
        if following is not None:
            (event, source), *others = following
            self._queue(record, event, source)
            for _, other in others:
                self._put(record, _Job(None, other))
        elif not record.early:
            record.early = None

    def _wait(self, record: Record, event: Received, number: int, source: Source) -> None:
        """Keep a message until those before it are here; all that wait for a missing one wait together."""
        limits = self._worker.limits
        early = record.early
        if early is None:
            early = record.early = {}
            if self._worker.roster.is_shared:
                gevent.spawn(self._look_elsewhere, record, early)
            else:
                self._worker.clock.timer(limits.order_seconds).start(self._give_up, record, early)
        if sum(map(len, early.values())) >= limits.max_waiting_messages:
            source.refused(_unsure() if self._worker.roster.is_shared else _missing(number, record.queued))
            return
        early.setdefault(number, []).append((event, source))

    def _look_elsewhere(self, record: Record, early: dict[int, list[tuple[Received, Source]]]) -> None:
        """The messages before these may be with another worker: go on when it has handled them.

        The store is asked ever more rarely, and at the end: about a client that nobody knew before, only then.
        """
        roster, begin = self._worker.roster, time.monotonic()
        deadline, is_sure = begin + self._worker.limits.order_seconds, False
        pause = math.inf if roster.is_new(record) else _ELSEWHERE_SECONDS
        while record.early is early:
            left = deadline - time.monotonic()
            if left <= 0:
                self._give_up(record, early, is_sure=is_sure)
                return
            gevent.sleep(min(pause, left))
            pause *= 2
            if record.early is not early:
                return
            try:
                roster.catch_up(record)  # and take nothing: who gives up must not keep it from others
                is_sure = True
            except LogUnavailable:
                is_sure = False
                continue
            if record.early is early and record.inbox is None and record.accepted > record.queued:
                record.queued = record.accepted
                for number in [number for number in early if number <= record.accepted]:
                    for _, source in early.pop(number):
                        source.handled(number)
                self._release(record)

    def _give_up(self, record: Record, early: dict[int, list[tuple[Received, Source]]], *, is_sure: bool = True) -> None:
        if record.early is not early:
            return
        record.early = None
        taken = max(record.queued, record.accepted)
        for number in sorted(early):
            for _, source in early[number]:
                source.refused(_missing(number, taken) if is_sure else _unsure())

    def end(self, record: Record, reason: str) -> None:
        """Run `on_close` behind what the client said before."""
        self._put(record, _Job(None, None, reason))

    def _put(self, record: Record, job: _Job) -> None:
        inbox = record.inbox
        if inbox is None:
            inbox = record.inbox = deque()
        inbox.append(job)
        if not record.running:
            record.running = True
            self._fresh.append(record)
            self._wake()

    # The runners

    def close(self) -> None:
        """End the runners that wait for work; one that is at it ends by itself."""
        idle, self._idle = self._idle, []
        gevent.killall(idle)

    def _wake(self) -> None:
        if self._standby:
            return
        if self._idle:
            self._standby = True
            self._loop.run_callback(self._idle.pop().switch)
        elif self._runners < self._worker.limits.max_handlers:
            self._standby = True
            self._runners += 1
            gevent.spawn(self._run)

    def _run(self) -> None:
        me, hub = gevent.getcurrent(), gevent.get_hub()
        PACE.set(self._turns.pace)
        try:
            while True:
                self._standby = False
                while self._fresh or self._ready:
                    if self._is_waiting and self._turns.is_over():
                        break
                    if self._ready and (self._firsts >= _TURN or not self._fresh):
                        self._firsts, most = 0, _TURN
                        record = self._ready.popleft()
                    else:
                        self._firsts, most = self._firsts + 1, 1
                        record = self._fresh.popleft()
                    if (self._fresh or self._ready) and not self._is_waiting:
                        self._wake()
                    self._drain(record, most)
                    if (self._fresh or self._ready) and not self._is_waiting and self._turns.is_over():
                        self._wait_for_turn()
                self._idle.append(me)
                hub.switch()
        finally:
            self._runners -= 1

    def _wait_for_turn(self) -> None:
        self._is_waiting = True
        try:
            self._turns.give_way()
        finally:
            self._is_waiting = False

    def _drain(self, record: Record, most: int) -> None:
        inbox = record.inbox
        assert inbox is not None
        was_full = False
        for _ in range(most):
            if not inbox:
                break
            was_full = was_full or self.is_full(record)  # it fills while a handler waits
            job = inbox.popleft()
            try:
                self._do(record, job)
            except Exception:
                report("the channel's handling of a message")
            if inbox and self._turns.is_over():
                break  # and is nobody's meanwhile: who waits for a turn keeps no client from others
        if was_full and not self.is_full(record):
            for connection in record.connections:
                connection.watch()
        if inbox:
            self._ready.append(record)
        else:
            record.inbox = None
            record.running = False

    def _do(self, record: Record, job: _Job) -> None:
        received, source = job.received, job.source
        if received is not None and source is not None:
            self._take(record, received, source)
        elif source is not None:
            source.handled(record.accepted)
        else:
            self._close(record, job.reason)

    def _close(self, record: Record, reason: str) -> None:
        """Run `on_close`, if that is upon this worker; while the roster cannot be asked, put it off."""
        roster = self._worker.roster
        try:
            if not roster.may_close(record):
                record.cookie = None
                return
        except LogUnavailable:
            gevent.spawn_later(_RETRY_SECONDS, self.end, record, reason)
            return
        client = Client(self._worker.channel, record, record.transport, record.dialect)
        self.run(lambda: self._worker.call("close", client, reason), "on_close")
        record.cookie = None  # whom nobody speaks for any more, nobody needs to be taken for
        self._closed(record)

    def _closed(self, record: Record) -> None:
        """Say that `on_close` has run; until that is heard, others would run it again if this worker died."""
        try:
            self._worker.roster.closed(record)
        except LogUnavailable:
            gevent.spawn_later(_RETRY_SECONDS, self._closed, record)

    def _take(self, record: Record, received: Received, source: Source) -> None:
        """Handle a message, if that is upon this worker."""
        number = received.number
        if number is None:
            self._handle(record, received, source)
            source.handled(None)
            return
        turn = self._turn(record, number)
        if turn is Turn.GO:
            if self._worker.limits.accept_before_handler:
                self._accept(record, number)
            self._handle(record, received, source)
            if record.accepted < number and not self._accept(record, number):
                return
        if turn in (Turn.GO, Turn.REPEAT):
            source.handled(number)
            return
        record.queued = record.accepted
        source.refused(_unsure() if turn is None else _missing(number, record.accepted))

    def _accept(self, record: Record, number: int) -> bool:
        """Have every worker know what is handled here, before the sender does. If the store stays away, only we know it:
        the sender is not told, sends the same number again, and is answered with what the next turn says.
        """
        deadline = time.monotonic() + self._worker.limits.answer_seconds
        while True:
            try:
                self._worker.roster.accept(record, number)
                return True
            except LogUnavailable:
                if time.monotonic() > deadline:
                    record.accepted = number
                    return False
            gevent.sleep(_ELSEWHERE_SECONDS)

    def _turn(self, record: Record, number: int) -> Turn | None:
        """Wait until no other worker is at this client's messages; None if that takes too long, or nobody knows."""
        deadline = time.monotonic() + self._worker.limits.answer_seconds
        while True:
            try:
                turn = self._worker.roster.turn(record, number)
            except LogUnavailable:
                return None
            if turn is not Turn.BUSY:
                return turn
            if time.monotonic() > deadline:
                return None
            gevent.sleep(_ELSEWHERE_SECONDS)

    def _handle(self, record: Record, received: Received, source: Source) -> None:
        channel = self._worker.channel
        client = Client(channel, record, source.transport, source.dialect)
        reply = answer(self._worker, client, received)
        number = received.number if received.label is None else received.label
        if number is not None and (received.asks or reply.kind == "refused"):
            kind = "reply" if reply.kind == "reply" else "error"
            channel.log.append(Message("", reply.json, (f"client:{record.id}",), kind=kind, number=number))

    def run(self, call: Callable[[], Any], what: str) -> None:
        """Run a handler whose failure nobody waits for."""
        try:
            call()
        except Exception:
            report(what)


def _missing(number: int, taken: int) -> BadFrame:
    """Others come before this message: it is upon the sender to send them. Only who is sure may say so."""
    message = f"got number {number}, expected {taken + 1}; renumber from accepted + 1"
    return BadFrame("number", message, accepted=taken)


def _unsure() -> BadFrame:
    """Others come before this message, and another worker may have handled them."""
    return BadFrame("away", "the channel's store does not say what came before this message; send the same numbers again")


class Reply(NamedTuple):
    """What became of a message: `kind` is `reply`, `refused` (by the application) or `error`."""

    kind: str
    json: str


def answer(worker: Worker, client: Client, received: Received) -> Reply:
    """Run the handler for a message; its failure is the sender's error, and our traceback."""
    channel = worker.channel
    if not channel.handles(received.event):
        message = f"no handler for {received.event!r}"
        return Reply("error", _data.dumps({"code": "event", "message": message}))
    try:
        result = worker.call(received.event, client, received.data)
        return Reply("reply", "null" if result is None else _data.encode(result))
    except Refused as error:
        return Reply("refused", _data.encode(refusal(error)))
    except Exception:
        report(f"the handler for {received.event!r}")
        return Reply("error", _data.dumps({"code": "handler", "message": "the handler failed; its log says why"}))


def refusal(refused: Refused) -> dict[str, Any]:
    """Tell as JSON what the application said when it refused."""
    details: dict[str, Any] = {"code": "refused", "message": refused.reason, "status": refused.status}
    if isinstance(refused, TooFast):
        details |= {"code": "rate", "wait_seconds": refused.wait_seconds}
    if 0 < len(refused.body) <= _MAX_REFUSAL_BYTES:
        text = refused.body.decode("utf-8", "replace")
        try:
            details["body"] = _data.decode(text)
        except ValueError:
            details["body"] = text
    return details
