"""The roster of one process."""

from __future__ import annotations

from collections.abc import Iterator

from cometware.core.entry import Position
from cometware.core.events import Close
from cometware.limits import Limits
from cometware.logs.base import real_lock
from cometware.roster.base import NO_ROOMS, Arrival, Idle, Opening, Presence, Record, RosterFull, State, Turn, present


class MemoryRoster:
    """Records in a dict, with a second one from each key to its newest client."""

    is_shared = False

    def __init__(self, limits: Limits) -> None:
        self._max_clients = limits.max_clients
        self._records: dict[str, Record] = {}
        self._by_key: dict[str, str] = {}
        self._by_user: dict[str, set[Record]] = {}
        self._lock = real_lock()

    def open(self, arrival: Arrival) -> Opening:
        id, key, user = arrival.id, arrival.key, arrival.user
        with self._lock:
            former = self._by_key.get(key) if key is not None else None
            record = self._records.get(id)
            is_first = record is None
            if record is None:
                record = Record(id, key, user, arrival.now)
                record.doubtful = arrival.doubtful
                self._put(record)
            if arrival.comes or not record.transport:
                record.transport, record.dialect, record.why = arrival.transport, arrival.dialect, arrival.why
            record.doubtful = record.doubtful and arrival.doubtful
            return Opening(record, is_first, former if former != id else None)

    def add(self, record: Record) -> None:
        """Take in a record that was made elsewhere.

        Raises:
            RosterFull: There is no room for it.
        """
        with self._lock:
            self._put(record)

    def _put(self, record: Record) -> None:
        self.check_room()
        self._records[record.id] = record
        if record.key is not None:
            self._by_key[record.key] = record.id
        if record.user is not None:
            self._by_user.setdefault(record.user, set()).add(record)

    def check_room(self) -> None:
        """Raise `RosterFull` if there is no room for another client."""
        if len(self._records) >= self._max_clients:
            raise RosterFull

    def settle(self, record: Record) -> None:
        pass

    def get(self, id: str) -> Record | None:
        return self._records.get(id)

    def forget(self, record: Record) -> None:
        with self._lock:
            if self._records.get(record.id) is not record:
                return
            del self._records[record.id]
            if record.key is not None and self._by_key.get(record.key) == record.id:
                del self._by_key[record.key]
            if record.user is not None:
                others = self._by_user[record.user]
                others.discard(record)
                if not others:
                    del self._by_user[record.user]

    def drop(self, record: Record) -> None:
        pass

    def is_idle(self, record: Record) -> Idle:
        return Idle.YES

    def leaves(self, record: Record) -> Idle:
        return Idle.YES

    def bury(self, record: Record) -> None:
        pass

    def may_close(self, record: Record) -> bool:
        return True

    def closed(self, record: Record) -> None:
        pass

    def of_user(self, user: str) -> list[Record]:
        with self._lock:
            return list(self._by_user.get(user, ()))

    def join(self, id: str, audience: str) -> bool:
        with self._lock:
            record = self._records.get(id)
            if record is None:
                return False
            record.rooms = record.rooms | {audience}
            return True

    def leave(self, id: str, audience: str) -> bool:
        with self._lock:
            record = self._records.get(id)
            if record is None:
                return False
            record.rooms = record.rooms - {audience} or NO_ROOMS
            return True

    def moved(self, record: Record, kind: str, audience: str) -> None:
        pass

    def close(self, id: str, close: Close) -> bool:
        record = self._records.get(id)
        if record is None:
            return False
        record.close = record.close or close
        return True

    def revoke(self, user: str, close: Close) -> None:
        for record in self.of_user(user):
            record.close = record.close or close

    def keep(self, record: Record, data: str) -> None:
        record.data = data

    def turn(self, record: Record, number: int) -> Turn:
        return Turn.GO

    def accept(self, record: Record, number: int) -> None:
        record.accepted = number

    def catch_up(self, record: Record) -> None:
        pass

    def is_new(self, record: Record) -> bool:
        return False

    def put_down(self, record: Record, position: Position) -> None:
        record.position = position

    def pick_up(self, record: Record) -> Position | None:
        position, record.position = record.position, None
        return position

    def away(self, record: Record) -> None:
        pass

    def take_back(self, record: Record) -> bool:
        return True

    def newest_of(self, key: str) -> str | None:
        return self._by_key.get(key)

    def find(self, id: str) -> Record | None:
        return self._records.get(id)

    def presence(self, audience: str) -> list[Presence]:
        return [present(record) for record in self if record.state is State.OPEN and record.hears(audience)]

    def __iter__(self) -> Iterator[Record]:
        with self._lock:
            return iter(list(self._records.values()))

    def __len__(self) -> int:
        return len(self._records)
