"""What a roster keeps that several workers have together: each `make` is another worker of the same channel."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from cometware import Limits, LogUnavailable, Position
from cometware.core.events import REVOKED, Close
from cometware.roster.base import Arrival, Idle, Record, State, Turn
from cometware.roster.factstore import FAR_SECONDS, HELD, TAKEN, UNKNOWN, FactStore
from cometware.roster.shared import Following, SharedRecord, SharedRoster

SECONDS = 60
LEASE = 3600
"""Seconds: longer than any test takes. Who is to be dead resigns, and the time by which a worker judges is an argument."""
LIMITS = Limits(lease_seconds=LEASE, store_seconds=SECONDS)


def arrival(id: str = "a", key: str | None = "key", user: str | None = "ann", **other: object) -> Arrival:
    return Arrival(id, key, user, str(other.get("transport", "poll")), "native", float(str(other.get("now", 1))))


def doubtful(**other: object) -> Arrival:
    return arrival(**other)._replace(doubtful=True)  # type: ignore[arg-type]


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


class Deaf:
    """A store that does what it is asked, but whose answers to `method` never arrive."""

    def __init__(self, store: FactStore, method: str) -> None:
        self._store, self._method = store, method

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._store, name)
        return self._unheard(call) if name == self._method else call

    def _unheard(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def ask(*arguments: Any) -> Any:
            call(*arguments)
            raise LogUnavailable("store:", "no answer")

        return ask


@contextmanager
def deaf(roster: SharedRoster, method: str) -> Iterator[None]:
    """Have the answers to this method lost; what is asked here must fail for that."""
    store = roster._store
    roster._store = Deaf(store, method)  # type: ignore[assignment]
    try:
        with pytest.raises(LogUnavailable):
            yield
    finally:
        roster._store = store


def in_doubt(roster: SharedRoster) -> Following:
    """Have a worker miss the answer to its lease, and look after its clients at the next one."""
    with deaf(roster, "renew"):
        roster.renew(5 * LEASE)
    return roster.follow(roster.renew(6 * LEASE))


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

    def test_who_was_opened_in_doubt_is_in_doubt_everywhere(self, one: SharedRoster, two: SharedRoster) -> None:
        request = {"HTTP_COOKIE": "user=ann"}
        record = one.open(doubtful()._replace(request=request)).record
        one.settle(record)
        found = two.find("a")
        assert found is not None and found.doubtful
        two.open(arrival()._replace(request={"HTTP_COOKIE": "user=bob"}))
        one.open(doubtful()._replace(request=request))
        here = two.find("a")
        assert isinstance(here, SharedRecord)
        assert (here.doubtful, here.facts.request) == (False, {"HTTP_COOKIE": "user=bob"})

    def test_a_client_that_stays_costs_the_store_nothing(self, one: SharedRoster, two: SharedRoster) -> None:
        come(one)
        one._store = None  # type: ignore[assignment]  # whoever asks it now fails
        assert not one.open(arrival(now=2)).is_first

    def test_a_client_that_went_and_has_no_connection_there_is_taken_back(self, one: SharedRoster, two: SharedRoster) -> None:
        here = come(one)
        there = come(two, now=2)
        one.follow(one.renew(1))
        assert not one.take_back(here)
        two.away(there)
        assert two.is_idle(there) is Idle.BUSY
        assert one.take_back(here)
        assert one.open(arrival(now=3)).record is here
        two.follow(two.renew(2))
        assert two.is_idle(there) is Idle.ELSEWHERE
        assert one.is_idle(here) is Idle.YES

    def test_a_client_that_came_back_to_where_it_went_is_not_taken_back(self, one: SharedRoster, two: SharedRoster) -> None:
        here = come(one)
        there = come(two, now=2)
        one.follow(one.renew(1))
        two.away(there)
        assert come(two, now=3) is there
        assert not one.take_back(here)

    def test_nobody_takes_back_a_client_that_has_ended(self, one: SharedRoster, two: SharedRoster) -> None:
        here = come(one)
        there = come(two, now=2)
        one.follow(one.renew(1))
        two.away(there)
        assert two.may_close(there)
        assert not one.take_back(here)

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

    def test_the_cookies_of_a_client_are_kept_until_its_on_close_is_over_and_no_longer(
        self, one: SharedRoster, two: SharedRoster
    ) -> None:
        request = {"HTTP_COOKIE": "session=ann"}
        record = one.open(arrival()._replace(request=request)).record
        one.settle(record)
        record.state = State.OPEN
        one.close("a", Close(4400, "out"))
        assert one.may_close(record)
        (under_way,) = two._store.all()
        one.closed(record)
        (told,) = two._store.all()
        assert (under_way.request, told.request, told.close) == (request, {}, Close(4400, "out"))

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

    def test_a_worker_that_died_just_as_the_clock_was_set_back_is_found_dead_all_the_same(
        self, one: SharedRoster, two: SharedRoster
    ) -> None:
        store, deadline = two._store, time.monotonic() + SECONDS
        store.renew(one.worker, 3600)  # as by the clock of an hour later
        while one.worker not in store.renew(two.worker, 0.01).dead:
            assert time.monotonic() < deadline, "a dead worker keeps its lease"

    def test_a_worker_with_a_longer_lease_than_ours_keeps_it(self, one: SharedRoster, two: SharedRoster) -> None:
        store = two._store
        store.renew(one.worker, FAR_SECONDS)
        for _ in range(10):
            assert one.worker not in store.renew(two.worker, 0.001).dead
        assert store.is_alive(one.worker)

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

    def test_on_close_is_run_again_though_the_client_was_back_before_anybody_knew(
        self, one: SharedRoster, two: SharedRoster
    ) -> None:
        record = come(one)
        one.keep(record, '{"name":"Ann"}')
        assert one.may_close(record)
        die(one)
        back = two.open(arrival(now=5))
        assert back.is_first
        two.settle(back.record)
        back.record.state = State.OPEN
        until_dead(two, one)
        following = two.follow(two.renew(10 * LEASE))
        (found,) = following.unfinished
        assert (found.id, found.user, found.data, found.state) == ("a", "ann", '{"name":"Ann"}', State.ENDED)
        assert following.adopted == []
        assert two.get("a") is back.record
        assert two.may_close(found)
        two.closed(found)
        assert in_doubt(two) == Following([], [], [])
        assert [present.id for present in two.presence("*")] == ["a"]
        assert two.is_idle(back.record) is Idle.YES

    def test_an_on_close_that_ends_after_the_client_was_back_is_not_run_again(
        self, one: SharedRoster, two: SharedRoster
    ) -> None:
        record = come(one)
        assert one.may_close(record)
        one.forget(record)
        come(two, now=5)
        one.closed(record)
        die(one)
        until_dead(two, one)
        assert two.follow(two.renew(10 * LEASE)).unfinished == []

    def test_an_on_close_that_was_adopted_leaves_nothing_behind(self, one: SharedRoster, two: SharedRoster) -> None:
        record = come(one)
        assert one.may_close(record)
        die(one)
        until_dead(two, one)
        (found,) = two.follow(two.renew(10 * LEASE)).unfinished
        assert two.may_close(found)
        two.closed(found)
        assert len(two) == 0
        assert two._store.all() == []

    # Answers that are lost: what was asked may be done

    def test_a_client_that_moved_is_given_up_though_the_answer_that_told_it_was_lost(
        self, one: SharedRoster, two: SharedRoster
    ) -> None:
        record = come(one, now=1)
        come(two, now=2)
        assert in_doubt(one).gone == [record]

    def test_an_on_close_that_is_under_way_is_not_begun_beside_itself(self, one: SharedRoster, two: SharedRoster) -> None:
        closing, idle = come(one, "a"), come(one, "b", key="k2")
        assert one.may_close(closing)
        assert one.is_idle(idle) is Idle.YES
        for record in (closing, idle):
            one.forget(record)
        assert in_doubt(one) == Following([], [], [])
        with deaf(one, "swap"):
            one.closed(closing)
        assert in_doubt(one) == Following([], [], [])

    def test_an_end_that_was_decided_unheard_is_taken_back(self, one: SharedRoster, two: SharedRoster) -> None:
        record = come(one)
        with deaf(one, "swap"):
            one.is_idle(record)
        assert in_doubt(one) == Following([], [], [])
        assert [present.id for present in two.presence("*")] == ["a"]
        assert one.is_idle(record) is Idle.YES

    def test_an_end_that_was_decided_unheard_is_kept_if_another_client_has_its_place(
        self, one: SharedRoster, two: SharedRoster
    ) -> None:
        record = come(one)
        one.forget(record)
        with deaf(one, "swap"):
            one.may_close(record)
        assert two.open(arrival(now=5)).is_first
        assert one.may_close(record)
        one.closed(record)
        assert len(one._store.all()) == 1

    def test_an_opening_that_was_not_heard_of_keeps_nobody_out(self, one: SharedRoster, two: SharedRoster) -> None:
        with deaf(one, "swap"):
            one.open(arrival())
        assert not two.open(arrival()).is_first
        assert in_doubt(one).adopted == []
        assert two.open(arrival()).is_first

    def test_an_opening_that_is_under_way_is_let_be(self, one: SharedRoster, two: SharedRoster) -> None:
        store, swap = one._store, one._store.swap

        class Slow(Deaf):
            def swap(self, *arguments: Any) -> Any:
                stands = swap(*arguments)
                one._store = store
                in_doubt(one)
                return stands

        one._store = Slow(store, "")  # type: ignore[assignment]
        opening = one.open(arrival())
        assert opening.is_first
        one.settle(opening.record)
        assert [present.id for present in two.presence("*")] == ["a"]

    def test_a_record_whose_place_another_has_taken_is_let_go(self, one: SharedRoster, two: SharedRoster) -> None:
        old = come(one, now=1)
        there = come(two, now=2)
        two.forget(there)
        assert two.may_close(there)
        two.closed(there)
        assert one.get("a") is old
        assert come(one, key="key", now=3) is old  # not heard of yet
        die(one)  # from now on it asks
        assert come(one, now=4) is not old
        assert one.is_idle(old) is Idle.ELSEWHERE

    def test_an_accepted_number_that_the_store_did_not_hear_of_is_told_to_it(
        self, one: SharedRoster, two: SharedRoster
    ) -> None:
        here, there = come(one), two.open(arrival(transport="post")).record
        assert one.turn(here, 1) is Turn.GO
        store = one._store
        one._store = Away()  # type: ignore[assignment]
        with pytest.raises(LogUnavailable):
            one.accept(here, 1)
        assert here.accepted == 0
        here.accepted = 1  # as who gives up does: it is handled
        one._store = store
        assert two.turn(there, 2) is Turn.EARLY
        one.follow(one.renew(1 * LEASE))
        assert two.turn(there, 2) is Turn.GO

    def test_a_lease_is_trusted_from_when_it_was_asked_for(self, one: SharedRoster) -> None:
        store, answered = one._store, []

        class Late(Deaf):
            def renew(self, *arguments: Any) -> Any:
                lease = store.renew(*arguments)
                answered.append(time.monotonic())
                return lease

        one._store = Late(store, "")  # type: ignore[assignment]
        one.renew(1 * LEASE)
        assert one._trusted_until < answered[0] + LEASE

    def test_who_has_ended_is_found_and_kept_by_nobody(self, one: SharedRoster, two: SharedRoster) -> None:
        record = come(one)
        one.close("a", Close(4400))
        assert one.may_close(record)
        one.closed(record)
        found = two.find("a")
        assert found is not None and (found.state, found.close) == (State.ENDED, Close(4400))
        assert len(two) == 0

    # A worker that stood still for longer than its lease has lost its say

    def test_who_comes_too_late_with_a_client_s_data_changes_nothing(self, one: SharedRoster, two: SharedRoster) -> None:
        here, there = come(one), two.open(arrival(transport="post")).record
        assert one.turn(here, 1) is Turn.GO
        die(one)
        until_dead(two, one)
        assert two.turn(there, 1) is Turn.GO
        two.keep(there, '{"by":"two"}')
        two.accept(there, 1)
        one.follow(one.renew(10 * LEASE))
        one.keep(here, '{"by":"one"}')
        one.accept(here, 1)
        assert (here.data, here.accepted) == ('{"by":"two"}', 1)
        (present,) = two.presence("*")
        assert present.data == {"by": "two"}

    def test_who_comes_too_late_with_a_client_s_position_changes_nothing(self, one: SharedRoster, two: SharedRoster) -> None:
        here, there = come(one, now=1), come(two, now=2)
        two.put_down(there, Position("x7", 13))
        one.put_down(here, Position("x7", 12))
        assert two.pick_up(there) == Position("x7", 13)

    def test_who_stood_still_handles_no_message_of_a_client_that_was_ended_meanwhile(
        self, one: SharedRoster, two: SharedRoster
    ) -> None:
        here = come(one)
        die(one)
        until_dead(two, one)
        (there,) = two.follow(two.renew(10 * LEASE)).adopted
        assert two.is_idle(there) is Idle.YES
        two.forget(there)
        two.closed(there)
        assert one.turn(here, 1) is Turn.EARLY

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

    def test_facts_that_another_version_has_written_are_understood_and_changed(
        self, one: SharedRoster, two: SharedRoster
    ) -> None:
        come(one)
        fields = json.loads(one._store.load("a").written())  # type: ignore[union-attr]
        del fields["why"], fields["aside"]
        self.write("a", json.dumps(fields | {"later": 7}))
        assert two.join("a", "room:x")
        assert two.open(arrival(now=2)).record.rooms == {"room:x"}

    def write(self, id: str, text: str) -> None:
        """Put a text in the place of a client's facts."""
        raise NotImplementedError

    def forget_all(self, roster: SharedRoster) -> None:
        """Have the store lose all it knows."""
        raise NotImplementedError

    def test_a_position_that_one_worker_put_down_another_picks_up_once(self, one: SharedRoster, two: SharedRoster) -> None:
        here = come(one)
        assert one.pick_up(here) is None
        one.put_down(here, Position("x7", 12))
        there = two.open(arrival(now=2)).record
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


class Away:
    """A store that cannot be reached."""

    def swap(self, *arguments: Any) -> Any:
        raise LogUnavailable("store:", "away")


def until_dead(judge: SharedRoster, other: SharedRoster) -> None:
    """Wait until a lease that has ended counts as over, by the store's own clock."""
    deadline = time.monotonic() + SECONDS
    while judge._store.is_alive(other.worker):
        assert time.monotonic() < deadline
        time.sleep(0.01)
