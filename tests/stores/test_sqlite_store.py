from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cometware import Limits, LogUnavailable
from cometware.stores.base import Store
from cometware.stores.sqlite import SqliteStore, network_file_system, place_of
from tests.stores.store_contract import SECONDS, StoreContract, unavailable

TABLE = "CREATE TABLE IF NOT EXISTS number (name TEXT PRIMARY KEY, value INTEGER)"


def make(path: Path, **limits: float) -> SqliteStore:
    store = SqliteStore(f"sqlite:///{path}", "comet", Limits(**{"store_seconds": SECONDS, **limits}))  # type: ignore[arg-type]
    store.prepare(lambda connection: connection.execute(TABLE))
    return store


def write(name: str, number: int) -> Callable[[sqlite3.Connection], Any]:
    return lambda connection: connection.execute("INSERT OR REPLACE INTO number VALUES (?, ?)", (name, number)).rowcount


def read(name: str) -> Callable[[sqlite3.Connection], Any]:
    return lambda connection: connection.execute("SELECT max(value) FROM number WHERE name = ?", (name,)).fetchone()[0]


class TestSqliteStore(StoreContract):
    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path) -> None:
        self.path = tmp_path / "channel.db"

    def make(self, limits: Limits) -> Store[Any, Any]:
        return make(self.path, store_seconds=limits.store_seconds)

    def write(self, name: str, number: int) -> Callable[[Any], Any]:
        return write(name, number)

    def read(self, name: str) -> Callable[[Any], Any]:
        return read(name)


def test_what_an_operation_wrote_before_it_raised_is_undone(tmp_path: Path) -> None:
    store = make(tmp_path / "a.db")

    def half(connection: sqlite3.Connection) -> None:
        write("a", 1)(connection)
        raise KeyError("half")

    with pytest.raises(KeyError):
        store.do(half)
    assert store.do(read("a")) is None
    store.close()


def test_operations_that_wait_share_one_commit(tmp_path: Path) -> None:
    store = make(tmp_path / "a.db")
    entered, go = threading.Event(), threading.Event()

    def hold(_: sqlite3.Connection) -> None:
        entered.set()
        assert go.wait(SECONDS)

    store.post(hold)
    assert entered.wait(SECONDS)
    groups: list[int] = []
    store.subscribe(lambda _: groups.append(1))
    for number in range(500):
        store.post(write("a", number))
    go.set()
    assert store.do(read("a")) == 499
    assert len(groups) <= 3
    store.close()


def test_a_file_that_cannot_be_made_is_told_in_time_and_found_as_soon_as_it_can(tmp_path: Path) -> None:
    store = make(tmp_path / "later" / "a.db", store_seconds=0.2)
    error = unavailable(lambda: store.do(read("a")))
    assert error.url.endswith("later/a.db")
    assert "there is no directory" in str(error)
    (tmp_path / "later").mkdir()
    store.limits = Limits(store_seconds=SECONDS)
    assert store.do(read("a")) is None
    store.close()


def test_a_file_locked_by_somebody_else_makes_callers_wait_no_longer_than_they_said(tmp_path: Path) -> None:
    store = make(tmp_path / "a.db")
    store.do(read("a"))
    store.limits = Limits(store_seconds=0.2)
    other = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    start = time.monotonic()
    with pytest.raises(LogUnavailable):
        store.do(write("a", 1))
    assert time.monotonic() - start < SECONDS
    other.execute("COMMIT")
    store.limits = Limits(store_seconds=SECONDS)
    store.do(write("a", 2))
    assert store.do(read("a")) == 2
    store.close()
    other.close()


def test_a_deleted_file_is_made_anew(tmp_path: Path) -> None:
    store = make(tmp_path / "a.db")
    store.do(write("a", 1))
    for path in tmp_path.glob("a.db*"):
        if path.is_file():
            path.unlink()
    assert store.do(read("a")) is None
    store.close()


def test_what_is_deleted_is_overwritten_in_the_file(tmp_path: Path) -> None:
    store = make(tmp_path / "a.db")
    store.do(write("session=ann", 1))
    store.do(lambda connection: connection.execute("DELETE FROM number").rowcount)
    store.close()
    assert b"session=ann" not in (tmp_path / "a.db").read_bytes()


def test_an_announcement_wakes_the_other_processes_at_once(tmp_path: Path) -> None:
    one, other = make(tmp_path / "a.db"), make(tmp_path / "a.db")
    one.safety_seconds = other.safety_seconds = 3600
    other.do(read("a"))
    woken = threading.Event()
    other.subscribe(lambda _: woken.set())
    one.do(lambda connection: (write("a", 1)(connection), one.announce()))
    assert woken.wait(SECONDS)
    one.close()
    other.close()


def test_too_many_waiting_operations_are_refused_at_once(tmp_path: Path) -> None:
    store = make(tmp_path / "nowhere" / "a.db", max_waiting_operations=3)
    for number in range(3):
        store.post(write("a", number))
    with pytest.raises(LogUnavailable, match="max_waiting_operations"):
        store.post(write("a", 3))
    store.close()


@pytest.mark.parametrize("url", ["sqlite:", "sqlite:///", "sqlite://host/a.db", "sqlite:///folder/"])
def test_a_url_that_names_no_file_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"expected sqlite:///relative/file.db"):
        place_of(url)


def test_a_url_names_a_relative_or_an_absolute_file() -> None:
    assert place_of("sqlite:///a%20b.db") == ("a b.db", None)
    assert place_of("sqlite:////var/a.db") == ("/var/a.db", None)


MOUNTS = (
    "/dev/sda / ext4 rw 0 0\n"
    "server:/home /mnt/home nfs4 rw 0 0\n"
    "tmpfs /mnt/home/fast tmpfs rw 0 0\n"
    "me@host:/ /mnt/a\\040b fuse.sshfs rw 0 0\n"
)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/a.db", None),
        ("/mnt/home/a.db", "nfs4"),
        ("/mnt/home/deep/er/a.db", "nfs4"),
        ("/mnt/homely/a.db", None),
        ("/mnt/home/fast/a.db", None),
        ("/mnt/a b/a.db", "fuse.sshfs"),
    ],
)
def test_file_systems_of_the_network_are_known(path: str, kind: str | None) -> None:
    assert network_file_system(path, lambda: MOUNTS) == kind


def test_nobody_is_refused_where_nothing_is_known_of_mounts(tmp_path: Path) -> None:
    def unknown() -> str:
        raise FileNotFoundError

    assert network_file_system(str(tmp_path / "a.db"), unknown) is None
