"""A thousand clients that come and go at random during a flood: each of them hears every number in its order."""

from __future__ import annotations

from random import Random

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
