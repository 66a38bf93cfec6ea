"""The one epoll of a worker, with real sockets."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator
from time import perf_counter

import gevent
import pytest
from gevent.event import Event

from cometware.transports.poller import READ, WRITE, Poller
from cometware.transports.turns import TURN_SECONDS

SECONDS = 60


class Ear:
    """Writes down what it is told, and does what a test says."""

    def __init__(self, poller: Poller, then: Callable[[], None] = lambda: None) -> None:
        self.sock, self.peer = socket.socketpair()
        self.sock.setblocking(False)
        self.poller = poller
        self.then = then
        self.told: list[str] = []
        self.woken = Event()
        poller.add(self.sock.fileno(), self)

    def on_readable(self) -> None:
        self.told.append(f"readable {self.sock.recv(100)!r}")
        self.woken.set()
        self.then()

    def on_writable(self) -> None:
        self.told.append("writable")
        self.poller.watch(self.sock.fileno(), READ)
        self.woken.set()
        self.then()

    def lost(self, reason: str) -> None:
        self.told.append(f"lost {reason}")
        self.close()
        self.woken.set()

    def close(self) -> None:
        if self.sock.fileno() >= 0:
            self.poller.remove(self.sock.fileno())
            self.sock.close()

    def wait(self, count: int) -> list[str]:
        with gevent.Timeout(SECONDS):
            while len(self.told) < count:
                self.woken.wait()
                self.woken.clear()
        return self.told


@pytest.fixture
def poller() -> Iterator[Poller]:
    poller = Poller()
    yield poller
    poller.close()


@pytest.fixture
def ear(poller: Poller) -> Iterator[Ear]:
    ear = Ear(poller)
    yield ear
    ear.close()
    ear.peer.close()


def test_it_tells_of_an_arrival_and_of_the_end(ear: Ear) -> None:
    ear.peer.send(b"hi")
    assert ear.wait(1) == ["readable b'hi'"]
    ear.peer.close()
    assert ear.wait(2)[1] == "readable b''"


def test_it_tells_of_room_to_write_only_to_who_asks(ear: Ear) -> None:
    ear.poller.watch(ear.sock.fileno(), READ | WRITE)
    assert ear.wait(1) == ["writable"]
    ear.peer.send(b"x")
    assert ear.wait(2)[1] == "readable b'x'"


def test_who_is_removed_is_told_nothing(poller: Poller, ear: Ear) -> None:
    other = Ear(poller)
    poller.remove(other.sock.fileno())
    poller.remove(other.sock.fileno())
    other.peer.send(b"x")
    ear.peer.send(b"x")
    assert ear.wait(1) == ["readable b'x'"]
    assert other.told == []
    assert len(poller) == 1
    other.sock.close()
    other.peer.close()


def test_a_connection_that_fails_is_let_go_and_the_others_are_served(
    poller: Poller, ear: Ear, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise RuntimeError("the test asked for it")

    failing = Ear(poller, fail)
    failing.peer.send(b"x")
    ear.peer.send(b"x")
    with caplog.at_level(logging.ERROR, "cometware"):
        assert failing.wait(2) == ["readable b'x'", "lost error"]
        assert ear.wait(1) == ["readable b'x'"]
    assert "the test asked for it" in caplog.text
    assert len(poller) == 1
    failing.peer.close()


def test_a_connection_that_another_one_ends_in_the_same_batch_is_told_nothing(poller: Poller) -> None:
    ears: list[Ear] = []
    ended = Event()

    def end_the_others() -> None:
        ended.set()
        for other in ears:
            if not other.told:
                other.close()

    ears += [Ear(poller, end_the_others) for _ in range(3)]
    for ear in ears:
        ear.peer.send(b"x")
    with gevent.Timeout(SECONDS):
        ended.wait()
    gevent.idle()  # nothing else is on its way
    assert sorted(ear.told for ear in ears) == [[], [], ["readable b'x'"]]
    for ear in ears:
        ear.close()
        ear.peer.close()


def test_all_who_are_ready_are_asked_before_any_is_asked_again_and_only_some_of_them_in_one_round(poller: Poller) -> None:
    rounds: list[int] = []

    def use_up_the_turn() -> None:
        rounds.append(gevent.get_hub().loop.iteration)
        end = perf_counter() + TURN_SECONDS
        while perf_counter() < end:
            pass

    ears = [Ear(poller, use_up_the_turn) for _ in range(20)]
    for _ in range(2):
        for ear in ears:
            ear.peer.send(b"x" * 100)
        for ear in ears:
            ear.wait(1)
        assert [len(ear.told) for ear in ears] == [1] * 20
        for ear in ears:
            ear.told.clear()
    assert max(rounds.count(number) for number in rounds) <= 8
    for ear in ears:
        ear.close()
        ear.peer.close()


def test_who_is_removed_while_it_waits_for_the_next_round_is_not_told_what_was_for_another(poller: Poller) -> None:
    """Its number may be a new socket's by then."""
    ears: list[Ear] = []
    first = Event()

    def use_up_the_turn() -> None:
        end = perf_counter() + 2 * TURN_SECONDS
        while perf_counter() < end:
            pass
        first.set()

    ears += [Ear(poller, use_up_the_turn) for _ in range(20)]
    for ear in ears:
        ear.peer.send(b"x")
    with gevent.Timeout(SECONDS):
        first.wait()
    late = [ear for ear in ears if not ear.told]
    assert late
    numbers = [ear.sock.fileno() for ear in late]
    for ear in late:
        ear.close()
    new = [Ear(poller) for _ in late]
    assert {ear.sock.fileno() for ear in new} & set(numbers)
    new[0].peer.send(b"y")
    assert new[0].wait(1) == ["readable b'y'"]
    assert [ear.told for ear in new[1:]] == [[] for _ in new[1:]]
    for ear in (*ears, *new):
        ear.close()
        ear.peer.close()
