"""The roster of one process."""

from __future__ import annotations

from collections.abc import Iterator

from cometware.core.events import Close
from cometware.limits import Limits
from cometware.logs.base import real_lock
from cometware.roster.base import NO_ROOMS, Record, RosterFull


class MemoryRoster:
    """Records in a dict, with a second one from each key to its newest client."""

    def __init__(self, limits: Limits) -> None:
        self._max_clients = limits.max_clients
        self._records: dict[str, Record] = {}
        self._by_key: dict[str, str] = {}
        self._by_user: dict[str, set[Record]] = {}
        self._lock = real_lock()

    def open(self, id: str, key: str | None, user: str | None, now: float) -> tuple[Record, bool]:
        with self._lock:
            record = self._records.get(id)
            if record is not None:
                return record, False
            if len(self._records) >= self._max_clients:
                raise RosterFull
            record = self._records[id] = Record(id, key, user, now)
            if key is not None:
                self._by_key[key] = id
            if user is not None:
                self._by_user.setdefault(user, set()).add(record)
            return record, True

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

    def is_other_user(self, id: str, key: str) -> bool:
        return self._by_key.get(key, id) != id

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

    def close(self, id: str, close: Close) -> bool:
        record = self._records.get(id)
        if record is None:
            return False
        record.close = record.close or close
        return True

    def revoke(self, user: str, close: Close) -> None:
        for record in self.of_user(user):
            record.close = record.close or close

    def __iter__(self) -> Iterator[Record]:
        with self._lock:
            return iter(list(self._records.values()))

    def __len__(self) -> int:
        return len(self._records)
