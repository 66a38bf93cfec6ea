"""What every Roster keeps. A new roster is done when a file of three lines, that names how to make one, passes."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod

import pytest

from cometware import Limits, Position
from cometware.roster.base import Arrival, Record, Roster, RosterFull, State

SECONDS = 60


def knock(roster: Roster, id: str, key: str | None, user: str | None, now: float) -> tuple[Record, bool]:
    """Have a client come by a poll; return its record, and whether that opened it."""
    return roster.open(Arrival(id, key, user, "poll", "native", now))[:2]


def let_go(roster: Roster, record: Record) -> None:
    """Forget a client for good."""
    roster.forget(record)
    roster.drop(record)


def is_other_user(roster: Roster, id: str, key: str) -> bool:
    """Was this key another client's until now? Whoever asks is not here afterwards."""
    opening = roster.open(Arrival(id, key, None, "poll", "native", 0))
    if opening.is_first:
        let_go(roster, opening.record)
    return opening.was_other


class RosterContract(ABC):
    @abstractmethod
    def make(self, limits: Limits) -> Roster:
        """Make an empty roster."""

    @pytest.fixture
    def roster(self) -> Roster:
        return self.make(Limits(max_clients=100, store_seconds=SECONDS))

    def test_the_first_to_ask_opens_and_the_second_finds(self, roster: Roster) -> None:
        record, mine = knock(roster, "a", "key", "ann", 7.0)
        assert mine
        assert (record.id, record.key, record.user, record.since) == ("a", "key", "ann", 7.0)
        assert (record.state, record.rooms, record.data, record.accepted) == (State.OPENING, frozenset(), "{}", 0)
        again, mine = knock(roster, "a", "key", "ann", 9.0)
        assert (again.since, mine) == (7.0, False)

    def test_who_was_opened_in_doubt_is_in_doubt_until_a_request_shows_its_page(self, roster: Roster) -> None:
        doubtful, sure = (Arrival("a", "key", "ann", "poll", "native", 0, doubtful=doubted) for doubted in (True, False))
        record = roster.open(doubtful).record
        roster.settle(record)
        record.state = State.OPEN
        assert record.doubtful
        assert roster.open(doubtful).record.doubtful
        assert not roster.open(sure).record.doubtful
        assert not roster.open(doubtful).record.doubtful

    def test_of_many_threads_one_opens(self, roster: Roster) -> None:
        threads = 16
        start = threading.Barrier(threads)
        mine: list[bool] = []

        def open_it() -> None:
            start.wait(SECONDS)
            mine.append(knock(roster, "a", "key", None, 0)[1])

        workers = [threading.Thread(target=open_it) for _ in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(SECONDS)
        assert sorted(mine) == [False] * (threads - 1) + [True]
        assert len(roster) == 1

    def test_it_finds_by_id_and_by_user(self, roster: Roster) -> None:
        for id, user in (("a", "ann"), ("b", "ann"), ("c", None)):
            knock(roster, id, f"key {id}", user, 0)
        found = roster.get("a")
        assert found is not None and found.user == "ann"
        assert roster.get("z") is None
        assert sorted(record.id for record in roster.of_user("ann")) == ["a", "b"]
        assert roster.of_user("nobody") == []
        assert [record.id for record in roster] == ["a", "b", "c"]
        assert len(roster) == 3

    def test_who_is_forgotten_is_nowhere_any_more(self, roster: Roster) -> None:
        record, _ = knock(roster, "a", "key", "ann", 0)
        let_go(roster, record)
        let_go(roster, record)
        assert (roster.get("a"), roster.of_user("ann"), list(roster), len(roster)) == (None, [], [], 0)
        assert not is_other_user(roster, "b", "key")
        assert knock(roster, "a", "key", "ann", 1)[1]

    def test_to_forget_an_old_record_leaves_its_successor(self, roster: Roster) -> None:
        old, _ = knock(roster, "a", "key", "ann", 0)
        let_go(roster, old)
        new, _ = knock(roster, "a", "key", "ann", 1)
        let_go(roster, old)
        assert roster.get("a") is new
        assert roster.of_user("ann") == [new]

    def test_a_key_that_another_user_brought_is_known(self, roster: Roster) -> None:
        knock(roster, "a", "key", "ann", 0)
        assert is_other_user(roster, "b", "key")
        assert not is_other_user(roster, "a", "key")
        assert not is_other_user(roster, "b", "another key")

    def test_the_newest_user_of_a_key_stays_known_when_the_older_is_forgotten(self, roster: Roster) -> None:
        old, _ = knock(roster, "a", "key", "ann", 0)
        knock(roster, "b", "key", "bob", 0)
        let_go(roster, old)
        assert is_other_user(roster, "a", "key")
        assert not is_other_user(roster, "b", "key")

    def test_rooms_are_joined_and_left(self, roster: Roster) -> None:
        record, _ = knock(roster, "a", "key", "ann", 0)
        assert roster.join("a", "room:x") and roster.join("a", "room:y") and roster.join("a", "room:x")
        assert set(record.audiences) == {"*", "client:a", "user:ann", "room:x", "room:y"}
        assert record.hears("room:x") and record.hears("*") and record.hears("user:ann") and record.hears("client:a")
        assert roster.leave("a", "room:x") and roster.leave("a", "room:never")
        assert not record.hears("room:x") and not record.hears("client:b") and not record.hears("user:bob")
        assert record.rooms == {"room:y"}

    def test_somebody_without_a_user_hears_no_user(self, roster: Roster) -> None:
        record, _ = knock(roster, "a", None, None, 0)
        assert record.audiences == ("*", "client:a")
        assert not record.hears("user:None") and not record.hears("user:")

    def test_who_is_not_here_joins_nothing(self, roster: Roster) -> None:
        assert not roster.join("a", "room:x")
        assert not roster.leave("a", "room:x")

    def test_joins_from_many_threads_are_all_kept(self, roster: Roster) -> None:
        record, _ = knock(roster, "a", "key", None, 0)
        workers = [
            threading.Thread(target=lambda me=me: [roster.join("a", f"room:{me}-{n}") for n in range(25)]) for me in range(8)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(SECONDS)
        assert len(record.rooms) == 200

    def test_when_it_is_full_the_next_one_is_refused_and_the_known_are_not(self) -> None:
        roster = self.make(Limits(max_clients=2, store_seconds=SECONDS))
        first, _ = knock(roster, "a", "key a", None, 0)
        knock(roster, "b", None, None, 0)
        with pytest.raises(RosterFull):
            knock(roster, "c", None, None, 0)
        assert not knock(roster, "a", "key a", None, 0)[1]
        let_go(roster, first)
        assert knock(roster, "c", None, None, 0)[1]

    def test_it_may_change_while_somebody_looks_through_it(self, roster: Roster) -> None:
        for number in range(10):
            knock(roster, str(number), None, None, 0)
        for record in roster:
            let_go(roster, record)
        assert len(roster) == 0

    def test_what_is_put_down_is_picked_up_once(self, roster: Roster) -> None:
        record, _ = knock(roster, "a", "k", None, 1)
        roster.settle(record)
        record.state = State.OPEN
        assert roster.pick_up(record) is None
        roster.put_down(record, Position("x7", 12))
        assert roster.pick_up(record) == Position("x7", 12)
        assert roster.pick_up(record) is None

    def test_who_was_never_opened_is_not_found(self, roster: Roster) -> None:
        assert roster.find("a") is None
        record, _ = knock(roster, "a", "k", None, 1)
        roster.settle(record)
        record.state = State.OPEN
        assert roster.find("a") is record
