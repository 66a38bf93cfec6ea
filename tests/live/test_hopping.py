"""A client that changes its transport all the time receives the log, and nothing but the log."""

from __future__ import annotations

from itertools import cycle
from typing import Any

import pytest

from tests.live.clients import Client, EventStream, LongPoll, Shape, Stream, WebSocket
from tests.live.server import PATIENT, Server

COUNT = 20_000
LIMITS = PATIENT | {"window_entries": 2 * COUNT}


class Received:
    """The entries of all connections of one client, without the doubles."""

    def __init__(self) -> None:
        self.entries: list[list[Any]] = []
        self._seen: dict[str, Any] = {}

    def take(self, shape: Shape) -> None:
        position, data = shape["id"], shape["data"]
        if position in self._seen:
            assert self._seen[position] == data
            return
        self._seen[position] = data
        self.entries.append([position, data])


@pytest.mark.parametrize("rest", [0, 3], ids=["a publisher at full speed", "a publisher beside the hops"])
def test_who_hops_every_50_messages_loses_doubles_and_swaps_none(server: Server, rest: int) -> None:
    received, hops = Received(), 0
    client: Client = WebSocket(server)
    client.receive_buffer = 8192
    client.open()
    try:
        server.post("/flood", count=COUNT, every=50, rest=rest)
        for other in cycle((EventStream, Stream, LongPoll, WebSocket)):
            wanted = min(len(received.entries) + 50, COUNT)
            while len(received.entries) < wanted:
                received.take(client.receive())
            if wanted == COUNT:
                break
            following = client.hop(other)
            following.open()
            hops += 1
            for late in client.waiting(5):
                received.take(late)
            client.drop()
            client = following
    finally:
        client.drop()
    assert received.entries == server.get(f"/history/{COUNT}")
    assert [data for _, data in received.entries] == list(range(1, COUNT + 1))
    assert server.life_of(client.id) == ["open"]
    assert hops >= COUNT // 55
