"""The log in an SQLite file: every process that uses the file mirrors its newest entries.

Rule: order is settled inside the transaction that appends; a process adds to its window only what it has read behind a commit.
"""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Iterable

from cometware.core.entry import Entry, Message, Position
from cometware.limits import Limits
from cometware.logs.mirror import Mirror
from cometware.logs.packing import pack, unpack
from cometware.stores.sqlite import SqliteStore

_TABLES = (
    "CREATE TABLE IF NOT EXISTS log (name TEXT PRIMARY KEY, epoch TEXT NOT NULL, head INTEGER NOT NULL,"
    " bytes INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS entry (log TEXT, offset INTEGER, bytes INTEGER NOT NULL, seconds REAL NOT NULL,"
    " message BLOB NOT NULL, PRIMARY KEY (log, offset)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS once (log TEXT, number INTEGER, key TEXT NOT NULL, offset INTEGER NOT NULL,"
    " seconds REAL NOT NULL, PRIMARY KEY (log, number)) WITHOUT ROWID",
    "CREATE UNIQUE INDEX IF NOT EXISTS once_by_key ON once (log, key)",
)
"""`bytes` counts all that was ever appended, up to and with this entry: a difference of two is what lies between."""

_TRIMMED = 8
"""The oldest entries that an append looks at: more than one, so that a log that is too long becomes shorter."""


class SqliteLog(Mirror):
    """Entries in a file; they survive every process. A restored backup, or another file in its place, is a `reset`."""

    def __init__(self, store: SqliteStore, limits: Limits) -> None:
        super().__init__("", limits)
        self._store = store
        self._own: dict[int, tuple[bytes, Message]] = {}
        store.prepare(self._prepare)
        store.subscribe(self._follow)

    def open(self) -> None:
        self._store.do(lambda _: None)  # the window is there before this returns

    def append(self, message: Message, once: str | None = None) -> Position:
        packed, seen = pack(message), self._window.head
        return self._store.do(lambda connection: self._append(connection, message, packed, seen, once))

    def close(self) -> None:
        self._wakers = ()
        self._store.close()

    # In the store's thread

    def _prepare(self, connection: sqlite3.Connection) -> None:
        for table in _TABLES:
            connection.execute(table)
        connection.execute("INSERT OR IGNORE INTO log VALUES (?, ?, 0, 0)", (self._store.name, secrets.token_hex(4)))

    def _append(
        self, connection: sqlite3.Connection, message: Message, packed: bytes, seen: Position, once: str | None
    ) -> Position:
        name, now = self._store.name, time.time()
        epoch, head, size = self._log(connection)
        if once is not None:
            known = connection.execute("SELECT offset, seconds FROM once WHERE log = ? AND key = ?", (name, once)).fetchone()
            if known is not None and known[0] <= head and known[1] > now - self._limits.once_seconds:
                return Position(epoch, known[0])
        if epoch == seen.epoch and head < seen.offset:
            epoch = secrets.token_hex(4)
        head, size = head + 1, size + message.cost_bytes
        connection.execute("UPDATE log SET epoch = ?, head = ?, bytes = ? WHERE name = ?", (epoch, head, size, name))
        connection.execute("INSERT INTO entry VALUES (?, ?, ?, ?, ?)", (name, head, size, now, packed))
        self._trim(connection, head, size, now)
        if once is not None:
            self._remember(connection, once, head, now)
        self._own[head] = packed, message
        self._store.announce()
        return Position(epoch, head)

    def _log(self, connection: sqlite3.Connection) -> tuple[str, int, int]:
        sql = "SELECT epoch, head, bytes FROM log WHERE name = ?"
        found: tuple[str, int, int] | None = connection.execute(sql, (self._store.name,)).fetchone()
        if found is None:  # somebody has emptied the table
            self._prepare(connection)
            found = connection.execute(sql, (self._store.name,)).fetchone()
            assert found is not None
        return found

    def _trim(self, connection: sqlite3.Connection, head: int, size: int, now: float) -> None:
        limits, keep = self._limits, head
        oldest = connection.execute(
            "SELECT offset, bytes, seconds FROM entry WHERE log = ? ORDER BY offset LIMIT ?", (self._store.name, _TRIMMED)
        ).fetchall()
        for keep, upto, seconds in oldest:
            if (
                keep > head - limits.window_entries
                and (size - upto < limits.window_bytes)
                and seconds > now - limits.history_seconds
            ):
                break
        if keep != oldest[0][0]:
            connection.execute("DELETE FROM entry WHERE log = ? AND offset < ? AND offset < ?", (self._store.name, keep, head))

    def _remember(self, connection: sqlite3.Connection, once: str, offset: int, now: float) -> None:
        """Keep a key, and forget those that are too old or too many."""
        name, limits = self._store.name, self._limits
        (newest,) = connection.execute("SELECT coalesce(max(number), 0) FROM once WHERE log = ?", (name,)).fetchone()
        connection.execute("INSERT OR REPLACE INTO once VALUES (?, ?, ?, ?, ?)", (name, newest + 1, once, offset, now))
        oldest = "SELECT number, seconds FROM once WHERE log = ? ORDER BY number LIMIT 2"
        for number, seconds in connection.execute(oldest, (name,)).fetchall():
            if number <= newest + 1 - limits.once_keys or seconds <= now - limits.once_seconds:
                connection.execute("DELETE FROM once WHERE log = ? AND number = ?", (name, number))

    def _follow(self, connection: sqlite3.Connection) -> None:
        """Bring the window up to what is committed."""
        connection.execute("BEGIN")
        try:
            changed = self._read(connection)
        finally:
            self._own.clear()
            connection.execute("COMMIT")
        if changed:
            self._wake()

    def _read(self, connection: sqlite3.Connection) -> bool:
        epoch, head, _ = self._log(connection)
        known = self._window.head
        if epoch == known.epoch and head < known.offset:  # an older copy of the file was put in its place
            epoch = secrets.token_hex(4)
            connection.execute("UPDATE log SET epoch = ? WHERE name = ?", (epoch, self._store.name))
        if epoch != known.epoch:
            self._replace(epoch, *self._all(connection, epoch, head))
            return True
        if head == known.offset:
            return False
        entries = self._behind(connection, epoch, known.offset)
        with self._lock:
            for entry in entries:
                self._window.add(entry)
        return True

    def _all(self, connection: sqlite3.Connection, epoch: str, head: int) -> tuple[int, Iterable[Entry]]:
        entries = self._behind(connection, epoch, max(0, head - self._limits.window_entries))
        return (entries[0].position.offset - 1 if entries else head), entries

    def _behind(self, connection: sqlite3.Connection, epoch: str, offset: int) -> list[Entry]:
        rows = connection.execute(
            "SELECT offset, message FROM entry WHERE log = ? AND offset > ? ORDER BY offset", (self._store.name, offset)
        )
        entries = []
        for place, packed in rows:
            own = self._own.get(place)
            message = own[1] if own is not None and own[0] == packed else unpack(packed)
            entries.append(Entry(Position(epoch, place), message))
        return entries
