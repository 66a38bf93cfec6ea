"""The facts of a channel's clients in SQLite, for the workers of one host."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Collection

from cometware.roster.facts import Facts
from cometware.roster.factstore import FAR_SECONDS, HELD, TAKEN, UNKNOWN, Lease
from cometware.stores.sqlite import SqliteStore

_TABLES = """
CREATE TABLE IF NOT EXISTS clients (
    channel TEXT, id TEXT, key TEXT, user TEXT, home TEXT, ender TEXT, since REAL, facts TEXT, PRIMARY KEY (channel, id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS clients_by_key ON clients (channel, key);
CREATE INDEX IF NOT EXISTS clients_by_user ON clients (channel, user);
CREATE INDEX IF NOT EXISTS clients_by_home ON clients (channel, home);
CREATE TABLE IF NOT EXISTS workers (channel TEXT, worker TEXT, until REAL, buried REAL, PRIMARY KEY (channel, worker));
CREATE TABLE IF NOT EXISTS moved (channel TEXT, worker TEXT, id TEXT, PRIMARY KEY (channel, worker, id));
"""


class SqliteFacts:
    """Each method is one transaction, or a part of one that several callers share."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self._name = store.name
        store.prepare(_make_tables)

    def load(self, id: str) -> Facts | None:
        return self._store.do(lambda database: self._read(database, id))

    def _read(self, database: sqlite3.Connection, id: str) -> Facts | None:
        row = database.execute("SELECT facts FROM clients WHERE channel = ? AND id = ?", (self._name, id)).fetchone()
        return None if row is None else Facts.read(row[0])

    def swap(self, id: str, old: Facts | None, new: Facts | None) -> Facts | None:
        return self._store.do(lambda database: self._swap(database, id, old, new))

    def _swap(self, database: sqlite3.Connection, id: str, old: Facts | None, new: Facts | None) -> Facts | None:
        stands = self._read(database, id)
        if stands != old or new == old:
            return stands
        if new is None:
            database.execute("DELETE FROM clients WHERE channel = ? AND id = ?", (self._name, id))
        else:
            row = (self._name, id, new.key, new.user, new.home, new.ender, new.since, new.written())
            database.execute("INSERT OR REPLACE INTO clients VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
            if old is not None and old.home != new.home:
                database.execute("INSERT OR IGNORE INTO moved VALUES (?, ?, ?)", (self._name, old.home, id))
        return new

    def newest_of(self, key: str) -> str | None:
        query = "SELECT id FROM clients WHERE channel = ? AND key = ? ORDER BY since DESC LIMIT 1"
        row = self._store.do(lambda database: database.execute(query, (self._name, key)).fetchone())
        return None if row is None else str(row[0])

    def of_user(self, user: str) -> list[Facts]:
        return self._all("user = ?", (user,))

    def of_workers(self, workers: Collection[str]) -> list[Facts]:
        marks = ", ".join("?" * len(workers))
        return self._all(f"(home IN ({marks}) OR ender IN ({marks}))", (*workers, *workers))

    def all(self) -> list[Facts]:
        return self._all("TRUE", ())

    def _all(self, condition: str, values: tuple[str, ...]) -> list[Facts]:
        query = f"SELECT facts FROM clients WHERE channel = ? AND {condition}"
        rows = self._store.do(lambda database: database.execute(query, (self._name, *values)).fetchall())
        return [Facts.read(row[0]) for row in rows]

    def renew(self, worker: str, seconds: float) -> Lease:
        return self._store.do(lambda database: self._renew(database, worker, seconds))

    def _renew(self, database: sqlite3.Connection, worker: str, seconds: float) -> Lease:
        now, mine = time.time(), (self._name, worker)
        known = database.execute("SELECT buried FROM workers WHERE channel = ? AND worker = ?", mine).fetchone()
        standing = UNKNOWN if known is None else HELD if known[0] is None else TAKEN
        database.execute("INSERT OR REPLACE INTO workers VALUES (?, ?, ?, NULL)", (*mine, now + seconds))
        if seconds:  # who resigns does not tell how long leases are
            query = "UPDATE workers SET until = ? WHERE channel = ? AND until > ? AND buried IS NULL"
            database.execute(query, (now + seconds, self._name, now + seconds + FAR_SECONDS))
        moved = database.execute("SELECT id FROM moved WHERE channel = ? AND worker = ?", mine).fetchall()
        database.execute("DELETE FROM moved WHERE channel = ? AND worker = ?", mine)
        database.execute("DELETE FROM workers WHERE channel = ? AND buried < ?", (self._name, now))
        query = "SELECT worker FROM workers WHERE channel = ? AND until < ? AND buried IS NULL"
        dead = database.execute(query, (self._name, now)).fetchall()
        return Lease(standing, [row[0] for row in moved], [row[0] for row in dead])

    def is_alive(self, worker: str) -> bool:
        query = "SELECT 1 FROM workers WHERE channel = ? AND worker = ? AND until >= ?"
        values = (self._name, worker, time.time())
        return self._store.do(lambda database: database.execute(query, values).fetchone()) is not None

    def bury(self, worker: str, seconds: float) -> None:
        def operation(database: sqlite3.Connection) -> None:
            mine = (self._name, worker)
            query = "UPDATE workers SET buried = ? WHERE channel = ? AND worker = ? AND until < ?"
            database.execute(query, (time.time() + seconds, *mine, time.time()))
            database.execute("DELETE FROM moved WHERE channel = ? AND worker = ?", mine)

        self._store.do(operation)


def _make_tables(database: sqlite3.Connection) -> None:
    for statement in _TABLES.split(";"):
        database.execute(statement)
