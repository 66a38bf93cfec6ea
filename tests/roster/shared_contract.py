"""What a roster keeps that several workers have together: each `make` is another worker of the same channel."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from cometware import Limits, Position
from cometware.core.events import REVOKED, Close
from cometware.roster.base import Arrival, Idle, Record, State, Turn
from cometware.roster.shared import HELD, TAKEN, UNKNOWN, SharedRoster

SECONDS = 30
LEASE = 3600
"""Seconds: longer than any test takes. Who is to be dead resigns, and the time by which a worker judges is an argument."""
LIMITS = Limits(lease_seconds=LEASE, store_seconds=SECONDS)


def arrival(id: str = "a", key: str | None = "key", user: str | None = "ann", **other: object) -> Arrival:
    return Arrival(id, key, user, str(other.get("transport", "poll")), "native", float(str(other.get("now", 1))))


def come(roster: SharedRoster, id: str = "a", **other: object) -> Record:
    """Have a client come to a worker by a poll, and be let in."""
    opening = roster.open(arrival(id, **other))  # type: ignore[arg-type]
    if opening.is_first:
        roster.settle(opening.record)
        opening.record.state = State.OPEN
    return opening.record


def die(roster: SharedRoster) -> None:
    """Have a worker's lease run out."""
    roster.resign()


