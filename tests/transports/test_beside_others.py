"""The clients of a worker that has others beside it: what it keeps of theirs goes, and what only the store knows is not
waited for by all."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gevent
import pytest

from cometware import Channel, Limits, Refused
from cometware.core.events import Left, Received
from cometware.core.negotiation import Asked, Transport
from cometware.roster.base import Record
from cometware.roster.shared import SharedRecord
from cometware.transports.opening import admit
from cometware.transports.upload import upload
from cometware.transports.worker import Worker

SECONDS = 60
KEY, OTHER = "k" * 24, "o" * 24


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    channels: list[Channel] = []

    def make(**limits: Any) -> Worker:
        channels.append(Channel(f"sqlite:///{tmp_path / 'log.db'}", limits=Limits(**limits)))
        return Worker(channels[-1])

    with gevent.Timeout(SECONDS):
        yield make
    for channel in channels:
        channel.log.close()


def come(worker: Worker, key: str) -> Record:
    """Come by a POST, which stays with nobody."""
    return admit(worker, Asked(Transport.POST, True, key), None, {}, "post", "native").record


def until(look: Callable[[], bool]) -> None:
    with gevent.Timeout(SECONDS):
        while not look():
            gevent.sleep(0.01)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Have somebody else hold the file, so that the store is away."""
    with sqlite3.connect(path, isolation_level=None) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        try:
            yield
        finally:
            connection.execute("ROLLBACK")


def test_who_finds_no_room_while_the_store_is_away_is_told_so(worker: Callable[..., Worker], tmp_path: Path) -> None:
    here = worker(max_clients=1, store_seconds=0.2)
    come(here, KEY)
    with locked(tmp_path / "log.db"), gevent.Timeout(SECONDS / 4), pytest.raises(Refused) as refused:
        come(here, OTHER)
    assert refused.value.status == 503


def test_who_is_only_looked_for_here_is_kept_for_its_grace(worker: Callable[..., Worker]) -> None:
    home, other = worker(), worker(grace_seconds=0.25)
    record = come(home, KEY)
    assert other.clients.find(record.id) is other.roster.get(record.id)
    until(lambda: other.roster.get(record.id) is None)
    assert home.roster.get(record.id) is record


def test_who_is_looked_for_where_there_is_no_room_gets_an_answer(worker: Callable[..., Worker]) -> None:
    home, full = worker(), worker(max_clients=1)
    record = come(home, KEY)
    come(full, OTHER)
    with pytest.raises(Refused) as refused:
        full.clients.leave_by_id(record.id, 2)
    assert refused.value.status == 503


def test_a_goodbye_on_a_connection_whose_client_is_elsewhere_does_not_hold_the_loop(
    worker: Callable[..., Worker], tmp_path: Path
) -> None:
    here = worker(store_seconds=2)
    record = come(here, KEY)
    assert isinstance(record, SharedRecord)
    connection: Any = type("Held", (), {"record": record})()
    record.connections, record.is_home = (connection,), False
    head = here.log.head
    with locked(tmp_path / "log.db"):
        gevent.get_hub().loop.run_callback(here.clients.leave_by, connection, 2)
        gevent.sleep(0.01)
    until(lambda: here.log.head != head)


def test_a_goodbye_brings_no_more_than_may_wait(worker: Callable[..., Worker]) -> None:
    here, free = worker(max_waiting_messages=10), gevent.event.Event()
    here.channel.on_message(lambda client, data: free.wait())
    record, answers = come(here, KEY), []
    for first in range(1, 100, 9):
        words = [Received("message", number, number) for number in range(first, first + 9)]
        answers.append(upload(here, record, [*words, Left(60)], "native").status)
        gevent.sleep(0)
    assert answers == [200] + [429] * 10
    assert record.inbox is not None and len(record.inbox) <= 10
    free.set()
