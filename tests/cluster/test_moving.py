"""A client has connections at two workers: the newest one that lives serves it, whichever worker it is at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import product

import pytest

from tests.cluster.workers import Cluster, cluster
from tests.live.clients import Client, Ended, EventStream, LongPoll, Stream, WebSocket

LIMITS = {"heartbeat_seconds": 0.5, "poll_seconds": 0.5, "overlap_seconds": 2, "lease_seconds": 1.5, "grace_seconds": 4}
HEARTBEATS = 10
"""So many of them are longer than a lease and an overlap."""
OLDER: tuple[type[Client], ...] = (WebSocket, EventStream, Stream)
NEWER: tuple[type[Client], ...] = (*OLDER, LongPoll)


@pytest.fixture(scope="module")
def moving(channel_url: str) -> Iterator[Cluster]:
    with cluster(channel_url, LIMITS, name="moving") as running:
        yield running


def beats(client: Client, count: int = HEARTBEATS) -> None:
    for _ in range(count):
        client.heartbeat()


def test_the_older_connection_serves_again_if_the_newer_one_at_another_worker_went(moving: Cluster) -> None:
    first, second = moving.workers
    with ExitStack() as stack:
        staying = []
        for older, newer, reset in product(OLDER, NEWER, (False, True)):
            client = stack.enter_context(older(first))
            going = newer(second, key=client.key)
            going.open()
            going.listen()
            going.drop(reset=reset)
            staying.append(client)
        for client in staying:
            beats(client)
        present = [one["id"] for one in second.get("/presence/*")]
        assert sorted(present) == sorted(client.id for client in staying)
        for client in staying:
            client.send("here")
        for client in staying:
            assert {shape["data"]["from"] for shape in (client.receive() for _ in staying)} == set(present)
        assert moving.journal(kind="close") == []
    moving.journal(len(staying), kind="close", reason="timeout")


def test_the_newer_connection_at_another_worker_takes_the_older_ones_place(moving: Cluster) -> None:
    first, second = moving.workers
    with WebSocket(first) as older, WebSocket(second, key=older.key) as newer:
        beats(newer)
        with pytest.raises(Ended):
            while True:
                older.receive()
        assert older.close_code == (4003, "served by another worker")
        newer.send("here")
        assert newer.receive()["data"] == {"from": newer.id, "data": "here"}


def test_a_client_that_left_its_older_connection_for_good_is_gone_after_its_grace(moving: Cluster) -> None:
    first, second = moving.workers
    with WebSocket(first) as older:
        pass
    with Stream(second, key=older.key):
        pass
    assert moving.journal(1, kind="close", client=older.id)[0]["reason"] == "timeout"
