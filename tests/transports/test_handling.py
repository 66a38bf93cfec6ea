"""Handlers share the loop: who said much waits for those who said little, and between two messages the loop looks around."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gevent
import pytest

from cometware import Channel, Client, Limits
from cometware.core.events import Received
from cometware.errors import BadFrame
from cometware.roster.base import Record, State
from cometware.transports import turns as _turns
from cometware.transports.upload import post_once
from cometware.transports.worker import Worker

SECONDS = 60


class Silent:
    """Where messages come from that nobody waits for."""

    transport = "post"
    dialect = "native"

    def handled(self, number: int | None) -> None: ...

    def refused(self, error: BadFrame) -> None:
        raise error


class Room:
    """A worker whose handler writes down in which round of the loop it heard what of whom."""

    def __init__(self) -> None:
        channel = Channel(limits=Limits(max_waiting_messages=1000))
        self.worker = Worker(channel)
        self.heard: list[tuple[str, Any, int]] = []
        channel.on_message(self._hear)

    def _hear(self, client: Client, data: Any) -> None:
        self.heard.append((client.id, data, gevent.get_hub().loop.iteration))

    def say(self, name: str, count: int) -> Record:
        record = Record(name, None, None, 0)
        record.state = State.OPEN
        for index in range(count):
            self.worker.inboxes.deliver(record, Received("message", index), Silent())
        return record

    def until(self, count: int) -> None:
        with gevent.Timeout(SECONDS):
            while len(self.heard) < count:
                gevent.sleep(0.001)

    def of(self, name: str) -> list[tuple[str, Any, int]]:
        return [heard for heard in self.heard if heard[0] == name]


@pytest.fixture
def room() -> Iterator[Room]:
    room = Room()
    yield room
    room.worker.close()


@pytest.fixture
def no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every turn is over as soon as somebody asks."""
    monkeypatch.setattr(_turns, "TURN_SECONDS", -1.0)


@pytest.mark.usefixtures("no_time")
def test_between_two_messages_the_loop_looks_around(room: Room) -> None:
    room.say("much", 100)
    room.until(100)
    assert [data for _, data, _ in room.heard] == list(range(100))
    rounds = [number for *_, number in room.heard]
    assert max(map(rounds.count, rounds)) <= 2


@pytest.mark.usefixtures("no_time")
def test_many_who_say_much_share_a_round(room: Room) -> None:
    """However many they are, and though each has a runner of its own in the end."""
    for index in range(30):
        room.say(f"much {index}", 20)
    room.until(600)
    rounds = [number for *_, number in room.heard]
    assert max(map(rounds.count, rounds[60:])) <= 4
    for index in range(30):
        assert [data for _, data, _ in room.of(f"much {index}")] == list(range(20))


@pytest.mark.usefixtures("no_time")
def test_who_says_little_does_not_wait_for_those_who_say_much(room: Room) -> None:
    for index in range(30):
        room.say(f"much {index}", 100)
    gevent.sleep(0.01)
    for index in range(20):
        before = len(room.heard)
        room.say(f"little {index}", 1)
        with gevent.Timeout(SECONDS):
            while not room.of(f"little {index}"):
                gevent.sleep(0)
        assert len(room.heard) - before <= 40
    room.until(3020)


def test_who_says_much_has_a_turn_though_others_come_again_and_again(room: Room) -> None:
    room.say("much", 200)
    for index in range(400):
        room.say(f"little {index}", 1)
    room.until(600)
    last = room.heard.index(("much", 199, room.of("much")[-1][2]))
    assert last < 590, "it was kept waiting until nobody else was there"


@pytest.mark.usefixtures("no_time")
def test_between_two_messages_of_a_post_without_a_key_the_loop_looks_around(room: Room) -> None:
    client = Client(room.worker.channel, Record("once", None, None, 0), "post", "native")
    events = [Received("message", index) for index in range(50)]
    with gevent.Timeout(SECONDS):
        assert post_once(room.worker, client, events).status == 200
    rounds = [number for *_, number in room.heard]
    assert max(map(rounds.count, rounds)) <= 2


@pytest.mark.usefixtures("no_time")
def test_who_comes_again_as_soon_as_all_is_handled_has_one_message_before_the_others(room: Room) -> None:
    """As strangers do who send a few at a time, many of them: each is new whenever its last one is done."""
    for index in range(50):
        room.say(f"some {index}", 8)
    room.say("one", 1)
    room.until(401)
    assert [name for name, *_ in room.heard].index("one") <= 51 + 8 * (50 // 8)
