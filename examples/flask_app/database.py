"""The order desk's SQLite database: one connection for each application context, filled at first use."""

import sqlite3
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

from flask import current_app, g
from werkzeug.security import generate_password_hash

DEMO_USERS = ("ann", "bob")  # each with its name as password
DEMO_HASH = "scrypt:8192:8:1"  # a quarter of the usual work: no secrets, and hashing holds up everybody else

COFFEES = (
    (1, "Kochere, washed", "Ethiopia", 2450),
    (2, "Pink Bourbon", "Huila, Colombia", 2890),
    (3, "Cerrado, natural", "Minas Gerais, Brazil", 1680),
    (4, "Nyeri AA", "Kenya", 2760),
    (5, "Harbour Espresso", "House blend", 1540),
    (6, "Mountain Water Decaf", "Chiapas, Mexico", 1980),
)

# id, customer, coffee, kilos, due in so many days, note, status, its changes so many minutes ago
ORDERS = (
    (1036, "The Pier Pantry", 6, 4, -2, "", "shipped", (4310, 3105, 3020)),
    (1037, "Nordlicht Bakery", 5, 30, -1, "", "shipped", (3190, 1655, 1540)),
    (1038, "Café Lumen", 1, 12, -1, "", "shipped", (2950, 1610, 1490)),
    (1039, "Foundry Hotel", 5, 60, 0, "Loading dock, before 9", "shipped", (1720, 300, 95)),
    (1040, "Brot & Butter", 3, 18, 0, "", "shipped", (1690, 210, 52)),
    (1041, "Little Finch", 2, 6, 1, "Whole beans, 250 g bags", "packed", (1380, 41)),
    (1042, "Quay Canteen", 5, 45, 1, "", "packed", (1320, 23)),
    (1043, "Rosa’s Corner", 6, 8, 2, "", "open", (340,)),
    (1044, "The Reading Room", 4, 10, 2, "Ground for filter", "open", (190,)),
    (1045, "Station Kiosk 4", 3, 24, 3, "", "open", (66,)),
    (1046, "Maison Okoye", 1, 15, 5, "", "open", (12,)),
)

STATUSES = ("open", "packed", "shipped")  # an order only moves forward

ORDER_ROWS = """
    SELECT orders.*, coffee.name AS coffee, coffee.origin, kilos * cents_per_kg AS cents
    FROM orders JOIN coffee ON coffee.id = coffee_id
"""


def now() -> str:
    return stamp(datetime.now(timezone.utc))


def stamp(moment: datetime) -> str:
    """Write a moment so that later ones also sort later as text."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def connection() -> sqlite3.Connection:
    """Give this application context's connection; `close` ends it with the context."""
    if "database" not in g:
        g.database = open_database(Path(current_app.config["ORDERS_DB"]))
    return g.database


def close(_error: BaseException | None = None) -> None:
    database = g.pop("database", None)
    if database is not None:
        database.close()


def open_database(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(path)
    database.row_factory = sqlite3.Row
    database.execute("PRAGMA foreign_keys = ON")
    if database.execute("SELECT 1 FROM sqlite_master WHERE name = 'journal'").fetchone() is None:
        with current_app.open_resource("schema.sql", "r") as schema:
            database.executescript(schema.read())
    if database.execute("SELECT 1 FROM user").fetchone() is None:
        seed(database)
    return database


def seed(database: sqlite3.Connection) -> None:
    """Fill an empty database, once: of two workers that start together, the second finds the users there."""
    # These passwords are known to everybody, so a cheap hash will do, and no login holds the others up.
    users = [(name, generate_password_hash(name, method="scrypt:4096:8:1")) for name in DEMO_USERS]
    today, moment = date.today(), datetime.now(timezone.utc)
    with database:
        database.execute("BEGIN IMMEDIATE")
        if database.execute("SELECT 1 FROM user").fetchone() is not None:
            return
        database.executemany("INSERT INTO user VALUES (?, ?)", users)
        database.executemany("INSERT INTO coffee VALUES (?, ?, ?, ?)", COFFEES)
        for order_id, customer, coffee, kilos, days, note, status, minutes in ORDERS:
            changes = [stamp(moment - timedelta(minutes=ago)) for ago in minutes]
            due = (today + timedelta(days=days)).isoformat()
            database.execute(
                "INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (order_id, customer, coffee, kilos, due, note, status, changes[-1]),
            )
            for step, at in enumerate(changes):
                database.execute(
                    "INSERT INTO journal (order_id, at, user, status) VALUES (?, ?, ?, ?)",
                    (order_id, at, DEMO_USERS[(order_id + step) % 2], STATUSES[step]),
                )
