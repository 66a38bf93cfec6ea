from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from threading import Event

import pytest

from cometware import Limits, LogUnavailable, Position
from cometware.core.entry import Message
from cometware.errors import Gap
from cometware.logs import redis as redis_log
from cometware.logs.base import Log
from cometware.logs.redis import RedisLog
from cometware.stores.redis import Client, RedisStore
from tests.logs.log_contract import LogContract
from tests.logs.waiting import SECONDS, until
from tests.redis_server import RedisServer

NUMBERS = count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that this test may ill-treat."""
    server = RedisServer(tmp_path / "redis", "--appendonly", "yes", "--appendfsync", "always")
    yield server
    server.kill()


def open_log(url: str, limits: Limits | None = None, name: str = "comet") -> RedisLog:
    limits = limits or Limits(store_seconds=SECONDS)
    log = RedisLog(RedisStore(url, name, limits), limits)
    log.open()
    return log


def say(log: Log, *numbers: int) -> list[Position]:
    return [log.append(Message("m", str(number))) for number in numbers]


def heard(log: Log) -> list[int]:
    return [entry.data for entry in log.last(1000, ["*"], log.head.offset)]


class TestRedisLog(LogContract):
    @pytest.fixture(autouse=True)
    def place(self, server: RedisServer) -> None:
        self.url = server.url

    def make(self, limits: Limits) -> Log:
        return open_log(self.url, limits, f"log{next(NUMBERS)}")


def test_a_process_that_hears_nothing_can_ask_how_far_the_log_has_come(
    own: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as deaf:
        deaf.setattr(RedisLog, "_tail", lambda log: None)
        reader = open_log(own.url)
    writer = open_log(own.url)
    say(writer, *range(2500))
    assert reader.head.offset == 0
    reader.sync()
    assert reader.head == writer.head
    assert heard(reader) == heard(writer)
    own.client().flushall()
    writer.sync()
    reader.sync()
    assert reader.head == writer.head
    assert reader.head.offset == 0
    for log in (reader, writer):
        log.close()


def test_a_log_goes_on_where_it_ended(server: RedisServer) -> None:
    name = f"log{next(NUMBERS)}"
    first = open_log(server.url, name=name)
    before = say(first, 1, 2, 3)[-1]
    first.close()
    second = open_log(server.url, name=name)
    assert second.head == before
    assert heard(second) == [1, 2, 3]
    assert say(second, 4) == [Position(before.epoch, 4)]
    second.close()


def test_the_stream_is_bounded_by_entries_bytes_and_age(server: RedisServer) -> None:
    for limits in (Limits(window_entries=10), Limits(window_bytes=10 * 402), Limits(history_seconds=0)):
        name = f"log{next(NUMBERS)}"
        log = open_log(server.url, limits, name)
        say(log, *range(160))
        kept = server.client().xlen(f"cometware:{{{name}}}:log")
        assert kept == (1 if limits.history_seconds == 0 else 10), limits
        log.close()


def test_keys_of_once_do_not_pile_up(server: RedisServer) -> None:
    name = f"log{next(NUMBERS)}"
    log = open_log(server.url, Limits(once_keys=5), name)
    for number in range(20):
        log.append(Message("m", "1"), once=str(number))
    assert server.client().zcard(f"cometware:{{{name}}}:once") == 5
    assert sorted(server.client().hkeys(f"cometware:{{{name}}}:once-offsets")) == [b"15", b"16", b"17", b"18", b"19"]
    log.close()


def test_an_empty_redis_under_our_feet_is_a_new_epoch_that_everybody_is_told(own: RedisServer) -> None:
    log, other = open_log(own.url), open_log(own.url)
    before = say(log, 1, 2, 3)[-1]
    until(other, lambda: other.head == before)
    own.client().flushall()
    until(other, lambda: other.head.epoch != before.epoch)
    until(log, lambda: log.head.epoch == other.head.epoch)
    with pytest.raises(Gap, match="epoch"):
        log.check(before, ["*"])
    (position,) = say(log, 4)
    assert position == Position(other.head.epoch, 1)
    until(other, lambda: other.head == position)
    assert heard(log) == heard(other) == [4]
    log.close()
    other.close()


def test_an_append_right_behind_a_flush_is_in_a_new_epoch(own: RedisServer) -> None:
    log = open_log(own.url)
    before = say(log, 1, 2, 3)[-1]
    own.client().flushall()
    (position,) = say(log, 4)
    assert position.epoch != before.epoch
    assert (position.offset, log.head, heard(log)) == (1, position, [4])
    log.close()


def lose_the_newest(server: RedisServer, log: Log) -> tuple[Position, Position]:
    """Let Redis come back as it was after three of six entries, as a replica does that had not got the others."""
    saved = say(log, 1, 2, 3)[-1]
    server.client().save()
    shutil.copy(server.folder / "dump.rdb", server.folder / "old")
    lost = say(log, 4, 5, 6)[-1]
    server.kill()
    shutil.copy(server.folder / "old", server.folder / "dump.rdb")
    return saved, lost


@pytest.fixture
def forgetful(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "forgetful")
    yield server
    server.kill()


def test_a_fail_over_that_loses_the_newest_entries_is_a_new_epoch_with_what_is_left(forgetful: RedisServer) -> None:
    log = open_log(forgetful.url)
    _, lost = lose_the_newest(forgetful, log)
    forgetful.start()
    until(log, lambda: log.head.epoch != lost.epoch)
    assert heard(log) == [1, 2, 3]
    assert say(log, 7) == [Position(log.head.epoch, 4)]
    with pytest.raises(Gap, match="epoch"):
        log.check(lost, ["*"])
    log.close()


def test_a_fail_over_that_loses_the_epoch_of_the_last_one_is_a_third_epoch(forgetful: RedisServer) -> None:
    log, other = open_log(forgetful.url), open_log(forgetful.url)
    saved, lost = lose_the_newest(forgetful, log)
    forgetful.start()
    for one in (log, other):
        until(one, lambda one=one: one.head.epoch != saved.epoch)
    second = say(log, 7)[-1]
    assert second == Position(other.head.epoch, 4), "one new epoch for all"
    forgetful.kill()
    shutil.copy(forgetful.folder / "old", forgetful.folder / "dump.rdb")
    forgetful.start()
    for one in (log, other):
        until(one, lambda one=one: one.head.epoch not in (saved.epoch, second.epoch))
    third = say(other, 8)[-1]
    assert third.offset == 4
    until(log, lambda: log.head == third)
    assert heard(log) == heard(other) == [1, 2, 3, 8]
    for before in (saved, lost, second):
        with pytest.raises(Gap, match="epoch"):
            log.check(before, ["*"])
    log.close()
    other.close()


def test_offsets_that_were_lost_and_given_anew_by_another_process_are_found_out(forgetful: RedisServer) -> None:
    log = open_log(forgetful.url)
    saved, lost = lose_the_newest(forgetful, log)
    fresh = RedisServer(forgetful.folder)  # the same data, and nobody there who has seen more
    other = open_log(fresh.url)
    assert say(other, 40, 50, 60, 70)[-1] == Position(saved.epoch, 7)
    other.close()
    fresh.client().save()
    fresh.stop()
    forgetful.start()
    until(log, lambda: log.head.epoch != lost.epoch)
    assert heard(log) == [1, 2, 3, 40, 50, 60, 70]
    log.close()


def test_a_restart_loses_nothing_and_is_no_new_epoch(own: RedisServer) -> None:
    log, other = open_log(own.url), open_log(own.url)
    before = say(log, 1, 2, 3)[-1]
    own.kill()
    own.start()
    assert say(log, 4) == [Position(before.epoch, 4)]
    until(other, lambda: other.head.offset == 4)
    assert heard(other) == [1, 2, 3, 4]
    log.close()
    other.close()


def test_while_redis_is_away_callers_are_told_in_time_and_readers_get_everything_afterwards(own: RedisServer) -> None:
    log = open_log(own.url, Limits(store_seconds=0.3))
    say(log, 1)
    own.kill()
    start = time.monotonic()
    with pytest.raises(LogUnavailable, match="refused") as caught:
        log.append(Message("m", "2"), once="two")
    assert time.monotonic() - start < SECONDS
    assert caught.value.url == own.url
    assert heard(log) == [1]
    own.start()
    writer = open_log(own.url)
    writer.append(Message("m", "2"), once="two")
    until(log, lambda: heard(log) == [1, 2])
    assert writer.append(Message("m", "2"), once="two").offset == 2
    log.close()
    writer.close()


def test_a_redis_that_does_not_answer_is_told_in_time(own: RedisServer) -> None:
    log = open_log(own.url, Limits(store_seconds=0.3))
    say(log, 1)
    assert own.process is not None
    own.process.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(LogUnavailable):
            say(log, 2)
    finally:
        own.process.send_signal(signal.SIGCONT)
    writer = open_log(own.url)
    say(writer, 3)
    until(log, lambda: heard(log)[-1] == 3)
    assert heard(log) in ([1, 2, 3], [1, 3])  # it may or may not have been appended
    log.close()
    writer.close()


def test_a_connection_that_was_cut_while_it_was_idle_costs_no_message(own: RedisServer) -> None:
    log = open_log(own.url)
    say(log, 1)
    own.client().client_kill_filter(skipme=True)
    say(log, 2)
    own.client().script_flush()
    say(log, 3)
    assert heard(log) == [1, 2, 3]
    log.close()


def test_a_master_that_became_a_replica_is_told_once_and_found_again(
    own: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    log = open_log(own.url, Limits(store_seconds=0.5))
    say(log, 1)
    connections = own.client().info("stats")["total_connections_received"]
    own.client().replicaof("127.0.0.1", 1)
    with pytest.raises(LogUnavailable, match="read only replica"):
        say(log, 2)
    assert own.client().info("stats")["total_connections_received"] - connections < 40, "it tries again with patience"
    own.client().replicaof("NO", "ONE")
    writer = open_log(own.url)
    say(writer, 3)
    until(log, lambda: heard(log) == [1, 3])
    log._store.limits = Limits(store_seconds=SECONDS)
    say(log, 4)
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2, told
    assert "away: Redis says: You can't write against a read only replica" in told[0]
    assert told[1] == f"cometware: the store {own.url} is back"
    log.close()
    writer.close()


def test_a_full_redis_says_so(own: RedisServer) -> None:
    log = open_log(own.url)
    own.client().config_set("maxmemory", "1")
    with pytest.raises(LogUnavailable, match="maxmemory"):
        say(log, 1)
    own.client().config_set("maxmemory", "0")
    assert say(log, 2)[0].offset == 1
    log.close()


def test_a_clock_that_is_set_back_changes_no_order(server: RedisServer) -> None:
    name = f"log{next(NUMBERS)}"
    log = open_log(server.url, Limits(window_entries=5), name)
    (first,) = say(log, 1)
    tomorrow = int((time.time() + 86400) * 1000)
    fields = {"e": first.epoch, "b": 1000, "t": tomorrow, "m": b'["m",["*"],null,"",0]\n2'}
    server.client().xadd(f"cometware:{{{name}}}:log", fields, id="2-1")
    until(log, lambda: log.head.offset == 2)
    say(log, *range(3, 11))
    assert heard(log) == [6, 7, 8, 9, 10]
    say(log, *range(11, 17))
    assert server.client().xlen(f"cometware:{{{name}}}:log") == 5
    log.close()


def test_a_process_that_was_too_slow_is_told_what_it_missed(own: RedisServer) -> None:
    limits = Limits(window_entries=5, store_seconds=SECONDS)
    log, other = open_log(own.url, limits), open_log(own.url, limits)
    before = say(log, 1)[-1]
    until(other, lambda: other.head == before)
    raw, now = own.client(), int(time.time() * 1000)
    with raw.pipeline(transaction=True) as pipeline:  # all in one moment, so that no tailer comes between
        for number in range(2, 12):
            fields = {"e": before.epoch, "b": 1000 * number, "t": now, "m": f'["m",["*"],null,"",0]\n{number}'.encode()}
            pipeline.xadd("cometware:{comet}:log", fields, id=f"{number}-1", maxlen=5, approximate=False)
        pipeline.execute()
    until(other, lambda: other.head == Position(before.epoch, 11))
    assert heard(other) == [7, 8, 9, 10, 11]
    with pytest.raises(Gap, match="forgotten"):
        other.check(before, ["*"])
    log.close()
    other.close()


def test_closing_ends_its_tailer_too_even_one_that_is_just_connecting(
    own: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = Limits(store_seconds=SECONDS)
    store = RedisStore(own.url, "comet", limits)
    connect, on_the_way, ended = store.connect, Event(), Event()

    def slow(answer_seconds: float) -> Client:
        if answer_seconds == limits.store_seconds:
            return connect(answer_seconds)  # the store's own
        on_the_way.set()
        time.sleep(0.2)
        client = connect(answer_seconds)
        monkeypatch.setattr(client, "close", lambda: (type(client).close(client), ended.set()))
        return client

    monkeypatch.setattr(store, "connect", slow)
    log = RedisLog(store, limits)
    log.open()
    assert on_the_way.wait(SECONDS)
    log.close()
    assert ended.is_set()


def test_closing_does_not_wait_for_news(own: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_log, "_BLOCK_SECONDS", 10 * SECONDS)
    log = open_log(own.url)
    connections(own, lambda commands: "xread" in commands)
    log.close()
    connections(own, lambda commands: len(commands) == 1)


def connections(server: RedisServer, expected: Callable[[list[str]], bool]) -> None:
    """Wait until the last commands of all connections to a server, this one among them, are as expected."""
    deadline = time.monotonic() + SECONDS
    with server.client() as client:
        while not expected([connection["cmd"] for connection in client.client_list()]):
            assert time.monotonic() < deadline
            time.sleep(0.01)
