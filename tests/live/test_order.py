"""One order for all: a thousand clients that come and go in a flood, and bursts for different audiences."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from tests.live.clients import TRANSPORTS, Client
from tests.live.crowd import KINDS, Crowd, Member
from tests.live.server import PATIENT, Server

LIMITS = PATIENT
CLIENTS = 1000
COUNT = 1000


def test_a_thousand_clients_that_drop_at_random_hear_all_numbers_in_order(server: Server) -> None:
    dice = Random(7)
    drops: dict[Member, int] = {}
    finished = 0

    def drop_at_random(member: Member) -> None:
        nonlocal finished
        if member.number is None:
            return
        if member.number == COUNT:
            finished += member.sock is not None
            member.drop()
        elif member.number >= drops.setdefault(member, dice.randint(1, 400)):
            drops[member] = member.number + dice.randint(50, 400)
            member.drop(reset=dice.random() < 0.5)
            member.kind = dice.choice(KINDS)
            member.connect()

    with Crowd(server) as crowd:
        members = crowd.join(KINDS[index % len(KINDS)] for index in range(CLIENTS))
        server.post("/flood", count=COUNT, every=25, rest=25)
        crowd.run(lambda: finished == CLIENTS, drop_at_random)
        assert [member.heard for member in members] == [COUNT] * CLIENTS
        assert sum(member.connections for member in members) > 1.5 * CLIENTS
        assert not any(member.resets for member in members)
    opened = server.journal(kind="open")
    assert len(opened) == len({line["client"] for line in opened}) == CLIENTS


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_each_hears_its_own_of_a_burst_for_different_audiences(server: Server, transport: type[Client]) -> None:
    ann = server.login("ann")
    with (
        transport(server, cookie=ann) as one,
        transport(server, room="room:burst") as two,
        transport(server) as three,
    ):
        messages: list[dict[str, Any]] = [
            {"data": "for all"},
            {"data": "for ann", "to": "user:ann"},
            {"data": "for the room and one", "to": ["room:burst", f"client:{one.id}"]},
            {"data": "for all but one", "but": one.id},
            {"data": "for three", "to": f"client:{three.id}"},
            {"data": "for the room but two", "to": "room:burst", "but": two.id},
            {"data": "for all again"},
        ]
        positions = server.post("/burst", messages=messages)

        def heard(client: Client, count: int) -> list[int]:
            entries = [client.receive() for _ in range(count)]
            numbers = [positions.index(entry["id"]) for entry in entries]
            assert [entry["data"] for entry in entries] == [messages[number]["data"] for number in numbers]
            return numbers

        assert heard(one, 4) == [0, 1, 2, 6]
        assert heard(two, 4) == [0, 2, 3, 6]
        assert heard(three, 4) == [0, 3, 4, 6]
