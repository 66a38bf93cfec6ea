"""Who has much to do works a turn in each round of the loop, all of them together; whoever just came is asked in between."""

from __future__ import annotations

import gevent
import pytest
from gevent import socket

from cometware.transports.turns import Turns, turns_here


@pytest.fixture
def turns() -> Turns:
    return turns_here()


def use_up(turns: Turns) -> None:
    """Work until the turn of this round is over."""
    while not turns.is_over():
        pass


def test_a_round_begins_with_a_turn_of_its_own(turns: Turns) -> None:
    use_up(turns)
    assert turns.is_over()
    turns.give_way()
    assert not turns.is_over()


def test_of_all_that_give_way_one_goes_on_in_each_round_and_each_in_its_order(turns: Turns) -> None:
    rounds: list[tuple[str, int]] = []

    def work(name: str) -> None:
        for _ in range(4):
            use_up(turns)
            turns.give_way()
            rounds.append((name, gevent.get_hub().loop.iteration))

    gevent.joinall([gevent.spawn(work, name) for name in "abc"])
    assert "".join(name for name, _ in rounds) == "abc" * 4
    assert len({number for _, number in rounds}) == len(rounds), "two went on in one round"


def test_who_just_came_waits_for_one_turn_and_not_for_all_that_work(turns: Turns) -> None:
    ours, theirs = socket.socketpair()
    turns_taken: list[str] = []
    stopped = gevent.event.Event()

    def work() -> None:
        while not stopped.is_set():
            use_up(turns)
            turns_taken.append("a turn")
            turns.give_way()

    def answer() -> None:
        while data := theirs.recv(1):
            theirs.sendall(data)

    workers = [gevent.spawn(work) for _ in range(10)] + [gevent.spawn(answer)]
    gevent.sleep(0)
    for _ in range(20):
        before = len(turns_taken)
        ours.sendall(b"x")
        assert ours.recv(1) == b"x"
        assert len(turns_taken) - before <= 4, "two ways, and in each of them at most two rounds"
    stopped.set()
    ours.close()
    gevent.joinall(workers, timeout=10, raise_error=True)
    theirs.close()


def test_a_callback_is_put_off_like_a_greenlet(turns: Turns) -> None:
    done: list[str] = []
    turns.later(lambda: done.append("first"))
    turns.later(lambda: done.append("second"))
    assert done == []
    turns.give_way()
    assert done == ["first", "second"]


def test_one_that_fails_does_not_hold_up_the_line(turns: Turns, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise RuntimeError("the test asked for it")

    turns.later(fail)
    turns.give_way()
    assert "the test asked for it" in caplog.text


def test_who_is_killed_in_the_line_does_not_hold_it_up(turns: Turns) -> None:
    waiting = gevent.spawn(turns.give_way)
    gevent.sleep(0)
    waiting.kill()
    turns.give_way()
    assert waiting.dead
