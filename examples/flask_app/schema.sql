-- The order desk's database. Safe to run again: the app does so whenever it finds no tables.

CREATE TABLE IF NOT EXISTS user (
    name          TEXT PRIMARY KEY,
    password_hash TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS coffee (
    id          INTEGER PRIMARY KEY,
    name        TEXT NOT NULL,
    origin      TEXT NOT NULL,
    cents_per_kg INTEGER NOT NULL
);

CREATE TABLE IF NOT EXISTS orders (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    customer   TEXT NOT NULL,
    coffee_id  INTEGER NOT NULL REFERENCES coffee (id),
    kilos      INTEGER NOT NULL CHECK (kilos BETWEEN 1 AND 500),
    due        TEXT NOT NULL,                    -- YYYY-MM-DD
    note       TEXT NOT NULL DEFAULT '',
    status     TEXT NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'packed', 'shipped')),
    changed_at TEXT NOT NULL                     -- UTC, to the microsecond: which news of an order is newer
);

CREATE TABLE IF NOT EXISTS journal (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    order_id INTEGER NOT NULL REFERENCES orders (id),
    at       TEXT NOT NULL,
    user     TEXT NOT NULL,
    status   TEXT NOT NULL
);

CREATE INDEX IF NOT EXISTS journal_by_order ON journal (order_id);
