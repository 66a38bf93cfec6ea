"""One roster for several workers: the records of those who are here, in front of the facts that all workers share.

Rule: whatever changes a client is a pure function of its facts (`facts.py`), which takes effect only if the facts that it
saw still stand. A client that stays on its worker costs the store nothing: its record says that its home is here.
"""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import count
from typing import NamedTuple, cast

from cometware.core.entry import Position
from cometware.core.events import Close
from cometware.errors import LogUnavailable
from cometware.limits import Limits
from cometware.roster import facts as change
from cometware.roster.base import NO_ROOMS, Arrival, Idle, Opening, Presence, Record, RosterFull, State, Turn, present
from cometware.roster.facts import Change, Facts
from cometware.roster.factstore import HELD, UNKNOWN, FactStore, Lease
from cometware.roster.memory import MemoryRoster

_STATES = {change.OPENING: State.OPENING, change.OPEN: State.OPEN, change.ENDED: State.ENDED}

_NEW_SECONDS = 10.0
_BURIED_SECONDS = 3600.0
"""How long a worker that counts as dead can find out that it does."""


class SharedRecord(Record):
    """`facts` are those that this worker saw last; `is_home` whether it believes to be the client's home; `seen` is when the
    client came here last, by this worker's clock; `handling` the number of the message that is handled here just now, or 0."""

    __slots__ = ("facts", "handling", "is_home", "moved_until", "seen")

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts.id, facts.key, facts.user, facts.since)
        self.transport, self.dialect, self.why = facts.transport, facts.dialect, facts.why
        self.rooms = frozenset(facts.rooms) or NO_ROOMS
        self.data = facts.data
        self.doubtful = facts.doubtful
        self.facts = facts
        self.is_home = False
        self.seen = 0.0
        self.handling = 0
        self.moved_until = 0.0

    def take_over(self, facts: Facts, worker: str) -> None:
        """Take what the facts say, but for what only this worker knows."""
        self.facts = facts
        self.is_home = facts.home == worker
        self.rooms = frozenset(facts.rooms) or NO_ROOMS  # equal sets are not one object: most have none
        self.data = facts.data
        self.close = self.close or facts.close
        self.accepted = max(self.accepted, facts.accepted)
        if self.inbox is None and self.early is None:
            self.queued = self.accepted


class Following(NamedTuple):
    """What a renewed lease asks of this worker: `gone` are clients that are served elsewhere now, or not at all; `adopted`
    those that are at home here from now on, `unfinished` those whose `on_close` is upon this worker."""

    gone: list[SharedRecord]
    adopted: list[SharedRecord]
    unfinished: list[SharedRecord]


