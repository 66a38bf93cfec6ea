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
    "CREATE TABLE IF NOT EXISTS past (log TEXT, epoch TEXT, PRIMARY KEY (log, epoch)) WITHOUT ROWID",
)
"""`bytes` counts all that was ever appended, up to and with this entry: a difference of two is what lies between. `past` has
the epochs before this one."""

_TRIM_EVERY = 16
"""Entries behind which the oldest are looked at, and twice as many of them."""


_FORGET_SECONDS = 5.0
"""How often is looked for entries that are too old, also when none come."""


class SqliteLog(Mirror):
    """Entries in a file; they survive every process. A restored backup, or another file in its place, is a `reset`."""

    def __init__(self, store: SqliteStore, limits: Limits) -> None:
        super().__init__("", limits)
        self._store = store
        self._transaction = 0
        self._epoch, self._end, self._bytes = "", 0, 0
        self._fresh: list[Entry] = []
        self._forget_at = 0.0
        store.safety_seconds = min(store.safety_seconds, max(0.1, limits.history_seconds))
        store.prepare(self._prepare)
        store.subscribe(self._follow)

    def open(self) -> None:
        self.sync()

    def sync(self) -> None:
        self._store.do(lambda _: None)  # the window is brought up to date before this returns

    def append(self, message: Message, once: str | None = None) -> Position:
        packed = pack(message)
        return self._store.do(lambda connection: self._append(connection, message, packed, once))

    def close(self) -> None:
        self._wakers = ()
        self._store.close()

    # In the store's thread, within a transaction: `_epoch`, `_end` and `_bytes` are where the log ends in it, and `_fresh`
    # is what it has appended

    def _prepare(self, connection: sqlite3.Connection) -> None:
        for table in _TABLES:
            connection.execute(table)
        connection.execute("INSERT OR IGNORE INTO log VALUES (?, ?, 0, 0)", (self._store.name, secrets.token_hex(4)))

    def _append(self, connection: sqlite3.Connection, message: Message, packed: bytes, once: str | None) -> Position:
        if self._transaction != self._store.transaction:
            self._begin(connection)
        if once is not None:
            known = self._published(connection, once)
            if known is not None:
                return Position(self._epoch, known)
        offset, size, now = self._end + 1, self._bytes + message.cost_bytes, time.time()
        connection.execute("INSERT INTO entry VALUES (?, ?, ?, ?, ?)", (self._store.name, offset, size, now, packed))
        if once is not None:
            self._remember(connection, once, offset, now)
        self._end, self._bytes = offset, size
        position = Position(self._epoch, offset)
        self._fresh.append(Entry(position, message))
        return position

    def _begin(self, connection: sqlite3.Connection) -> None:
        self._transaction = self._store.transaction
        self._fresh = []
        self._epoch, self._end, self._bytes = self._log(connection)
        self._store.at_end(self._settle)

    def _settle(self, connection: sqlite3.Connection) -> None:
        if self._fresh:
            connection.execute(
                "UPDATE log SET epoch = ?, head = ?, bytes = ? WHERE name = ?",
                (self._epoch, self._end, self._bytes, self._store.name),
            )
            if self._end // _TRIM_EVERY != (self._end - len(self._fresh)) // _TRIM_EVERY:
                self._trim(connection)
            self._store.announce()

    def _log(self, connection: sqlite3.Connection) -> tuple[str, int, int]:
        """Return where the log ends. If what was seen here is not in it, in a new epoch: never an offset twice in one."""
        (epoch, head, size), seen = self._row(connection), self._window.head
        is_lost = head < seen.offset if epoch == seen.epoch else seen.epoch and not self._is_past(connection, seen.epoch)
        if is_lost:  # an older copy of the file was put in its place
            past = {epoch, seen.epoch}
            epoch = secrets.token_hex(4)
            connection.execute("UPDATE log SET epoch = ? WHERE name = ?", (epoch, self._store.name))
            rows = [(self._store.name, other) for other in past]
            connection.executemany("INSERT OR IGNORE INTO past VALUES (?, ?)", rows)
        return epoch, head, size

    def _is_past(self, connection: sqlite3.Connection, epoch: str) -> bool:
        sql = "SELECT 1 FROM past WHERE log = ? AND epoch = ?"
        return connection.execute(sql, (self._store.name, epoch)).fetchone() is not None

    def _row(self, connection: sqlite3.Connection) -> tuple[str, int, int]:
        sql = "SELECT epoch, head, bytes FROM log WHERE name = ?"
        found: tuple[str, int, int] | None = connection.execute(sql, (self._store.name,)).fetchone()
        if found is None:  # somebody has emptied the table
            self._prepare(connection)
            found = connection.execute(sql, (self._store.name,)).fetchone()
            assert found is not None
        return found

    def _trim(self, connection: sqlite3.Connection) -> None:
        """Forget the oldest entries, if they are too many, too large or too old; the last one always stays."""
        name, limits, oldest = self._store.name, self._limits, time.time() - self._limits.history_seconds
        keep = self._end - limits.window_entries + 1
        rows = connection.execute(
            "SELECT offset, bytes, seconds FROM entry WHERE log = ? AND offset >= ? ORDER BY offset LIMIT ?",
            (name, keep, len(self._fresh) + 2 * _TRIM_EVERY),
        )
        for offset, upto, seconds in rows:
            keep = offset
            if self._bytes - upto < limits.window_bytes and seconds > oldest:
                break
        connection.execute("DELETE FROM entry WHERE log = ? AND offset < ?", (name, min(keep, self._end)))

    def _published(self, connection: sqlite3.Connection, once: str) -> int | None:
        """Return where the message with this key is."""
        known = connection.execute(
            "SELECT offset FROM once WHERE log = ? AND key = ? AND seconds > ? AND offset <= ?",
            (self._store.name, once, time.time() - self._limits.once_seconds, self._end),
        ).fetchone()
        return None if known is None else int(known[0])

    def _remember(self, connection: sqlite3.Connection, once: str, offset: int, now: float) -> None:
        """Keep a key, and forget those that are too old or too many."""
        name, limits = self._store.name, self._limits
        (newest,) = connection.execute("SELECT coalesce(max(number), 0) FROM once WHERE log = ?", (name,)).fetchone()
        connection.execute("INSERT OR REPLACE INTO once VALUES (?, ?, ?, ?, ?)", (name, newest + 1, once, offset, now))
        oldest = "SELECT number, seconds FROM once WHERE log = ? ORDER BY number LIMIT 2"
        for number, seconds in connection.execute(oldest, (name,)).fetchall():
            if number <= newest + 1 - limits.once_keys or seconds <= now - limits.once_seconds:
                connection.execute("DELETE FROM once WHERE log = ? AND number = ?", (name, number))

    # In the store's thread, behind a commit

    def _follow(self, connection: sqlite3.Connection) -> None:
        """Bring the window up to what is committed, and forget what is too old."""
        kept = self._kept(connection) if time.monotonic() >= self._forget_at else 0
        self._catch_up(connection)
        self._forget(self._window.epoch, kept - 1)

    def _kept(self, connection: sqlite3.Connection) -> int:
        """Forget what is too old in the file; return the oldest offset that is left there."""
        self._forget_at = time.monotonic() + min(_FORGET_SECONDS, self._limits.history_seconds)
        name, too_old = self._store.name, time.time() - self._limits.history_seconds
        oldest, newest = connection.execute("SELECT min(offset), max(offset) FROM entry WHERE log = ?", (name,)).fetchone()
        if oldest is None:
            return 0
        young = "SELECT offset FROM entry WHERE log = ? AND (seconds > ? OR offset = ?) ORDER BY offset LIMIT 1"
        keep = int(connection.execute(young, (name, too_old, newest)).fetchone()[0])
        if oldest < keep:
            connection.execute("DELETE FROM entry WHERE log = ? AND offset < ?", (name, keep))
        return keep

    def _catch_up(self, connection: sqlite3.Connection) -> None:
        if self._transaction == self._store.transaction and self._fresh and self._follows(self._fresh[0]):
            entries, self._fresh = self._fresh, []
            self._add(entries)
            self._wake()
            return
        self._fresh = []
        connection.execute("BEGIN")
        try:
            changed = self._read(connection)
        finally:
            connection.execute("COMMIT")
        if changed:
            self._wake()

    def _follows(self, entry: Entry) -> bool:
        epoch, offset = self._window.head
        return entry.position == Position(epoch, offset + 1)

    def _add(self, entries: Iterable[Entry]) -> None:
        with self._lock:
            for entry in entries:
                self._window.add(entry)

    def _read(self, connection: sqlite3.Connection) -> bool:
        epoch, head, _ = self._log(connection)
        known = self._window.head
        if epoch != known.epoch:
            self._replace(epoch, *self._all(connection, epoch, head))
            return True
        if head == known.offset:
            return False
        self._add(self._behind(connection, epoch, known.offset))
        return True

    def _all(self, connection: sqlite3.Connection, epoch: str, head: int) -> tuple[int, Iterable[Entry]]:
        entries = self._behind(connection, epoch, max(0, head - self._limits.window_entries))
        return (entries[0].position.offset - 1 if entries else head), entries

    def _behind(self, connection: sqlite3.Connection, epoch: str, offset: int) -> list[Entry]:
        rows = connection.execute(
            "SELECT offset, message FROM entry WHERE log = ? AND offset > ? ORDER BY offset", (self._store.name, offset)
        )
        return [Entry(Position(epoch, place), unpack(packed)) for place, packed in rows]