class SharedRosterContract:
    def make(self, limits: Limits) -> SharedRoster:
        raise NotImplementedError

    @pytest.fixture
    def one(self) -> SharedRoster:
        return self.alive()

    @pytest.fixture
    def two(self) -> SharedRoster:
        return self.alive()

    def alive(self) -> SharedRoster:
        """Make a worker that has held its lease for long enough to judge others."""
        roster = self.make(LIMITS)
        roster.follow(roster.renew(0))
        return roster

    # Coming and going

    def test_who_is_open_on_one_worker_is_found_on_the_other(self, one: SharedRoster, two: SharedRoster) -> None:
        record = come(one)
        one.join("a", "room:x")
        one.keep(record, '{"name":"Ann"}')
        opening = two.open(arrival(now=2))
        assert not opening.is_first
        found = opening.record
        assert (found.state, found.user, found.since) == (State.OPEN, "ann", 1)
        assert (found.rooms, found.data) == ({"room:x"}, '{"name":"Ann"}')

    def test_a_client_that_stays_costs_the_store_nothing(self, one: SharedRoster, two: SharedRoster) -> None:
        come(one)
        one._store = None  # type: ignore[assignment]  # whoever asks it now fails
        assert not one.open(arrival(now=2)).is_first

    def test_while_one_worker_opens_a_client_the_other_waits(self, one: SharedRoster, two: SharedRoster) -> None:
        first = one.open(arrival())
        assert first.is_first
        other = two.open(arrival())
        assert (other.is_first, other.record.state, other.record.settled) == (False, State.OPENING, None)
        assert two.get("a") is None
        one.settle(first.record)
        assert two.open(arrival()).record.state is State.OPEN

    def test_who_was_refused_by_one_worker_is_opened_by_the_next(self, one: SharedRoster, two: SharedRoster) -> None:
        refused = one.open(arrival()).record
        one.forget(refused)
        one.drop(refused)
        assert two.open(arrival()).is_first

    def test_of_two_workers_one_opens(self, one: SharedRoster, two: SharedRoster) -> None:
        start = threading.Barrier(2)
        first: list[bool] = []

        def knock(roster: SharedRoster, number: int) -> None:
            start.wait(SECONDS)
            first.append(roster.open(arrival(str(number))).is_first)

        for number in range(30):
            workers = [threading.Thread(target=knock, args=(roster, number)) for roster in (one, two)]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join(SECONDS)
        assert sorted(first) == [False] * 30 + [True] * 30

    def test_a_key_of_another_user_is_known_on_the_other_worker(self, one: SharedRoster, two: SharedRoster) -> None:
        come(one, "a", user="ann")
        assert two.open(arrival("b", user="bob")).was_other
        assert not two.open(arrival("c", key="another key")).was_other

    def test_who_only_says_something_elsewhere_stays_at_home(self, one: SharedRoster, two: SharedRoster) -> None:
        record = come(one)
        two.open(arrival(transport="post", now=2))
        assert one.renew(1 * LEASE).moved == []
        assert two.is_idle(two.open(arrival(transport="post")).record) is Idle.ELSEWHERE
        assert one.is_idle(record) is Idle.YES

    def test_who_comes_back_when_its_end_is_decided_is_opened_anew(self, one: SharedRoster) -> None:
        record = come(one)
        assert one.is_idle(record) is Idle.YES
        opening = one.open(arrival(now=2))
        assert opening.is_first and opening.record is not record
        assert one.may_close(record)

    # Who looks after a client

    def test_a_worker_learns_that_its_client_has_moved(self, one: SharedRoster, two: SharedRoster) -> None:
        record = come(one, now=1)
        come(two, now=2)
        lease = one.renew(1 * LEASE)
        assert (lease.standing, list(lease.moved)) == (HELD, ["a"])
        assert one.follow(lease).gone == [record]
        assert one.is_idle(record) is Idle.ELSEWHERE
        assert list(one.renew(2 * LEASE).moved) == []

    def test_who_came_back_before_that_was_known_stays(self, one: SharedRoster, two: SharedRoster) -> None:
        record = come(one, now=1)
        other = come(two, now=2)
        come(one, now=3)
        assert one.follow(one.renew(1 * LEASE)).gone == []
        assert two.follow(two.renew(1 * LEASE)).gone == [other]
        assert one.is_idle(record) is Idle.YES

    def test_who_was_heard_of_elsewhere_is_not_idle(self, one: SharedRoster, two: SharedRoster) -> None:
        record = come(one)
        said = two.open(arrival(transport="post")).record
        assert two.turn(said, 1) is Turn.GO
        two.accept(said, 1)
        assert one.is_idle(record) is Idle.BUSY
        assert one.is_idle(record) is Idle.YES

    # Ending

    def test_on_close_is_decided_once(self, one: SharedRoster, two: SharedRoster) -> None:
        here, there = come(one, now=1), come(two, now=2)
        for record in (here, there):
            record.close = Close(4400)
        assert one.close("a", Close(4400))
        assert sorted([one.may_close(here), two.may_close(there)]) == [False, True]

    def test_once_it_is_over_nobody_closes_it_again(self, one: SharedRoster, two: SharedRoster) -> None:
        here, there = come(one, now=1), come(two, now=2)
        two.forget(there)
        assert two.may_close(there)
        two.closed(there)
        one.follow(one.renew(1 * LEASE))
        assert not one.may_close(here)
        assert one.open(arrival(now=5)).is_first

    def test_a_close_waits_for_who_is_away_whatever_worker_it_comes_to(self, one: SharedRoster, two: SharedRoster) -> None:
        come(one)
        assert two.close("a", Close(4403, "out"))
        assert not two.close("nobody", Close(4403))
        third = self.alive()
        assert third.open(arrival(now=2)).record.close == Close(4403, "out")

    def test_a_revoked_user_is_closed_everywhere_also_while_being_opened(self, one: SharedRoster, two: SharedRoster) -> None:
        here = come(one, "a", user="ann")
        opening = two.open(arrival("b", key="k2", user="ann")).record
        other = come(two, "c", key="k3", user="bob")
        one.revoke("ann", Close(REVOKED, "revoked"))
        two.settle(opening)
        assert (here.close, opening.close, other.close) == (Close(REVOKED, "revoked"), Close(REVOKED, "revoked"), None)

    def test_who_was_told_why_is_forgotten_and_may_come_again(self, one: SharedRoster, two: SharedRoster) -> None:
        record = come(one)
        one.close("a", Close(4400))
        assert one.may_close(record)
        one.closed(record)
        found = two.open(arrival(now=2)).record
        assert (found.state, found.close) == (State.ENDED, Close(4400))
        two.forget(found)
        two.drop(found)
        assert two.open(arrival(now=3)).is_first

    # Numbers

    def test_a_message_is_handled_by_one_worker(self, one: SharedRoster, two: SharedRoster) -> None:
        here, there = come(one), two.open(arrival(transport="post")).record
        assert one.turn(here, 1) is Turn.GO
        assert two.turn(there, 1) is Turn.BUSY
        assert two.turn(there, 2) is Turn.EARLY
        one.accept(here, 1)
        assert two.turn(there, 1) is Turn.REPEAT
        assert two.turn(there, 2) is Turn.GO
        assert one.turn(here, 3) is Turn.EARLY
        assert there.accepted == 1

    def test_a_worker_learns_what_others_have_accepted_of_its_client(self, one: SharedRoster, two: SharedRoster) -> None:
        home = come(one)
        visited = two.open(arrival(transport="post")).record
        assert two.turn(visited, 1) is Turn.GO
        two.accept(visited, 1)
        assert one.open(arrival(now=2)).record is home
        one.catch_up(home)
        assert (home.accepted, home.queued) == (1, 1)

    def test_what_a_dead_worker_had_begun_is_begun_again(self, one: SharedRoster, two: SharedRoster) -> None:
        here, there = come(one), two.open(arrival(transport="post")).record
        assert one.turn(here, 1) is Turn.GO
        die(one)
        until_dead(two, one)
        assert two.turn(there, 1) is Turn.GO

    # Leases

    def test_the_clients_of_a_dead_worker_are_adopted_once(self, one: SharedRoster, two: SharedRoster) -> None:
        come(one, "a")
        come(one, "b", key=None)
        half = one.open(arrival("c", key="k3")).record
        third = self.alive()
        for judge in (two, third):
            assert list(judge.renew(0.5 * LEASE).dead) == []
        die(one)
        until_dead(two, one)
        leases = [judge.renew(10 * LEASE) for judge in (two, third)]
        assert [list(lease.dead) for lease in leases] == [[one.worker]] * 2
        adopted = [
            record.id for judge, lease in zip((two, third), leases, strict=True) for record in judge.follow(lease).adopted
        ]
        assert sorted(adopted) == ["a", "b"]
        assert two.open(arrival(half.id, key="k3")).is_first
        assert list(two.renew(11 * LEASE).dead) == []

    def test_who_cannot_be_adopted_for_want_of_room_is_adopted_when_there_is(self, one: SharedRoster) -> None:
        come(one, "a")
        two = self.make(replace(LIMITS, max_clients=1))
        two.follow(two.renew(0))
        other = come(two, "b", key="k2")
        die(one)
        until_dead(two, one)
        assert two.follow(two.renew(10 * LEASE)).adopted == []
        assert two.may_close(other)
        two.forget(other)
        two.closed(other)
        assert [record.id for record in two.follow(two.renew(11 * LEASE)).adopted] == ["a"]

    def test_a_worker_that_was_away_itself_judges_nobody(self, one: SharedRoster) -> None:
        die(one)
        new = self.make(LIMITS)
        until_dead(new, one)
        assert list(new.renew(100 * LEASE).dead) == []
        assert list(new.renew(100.5 * LEASE).dead) == []
        assert list(new.renew(102 * LEASE).dead) == [one.worker]

    def test_on_close_is_run_again_if_its_worker_died(self, one: SharedRoster, two: SharedRoster) -> None:
        record = come(one)
        assert one.may_close(record)
        die(one)
        until_dead(two, one)
        (found,) = two.follow(two.renew(10 * LEASE)).unfinished
        assert (found.id, found.state) == ("a", State.ENDED)
        assert two.may_close(found)
        two.closed(found)
        assert two.open(arrival(now=9)).is_first

    def test_a_worker_that_was_taken_for_dead_finds_its_clients_gone(self, one: SharedRoster, two: SharedRoster) -> None:
        record = come(one)
        die(one)
        until_dead(two, one)
        two.follow(two.renew(10 * LEASE))
        lease = one.renew(10 * LEASE)
        assert lease.standing == TAKEN
        assert one.follow(lease).gone == [record]
        assert one.renew(11 * LEASE).standing == HELD

    def test_what_the_store_has_forgotten_is_told_to_it_again(self, one: SharedRoster) -> None:
        record = come(one)
        self.forget_all(one)
        lease = one.renew(1 * LEASE)
        assert lease.standing == UNKNOWN
        assert one.follow(lease).gone == []
        assert [present.id for present in one.presence("*")] == ["a"]
        assert one.is_idle(record) is Idle.YES

    def forget_all(self, roster: SharedRoster) -> None:
        """Have the store lose all it knows."""
        raise NotImplementedError

    def test_a_position_that_one_worker_put_down_another_picks_up_once(self, one: SharedRoster, two: SharedRoster) -> None:
        here = come(one)
        assert one.pick_up(here) is None
        one.put_down(here, Position("x7", 12))
        there, _, _ = two.open(arrival(now=2))
        assert two.pick_up(there) == Position("x7", 12)
        assert one.pick_up(here) is two.pick_up(there) is None
        two.put_down(there, Position("x7", 13))
        assert one.pick_up(here) == Position("x7", 13)  # though this worker has not heard yet that it was elsewhere
        assert one.is_idle(here) is not Idle.ELSEWHERE  # and is its home again

    def test_a_client_of_another_worker_is_found_and_nobody_is_opened_by_that(
        self, one: SharedRoster, two: SharedRoster
    ) -> None:
        assert two.find("a") is None
        come(one, user="ann")
        found = two.find("a")
        assert found is not None and (found.user, found.state) == ("ann", State.OPEN)
        assert one.find("a") is not found

    def test_presence_is_of_all_workers_in_the_order_of_arrival(self, one: SharedRoster, two: SharedRoster) -> None:
        come(one, "b", key="k1", user="bob", now=2)
        come(two, "a", key="k2", user="ann", now=1)
        two.open(arrival("c", key="k3"))
        two.join("b", "room:x")
        for roster in (one, two):
            assert [present.id for present in roster.presence("*")] == ["a", "b"]
            assert [present.id for present in roster.presence("room:x")] == ["b"]
            assert [present.id for present in roster.presence("user:ann")] == ["a"]


def until_dead(judge: SharedRoster, other: SharedRoster) -> None:
    """Wait until a lease that has ended counts as over, by the store's own clock."""
    deadline = time.monotonic() + SECONDS
    while judge._store.is_alive(other.worker):
        assert time.monotonic() < deadline
        time.sleep(0.01)