class SharedRoster:
    """What the workers of one channel know together. `worker` names this one."""

    is_shared = True

    def __init__(self, limits: Limits, store: FactStore) -> None:
        self.worker = secrets.token_hex(8)
        self._births = count()
        self._lease_seconds = limits.lease_seconds
        self._moving_seconds = limits.lease_seconds + limits.overlap_seconds
        self._store = store
        self._local = MemoryRoster(limits)
        self._held_since: float | None = None
        self._trusted_until = math.inf
        """Until when nobody else can have taken over: for longer than its lease a process may have stood still."""
        self._is_sure = True
        """Do the records here agree with the store? Not certainly, after it was away."""
        self._opening: set[str] = set()
        """Births that the store is being told of."""
        self._ending: set[str] = set()
        """Births of those whose `on_close` is upon this worker, and has somebody who sees to it."""

    # Swapping

    def _change(self, id: str, how: Change, known: Facts | None = None) -> tuple[Facts | None, Facts | None]:
        """Change a client's facts; return those that stood before, and those that stand now."""
        try:
            while True:
                wanted = how(known)
                aside = change.aside(known) if known is not None and change.is_owed(known, wanted) else None
                if aside is not None:
                    self._store.swap(aside.name, None, aside)  # first: who dies here must not take the debt along
                stands = self._store.swap(id, known, wanted)
                if stands == wanted:
                    return known, stands
                if aside is not None:
                    self._store.swap(aside.name, aside, None)
                known = stands
        except LogUnavailable:
            self._is_sure = False
            raise

    def _change_record(self, record: Record, how: Callable[[Facts], Facts | None]) -> tuple[Facts | None, Facts | None]:
        """Change the facts of a client that is known here, and only of this one.

        Whoever says one thing by a POST without a key is here for that long, and the store never hears of it.
        """
        if not isinstance(record, SharedRecord):
            return None, None
        before, after = self._change(record.facts.name, change.of(record.facts.birth, how), record.facts)
        if after is not None and after.birth == record.facts.birth:
            record.take_over(after, self.worker)
        return before, after

    # Coming and going

    def open(self, arrival: Arrival) -> Opening:
        record = self._here(arrival.id)
        if record is not None and record.is_home and _stays(record):
            if time.monotonic() < self._trusted_until:
                return Opening(_seen(record, arrival), False)
            try:
                return self._ask(arrival, record)
            except LogUnavailable:
                return Opening(_seen(record, arrival), False)  # better than to be refused; the next lease settles it
        return self._ask(arrival, record)

    def _ask(self, arrival: Arrival, record: SharedRecord | None) -> Opening:
        """Find a client in the store, or open it there."""
        if record is None:
            self._local.check_room()
        known = self._store.load(arrival.id) if record is None else record.facts
        new = change.born(arrival, f"{self.worker}{next(self._births):x}", self.worker)
        other = self._store.newest_of(arrival.key) if known is None and arrival.key is not None else None
        how = change.arrive(new) if arrival.comes else change.visit(new)
        self._opening.add(new.birth)
        try:
            before, facts = self._change(arrival.id, how, known)
        finally:
            self._opening.discard(new.birth)
        assert facts is not None
        is_first = facts.birth == new.birth
        if facts.state == change.OPENING and not is_first:
            here = self._here(arrival.id)
            if here is not None and here.facts.birth == facts.birth:
                return Opening(here, False)
            return Opening(SharedRecord(facts), False)  # another worker opens it: nobody here knows it yet
        record = self._take_in(facts)
        if before is not None and before.birth == facts.birth and before.home != facts.home:
            record.moved_until = time.monotonic() + self._moving_seconds
        return Opening(_seen(record, arrival), is_first, other if other != arrival.id else None, is_fresh=True)

    def _take_in(self, facts: Facts) -> SharedRecord:
        """Return the record of a client that is here; it is made from its facts if it is new."""
        record = self._here(facts.id)
        if record is not None and record.facts.birth != facts.birth:
            self._local.forget(record)
            record = None
        if record is None:
            record = SharedRecord(facts)
            record.state = _STATES[facts.state]
            self._local.add(record)
        record.take_over(facts, self.worker)
        return record

    def _here(self, id: str) -> SharedRecord | None:
        return cast("SharedRecord | None", self._local.get(id))

    def settle(self, record: Record) -> None:
        self._change_record(record, change.settle)

    def get(self, id: str) -> Record | None:
        return self._local.get(id)

    def forget(self, record: Record) -> None:
        self._local.forget(record)

    def drop(self, record: Record) -> None:
        self._change_record(record, change.drop)

    def is_idle(self, record: Record) -> Idle:
        assert isinstance(record, SharedRecord)
        if record.is_home and record.facts.away and time.monotonic() < record.moved_until:
            return Idle.BUSY  # the worker from which it came may take it back
        return self._end_at_home(record, change.expire(record.facts, self.worker))

    def leaves(self, record: Record) -> Idle:
        assert isinstance(record, SharedRecord)
        return self._end_at_home(record, change.depart(self.worker))

    def _end_at_home(self, record: SharedRecord, how: Callable[[Facts], Facts]) -> Idle:
        """End a client whose home is here, as far as this change allows it."""
        if not record.is_home or record.facts.birth in self._ending:
            return Idle.ELSEWHERE
        record.is_home = False  # who comes while this is being decided asks the store
        try:
            _, facts = self._change_record(record, how)
        except LogUnavailable:
            record.is_home = True
            raise
        if facts is None or facts.birth != record.facts.birth or facts.home != self.worker:
            return Idle.ELSEWHERE
        if facts.ender != self.worker:
            return Idle.BUSY
        self._ending.add(facts.birth)
        return Idle.YES

    def bury(self, record: Record) -> None:
        assert record.close is not None
        self._change_record(record, change.bury(record.close))

    def may_close(self, record: Record) -> bool:
        if not isinstance(record, SharedRecord):
            return True
        birth = record.facts.birth
        self._ending.add(birth)  # also while the store is away: the caller asks again
        if record.facts.ender == self.worker or self._ends(record):
            return True  # decided by `is_idle`, or adopted from a worker that died while it ran; or just now
        self._ending.discard(birth)
        return False

    def _ends(self, record: SharedRecord) -> bool:
        _, facts = self._change_record(record, change.end(self.worker, record.close))
        if facts is not None and facts.birth != record.facts.birth:
            facts = self._store.load(change.aside(record.facts).name)  # decided unheard, and another has taken its place
            return facts is not None and facts.ender == self.worker
        if facts is None:  # somebody else has ended it; or the store has forgotten all, and nobody else knows of it
            return record.is_home and record.close is None
        return facts.ender == self.worker

    def closed(self, record: Record) -> None:
        if not isinstance(record, SharedRecord):
            return
        birth, is_kept = record.facts.birth, record.key is not None and self._local.get(record.id) is record
        before, _ = self._change_record(record, change.finish(self.worker, keep=is_kept))
        if before is None or before.birth != birth:
            how = change.of(birth, change.finish(self.worker, keep=False))
            self._change(change.aside(record.facts).name, how)
        self._ending.discard(birth)

    # What is known of them

    def of_user(self, user: str) -> list[Record]:
        return self._local.of_user(user)

    def join(self, id: str, audience: str) -> bool:
        return self._tell(id, change.join(audience))

    def leave(self, id: str, audience: str) -> bool:
        return self._tell(id, change.leave(audience))

    def close(self, id: str, close: Close) -> bool:
        return self._tell(id, change.close(close))

    def revoke(self, user: str, close: Close) -> None:
        for facts in self._store.of_user(user):
            self._tell(facts.id, change.close(close), facts)

    def _tell(self, id: str, how: Change, known: Facts | None = None) -> bool:
        """Change what is known of a client, wherever it is. Is it here at all?"""
        record = self._here(id)
        if record is not None:
            known = record.facts
        _, facts = self._change(id, how, known)
        if facts is None or facts.state == change.ENDED:
            return False
        if record is not None and record.facts.birth == facts.birth:
            record.take_over(facts, self.worker)
        return True

    def moved(self, record: Record, kind: str, audience: str) -> None:
        if kind == "join":
            record.rooms = record.rooms | {audience}
        else:
            record.rooms = record.rooms - {audience} or NO_ROOMS

    def keep(self, record: Record, data: str) -> None:
        record.data = data
        number = record.handling if isinstance(record, SharedRecord) else 0
        self._change_record(record, change.keep(data, number, self.worker))

    def turn(self, record: Record, number: int) -> Turn:
        assert isinstance(record, SharedRecord)
        turn = self._turn(record, number)
        record.handling = number if turn is Turn.GO else 0
        return turn

    def _turn(self, record: SharedRecord, number: int) -> Turn:
        _, facts = self._change_record(record, change.take(number, self.worker, record.accepted, alone=False))
        if facts is not None and facts.taker not in ("", self.worker) and facts.accepted < facts.taken == number:
            if self._store.is_alive(facts.taker):
                return Turn.BUSY
            _, facts = self._change_record(record, change.take(number, self.worker, record.accepted, alone=True))
        if facts is None or facts.birth != record.facts.birth:
            is_ours = record.is_home and time.monotonic() < self._trusted_until  # else others may have ended it
            return Turn.GO if is_ours and number == record.accepted + 1 else Turn.EARLY
        if number <= facts.accepted:
            return Turn.REPEAT
        return Turn.GO if facts.taken == number and facts.taker == self.worker else Turn.EARLY

    def accept(self, record: Record, number: int) -> None:
        assert isinstance(record, SharedRecord)
        self._change_record(record, change.accept(number, self.worker))
        record.accepted, record.handling = number, 0

    def catch_up(self, record: Record) -> None:
        if isinstance(record, SharedRecord):
            facts = self._store.load(record.id)
            if facts is not None and facts.birth == record.facts.birth:
                record.take_over(facts, self.worker)

    def is_new(self, record: Record) -> bool:
        assert isinstance(record, SharedRecord)
        is_first = record.seen == record.since and record.is_home and not record.facts.taken
        return is_first and time.time() - record.since < _NEW_SECONDS

    def put_down(self, record: Record, position: Position) -> None:
        seen = record.seen if isinstance(record, SharedRecord) else 0.0
        self._change_record(record, change.put_down(str(position), self.worker, seen))

    def pick_up(self, record: Record) -> Position | None:
        assert isinstance(record, SharedRecord)
        before, after = self._change_record(record, change.pick_up(self.worker, record.seen))
        return None if before is None or before == after else Position.parse(before.position)

    def away(self, record: Record) -> None:
        self._change_record(record, change.away(self.worker))

    def take_back(self, record: Record) -> bool:
        assert isinstance(record, SharedRecord)
        if not record.is_home:
            self._change_record(record, change.take_back(self.worker, record.seen))
        return record.is_home

    def newest_of(self, key: str) -> str | None:
        return self._store.newest_of(key)

    def find(self, id: str) -> Record | None:
        record = self._here(id)
        if record is not None and record.is_home and _stays(record):
            return record
        facts = self._store.load(id)
        if facts is None or facts.state == change.OPENING:
            return None
        if facts.state == change.OPEN:
            return self._take_in(facts)
        ended = SharedRecord(facts)
        ended.state, ended.close = State.ENDED, facts.close
        return ended

    def presence(self, audience: str) -> list[Presence]:
        here = [facts for facts in self._store.all() if facts.state == change.OPEN]
        return [present(SharedRecord(facts)) for facts in sorted(here, key=_since) if facts.hears(audience)]

    def __iter__(self) -> Iterator[Record]:
        return iter(self._local)

    def __len__(self) -> int:
        return len(self._local)

    # The lease

    def renew(self, now: float) -> Lease:
        """Say that this worker lives; learn what has changed. Waits. To be called every third of `Limits.lease_seconds`.

        Other workers count as dead only for one that has held its own lease for so long: after the store itself was
        away, everybody's has run out.
        """
        begin = time.monotonic()  # the store may count from here on, however late its answer is
        try:
            lease = self._store.renew(self.worker, self._lease_seconds)
        except LogUnavailable:
            self._held_since = None
            self._is_sure = False  # it may have told which clients have moved, and does so once
            raise
        self._trusted_until = begin + self._lease_seconds
        if lease.standing != HELD:
            for record in cast("Iterable[SharedRecord]", self._local):
                record.is_home = False  # until `follow` has found out
        if lease.standing != HELD or self._held_since is None:
            self._held_since = now
        is_sure = now - self._held_since > self._lease_seconds
        return lease if is_sure else lease._replace(dead=())

    def left_by(self, lease: Lease) -> list[SharedRecord]:
        """Return the records of the clients that are to be looked after: those that have moved; all, if in doubt."""
        if self._is_sure and lease.standing == HELD:
            return [record for id in lease.moved if (record := self._here(id)) is not None]
        return [record for record in cast("Iterable[SharedRecord]", self._local) if record.facts.home == self.worker]

    def follow(self, lease: Lease) -> Following:
        """Do what a lease asks for. Waits; beside other calls, if it must be."""
        following = Following([], [], [])
        left = self.left_by(lease)
        was_sure, self._is_sure = self._is_sure and lease.standing == HELD, True
        try:
            for record in left:
                self._look_after(record, following, is_forgotten=lease.standing == UNKNOWN)
            if not was_sure:
                self._say_accepted()
                self._find_lost(following)
            if lease.dead:
                self._take_over(lease.dead, following)
        except LogUnavailable:
            self._is_sure = False  # the next lease looks after the rest
        except RosterFull:
            self._is_sure = False  # as soon as there is room
        return following

    def _say_accepted(self) -> None:
        """Tell of messages that were handled while the store was away: whoever waits for them may go on."""
        for record in cast("Iterable[SharedRecord]", self._local):
            if record.facts.taker == self.worker and record.facts.accepted < record.facts.taken <= record.accepted:
                self._change_record(record, change.take(0, self.worker, record.accepted, alone=False))

    def _find_lost(self, following: Following) -> None:
        """Find what took effect though that was not known here: clients opened and ended, and those that were let go."""
        for facts in self._store.of_workers([self.worker]):
            record = self._here(facts.id)
            if facts.birth in self._ending or (record is not None and record.facts.birth == facts.birth):
                continue
            if facts.ender == self.worker:
                self._finish(facts, following)
            elif facts.state == change.OPEN:
                following.adopted.append(self._take_in(facts))
            elif facts.birth not in self._opening:
                self._change(facts.name, change.of(facts.birth, change.drop), facts)

    def _finish(self, facts: Facts, following: Following) -> None:
        """The `on_close` of a client is upon this worker. Its record is kept only if its next request is to be told why."""
        self._ending.add(facts.birth)
        if facts.close is not None and facts.key is not None:
            following.unfinished.append(self._take_in(facts))
            return
        record = SharedRecord(facts)
        record.state = State.ENDED
        following.unfinished.append(record)

    def _take_over(self, dead: Sequence[str], following: Following) -> None:
        for facts in self._store.of_workers(dead):
            self._adopt(facts, dead, following)
        for worker in dead:
            self._store.bury(worker, _BURIED_SECONDS)

    def _look_after(self, record: SharedRecord, following: Following, *, is_forgotten: bool) -> None:
        """A client may be elsewhere now: unless it came back here since, or the store has lost all it knew."""
        seen = 0.0 if record.facts.away else record.seen  # given back, it has not come here since
        if record.state is State.OPEN and record.facts.birth not in self._ending:
            self._change_record(record, lambda facts: change.reprieve(facts, self.worker))
        known = record.facts if is_forgotten else replace(record.facts, home="")
        _, facts = self._change(record.id, change.return_home(known, self.worker, seen), record.facts)
        if facts is not None and facts.birth == record.facts.birth:
            record.take_over(facts, self.worker)
            if record.is_home:
                return
        record.is_home = False
        following.gone.append(record)

    def _adopt(self, facts: Facts, dead: Collection[str], following: Following) -> None:
        how = change.of(facts.birth, change.adopt(dead, self.worker))
        _, after = self._change(facts.name, how, facts)
        if after is None or after.birth != facts.birth:
            return
        if after.ender == self.worker and after.ender != facts.ender:
            self._finish(after, following)
        elif after.home == self.worker and after.home != facts.home:
            following.adopted.append(self._take_in(after))

    def resign(self) -> None:
        """This worker ends: others may take over at once. Waits."""
        self._trusted_until = 0.0
        self._store.renew(self.worker, 0)


def _stays(record: SharedRecord) -> bool:
    """Is all known here of this client that matters: it is open, or this worker is just opening it?"""
    if record.state is State.OPENING:
        return record.settled is not None
    return record.state is State.OPEN and record.facts.state == change.OPEN and not record.facts.away


def _seen(record: SharedRecord, arrival: Arrival) -> SharedRecord:
    record.seen = arrival.now
    record.doubtful = record.doubtful and arrival.doubtful
    if arrival.comes or not record.transport:
        record.transport, record.dialect, record.why = arrival.transport, arrival.dialect, arrival.why
    return record


def _since(facts: Facts) -> float:
    return facts.since
