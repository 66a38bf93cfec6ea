from __future__ import annotations

import _socket
import shutil
import sqlite3
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from cometware import Limits, LogUnavailable, Position
from cometware.core.entry import Message
from cometware.errors import Gap
from cometware.logs.base import Log
from cometware.logs.sqlite import SqliteLog
from cometware.stores.sqlite import SqliteStore
from tests.logs.log_contract import LogContract
from tests.logs.waiting import SECONDS, until

NUMBERS = count()


def open_log(path: Path, limits: Limits | None = None, name: str = "comet") -> SqliteLog:
    limits = limits or Limits()
    log = SqliteLog(SqliteStore(f"sqlite:///{path}", name, limits), limits)
    log.open()
    return log


class TestSqliteLog(LogContract):
    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def make(self, limits: Limits) -> Log:
        return open_log(self.folder / f"{next(NUMBERS)}.db", limits)


def say(log: Log, *numbers: int) -> list[Position]:
    return [log.append(Message("m", str(number))) for number in numbers]


def heard(log: Log) -> list[int]:
    return [entry.data for entry in log.last(1000, ["*"], log.head.offset)]


def rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    database = sqlite3.connect(path)
    try:
        return database.execute(query).fetchall()
    finally:
        database.close()


def remove(path: Path) -> None:
    for one in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
        one.unlink(missing_ok=True)


def test_a_log_goes_on_where_it_ended(tmp_path: Path) -> None:
    first = open_log(tmp_path / "a.db")
    before = say(first, 1, 2, 3)[-1]
    first.close()
    second = open_log(tmp_path / "a.db")
    assert second.head == before
    assert heard(second) == [1, 2, 3]
    assert say(second, 4) == [Position(before.epoch, 4)]
    second.close()


def test_the_table_is_bounded_by_entries_bytes_and_age(tmp_path: Path) -> None:
    for number, limits in enumerate((Limits(window_entries=10), Limits(window_bytes=10 * 402), Limits(history_seconds=0))):
        path = tmp_path / f"{number}.db"
        log = open_log(path, limits)
        say(log, *range(160))
        kept = rows(path, "SELECT count(*), max(offset) FROM entry")
        assert kept == [(1 if number == 2 else 10, 160)], limits
        log.close()


def test_keys_of_once_do_not_pile_up(tmp_path: Path) -> None:
    log = open_log(tmp_path / "a.db", Limits(once_keys=5))
    for number in range(20):
        log.append(Message("m", "1"), once=str(number))
    assert rows(tmp_path / "a.db", "SELECT key FROM once ORDER BY number") == [("15",), ("16",), ("17",), ("18",), ("19",)]
    log.close()


def test_a_deleted_file_is_a_new_epoch_that_everybody_is_told(tmp_path: Path) -> None:
    log, other = open_log(tmp_path / "a.db"), open_log(tmp_path / "a.db")
    before = say(log, 1, 2)[-1]
    until(other, lambda: other.head == before)
    remove(tmp_path / "a.db")
    (position,) = say(log, 3)
    assert position.epoch != before.epoch
    assert (position.offset, heard(log)) == (1, [3])
    until(other, lambda: other.head == position)
    assert heard(other) == [3]
    with pytest.raises(Gap, match="epoch"):
        other.check(before, ["*"])
    log.close()
    other.close()


def test_an_older_copy_in_the_place_of_the_file_is_a_new_epoch_with_what_is_left(tmp_path: Path) -> None:
    path, copy = tmp_path / "a.db", tmp_path / "copy.db"
    log, other = open_log(path), open_log(path)
    say(log, 1, 2)
    rows(path, f"VACUUM INTO '{copy}'")
    lost = say(log, 3, 4)[-1]
    until(other, lambda: other.head == lost)
    remove(path)
    copy.rename(path)
    (position,) = say(log, 5)
    assert position.epoch != lost.epoch
    assert (position.offset, heard(log)) == (3, [1, 2, 5])
    until(other, lambda: other.head == position)
    assert heard(other) == [1, 2, 5]
    log.close()
    other.close()


def test_the_same_older_copy_a_second_time_is_a_third_epoch(tmp_path: Path) -> None:
    path, copy = tmp_path / "a.db", tmp_path / "copy.db"
    log, other = open_log(path), open_log(path)
    first = say(log, 1)[-1]
    rows(path, f"VACUUM INTO '{copy}'")
    lost = say(log, 2)[-1]
    until(other, lambda: other.head == lost)
    seen = {first.epoch}
    for number in (3, 4):
        remove(path)
        shutil.copy(copy, path)
        (position,) = say(log, number)
        assert position.offset == 2
        assert position.epoch not in seen
        seen.add(position.epoch)
        until(other, lambda position=position: other.head == position)
        assert heard(log) == heard(other) == [1, number]
    log.close()
    other.close()


def test_a_process_that_was_too_slow_is_told_what_it_missed(tmp_path: Path) -> None:
    limits = Limits(window_entries=5)
    log = open_log(tmp_path / "a.db", limits)
    before = say(log, 1)[-1]
    database = sqlite3.connect(tmp_path / "a.db")
    with database:
        for offset in range(2, 20):
            packed = f'["m",["*"],null,"",0]\n{offset}'.encode()
            database.execute("INSERT INTO entry VALUES ('comet', ?, ?, 0, ?)", (offset, 1000 * offset, packed))
        database.execute("DELETE FROM entry WHERE offset < 15")
        database.execute("UPDATE log SET head = 19, bytes = 19000")
    database.close()
    assert say(log, 20) == [Position(before.epoch, 20)]
    assert heard(log) == [16, 17, 18, 19, 20]
    with pytest.raises(Gap, match="forgotten"):
        log.check(before, ["*"])
    log.close()


def test_sockets_of_the_dead_are_cleared_away(tmp_path: Path) -> None:
    log = open_log(tmp_path / "a.db")
    dead = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM)
    dead.bind(str(tmp_path / "a.db-wake" / "1-dead"))
    dead.close()
    say(log, 1)
    assert len(list((tmp_path / "a.db-wake").iterdir())) == 1
    log.close()
    assert list((tmp_path / "a.db-wake").iterdir()) == []


def test_who_has_lost_its_socket_makes_another(tmp_path: Path) -> None:
    log, other = open_log(tmp_path / "a.db"), open_log(tmp_path / "a.db")
    shutil.rmtree(tmp_path / "a.db-wake")
    say(other, 1)
    (position,) = say(log, 2)
    until(other, lambda: other.head == position)
    assert len(list((tmp_path / "a.db-wake").iterdir())) == 2
    log.close()
    other.close()


def test_a_file_deep_in_long_folders_wakes_too(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    log, other = open_log(folder / "a.db"), open_log(folder / "a.db")
    (position,) = say(log, 1)
    until(other, lambda: other.head == position)
    log.close()
    other.close()


def test_a_full_disk_says_so_and_all_goes_on_when_there_is_room(tmp_path: Path) -> None:
    log = open_log(tmp_path / "a.db", Limits(store_seconds=SECONDS))
    say(log, 1)
    log._store.do(lambda connection: connection.execute("PRAGMA max_page_count = 20").fetchone())
    with pytest.raises(LogUnavailable, match="full"):
        log.append(Message("m", '"' + "x" * 200_000 + '"'))
    assert say(log, 2)[0].offset == 2
    assert heard(log) == [1, 2]
    log.close()
