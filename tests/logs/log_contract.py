"""What every Log keeps. A new log is done when a file of three lines, that names how to make one, passes."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator

import pytest

from cometware import Limits, Position
from cometware.core.entry import Message
from cometware.errors import Gap
from cometware.logs.base import Log

SECONDS = 60


class LogContract(ABC):
    @abstractmethod
    def make(self, limits: Limits) -> Log:
        """Make an empty log."""

    @pytest.fixture
    def log(self) -> Iterator[Log]:
        log = self.make(Limits())
        yield log
        log.close()

    @pytest.fixture
    def short(self) -> Iterator[Log]:
        """A log that remembers three entries."""
        log = self.make(Limits(window_entries=3))
        yield log
        log.close()

    def test_it_begins_empty_at_offset_0_of_an_epoch_that_can_be_written(self, log: Log) -> None:
        assert log.head.offset == 0
        assert Position.parse(str(log.head)) == log.head
        assert log.since(0) == []

    def test_another_log_has_another_epoch(self, log: Log) -> None:
        other = self.make(Limits())
        assert other.head.epoch != log.head.epoch
        other.close()

    def test_the_epoch_stays_when_entries_come(self, log: Log) -> None:
        before = log.head
        assert log.append(Message("m", "1")) == Position(before.epoch, 1)
        log.check(before, ["*"])

    def test_offsets_are_dense_and_the_head_is_the_last(self, log: Log) -> None:
        assert [log.append(Message("m", str(n))).offset for n in range(1, 6)] == [1, 2, 3, 4, 5]
        assert log.head.offset == 5
        assert [entry.message.json for entry in log.since(2)] == ["3", "4", "5"]

    def test_an_entry_keeps_all_that_its_message_said(self, log: Log) -> None:
        log.append(Message("order", '{"a":1}', ("room:a", "user:b"), "me", "reply", 7))
        (entry,) = log.since(0)
        message = entry.message
        assert (message.event, message.json, message.to) == ("order", '{"a":1}', ("room:a", "user:b"))
        assert (message.but, message.kind, message.number) == ("me", "reply", 7)

    def test_an_entry_keeps_all_who_are_left_out(self, log: Log) -> None:
        log.append(Message("m", "1", ("room:a",), ("me", "you", "\u00e9")))
        (entry,) = log.since(0)
        assert (entry.message.to, entry.message.but) == (("room:a",), ("me", "you", "\u00e9"))

    def test_a_reader_gets_its_own_mail_and_the_position_behind_it(self, log: Log) -> None:
        for to in ("room:a", "room:b", "room:a"):
            log.append(Message("m", "1", (to,)))
        entries, position = log.read(Position(log.head.epoch, 0), ["room:a"], "me", 10, 3)
        assert [entry.position.offset for entry in entries] == [1, 3]
        assert position == log.head

    def test_what_is_forgotten_is_a_gap(self, short: Log) -> None:
        for _ in range(5):
            short.append(Message("m", "1"))
        assert [entry.position.offset for entry in short.since(2)] == [3, 4, 5]
        start = Position(short.head.epoch, 1)
        for ask in (
            lambda: short.since(1),
            lambda: short.check(start, ["*"]),
            lambda: short.read(start, ["*"], "me", 10, 5),
        ):
            with pytest.raises(Gap) as caught:
                ask()
            assert caught.value.reason == "forgotten"

    def test_a_position_of_another_log_is_a_gap(self, log: Log) -> None:
        with pytest.raises(Gap) as caught:
            log.check(Position("other", 0), ["*"])
        assert caught.value.reason == "epoch"

    def test_the_newest_messages_come_oldest_first(self, log: Log) -> None:
        for number in range(5):
            log.append(Message("m", str(number), ("room:a" if number % 2 else "*",)))
        assert [entry.data for entry in log.last(2, ["*"], log.head.offset)] == [2, 4]
        assert [entry.data for entry in log.last(3, ["*", "room:a"], log.head.offset)] == [2, 3, 4]
        assert log.last(3, ["room:none"], log.head.offset) == []

    def test_threads_that_append_at_once_get_dense_offsets_each_in_its_own_order(self, log: Log) -> None:
        threads, each = 8, 300
        start = threading.Barrier(threads)
        places: dict[int, list[int]] = {}

        def publish(me: int) -> None:
            start.wait(SECONDS)
            places[me] = [log.append(Message("m", f"[{me},{number}]")).offset for number in range(each)]

        workers = [threading.Thread(target=publish, args=(me,)) for me in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(SECONDS)
        assert sorted(place for mine in places.values() for place in mine) == list(range(1, threads * each + 1))
        assert all(mine == sorted(mine) for mine in places.values())
        by_offset = {entry.position.offset: entry.data for entry in log.since(0)}
        assert all(by_offset[place] == [me, number] for me, mine in places.items() for number, place in enumerate(mine))

    def test_every_subscriber_is_woken_after_the_entry_is_there(self, log: Log) -> None:
        seen: list[tuple[str, int]] = []
        woken = threading.Event()

        def second() -> None:
            seen.append(("second", log.head.offset))
            woken.set()

        log.subscribe(lambda: seen.append(("first", log.head.offset)))
        log.subscribe(second)
        log.append(Message("m", "1"))
        assert woken.wait(SECONDS)
        assert sorted(seen) == [("first", 1), ("second", 1)]

    def test_who_has_stopped_is_not_woken(self, log: Log) -> None:
        stopped, going = [], threading.Event()
        stop = log.subscribe(lambda: stopped.append(1))
        log.subscribe(going.set)
        stop()
        stop()
        log.append(Message("m", "1"))
        assert going.wait(SECONDS)
        assert stopped == []

    def test_a_reader_beside_a_writer_sees_every_entry_once(self, log: Log) -> None:
        count = 500
        arrived = threading.Event()
        log.subscribe(arrived.set)
        writer = threading.Thread(target=lambda: [log.append(Message("m", str(n))) for n in range(count)])
        position = log.head
        writer.start()
        found: list[int] = []
        while len(found) < count:
            assert arrived.wait(SECONDS)
            arrived.clear()
            while True:
                entries, position = log.read(position, ["*"], "me", 100, log.head.offset)
                if not entries:
                    break
                found += [entry.data for entry in entries]
        writer.join(SECONDS)
        assert found == list(range(count))

    def test_what_is_too_old_is_forgotten_though_nothing_comes_and_the_newest_stays(self) -> None:
        log = self.make(Limits(history_seconds=0.3))
        before = log.head
        for number in (1, 2, 3):
            log.append(Message("m", str(number)), once=str(number))
        deadline = time.monotonic() + SECONDS
        while len(log.last(5, ["*"], 3)) > 1:
            assert time.monotonic() < deadline
            log.forget_old(time.monotonic())
            time.sleep(0.01)
        assert [entry.data for entry in log.last(5, ["*"], 3)] == [3]
        with pytest.raises(Gap, match="forgotten"):
            log.check(before, ["*"])
        log.check(Position(before.epoch, 2), ["*"])
        assert log.append(Message("m", "4")) == Position(before.epoch, 4)
        log.close()

    def test_what_is_not_too_old_stays(self, log: Log) -> None:
        for number in (1, 2, 3):
            log.append(Message("m", str(number)))
        log.forget_old(0)
        log.forget_old(100)
        assert [entry.data for entry in log.since(0)] == [1, 2, 3]

    def test_the_same_key_is_appended_once(self, log: Log) -> None:
        first = log.append(Message("m", "1"), once="order-7")
        log.append(Message("m", "2"))
        assert log.append(Message("m", "3"), once="order-7") == first
        assert log.append(Message("m", "4"), once="order-8").offset == 3
        assert [entry.data for entry in log.since(0)] == [1, 2, 4]

    def test_keys_that_are_too_old_or_too_many_are_forgotten(self) -> None:
        for limits in (Limits(once_seconds=0), Limits(once_keys=1)):
            log = self.make(limits)
            log.append(Message("m", "1"), once="a")
            log.append(Message("m", "2"), once="b")
            log.append(Message("m", "3"), once="c")
            assert log.append(Message("m", "4"), once="a").offset == 4, limits
            log.close()

    def test_the_newest_key_of_those_that_are_kept_is_known(self) -> None:
        log = self.make(Limits(once_keys=1))
        log.append(Message("m", "1"), once="a")
        second = log.append(Message("m", "2"), once="b")
        assert log.append(Message("m", "2"), once="b") == second
        log.close()

    def test_what_no_message_may_look_like_survives_too(self, log: Log) -> None:
        odd = Message("line\u2028\ud800", '"\n\u00e9\U0001f600\ud800"', ("room:\n", "user:\ud800"), "\u00e9")
        log.append(odd)
        (entry,) = log.since(0)
        assert (entry.message.event, entry.message.json, entry.message.to, entry.message.but) == (
            odd.event, odd.json, odd.to, odd.but,
        )  # fmt: skip

    def test_opening_again_is_harmless(self, log: Log) -> None:
        log.append(Message("m", "1"))
        log.open()
        assert log.head.offset == 1
