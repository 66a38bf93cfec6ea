"""Readers that stall cost the server nothing, and the others nothing either."""

from __future__ import annotations

from tests.live.crowd import KINDS, Crowd
from tests.live.server import PATIENT, Server

COUNT = 20_000
LIMITS = PATIENT | {"window_entries": COUNT}
SPARE_KILOBYTES = 16 * 1024


def test_two_hundred_stalled_readers_cost_no_memory_and_nobody_else_a_message(server: Server) -> None:
    flood(server, 1)  # fills the window
    server.journal(1, kind="flooded", first="1")
    with Crowd(server) as crowd:
        live = crowd.join(["websocket", "sse", "stream", "poll", "websocket"] * 10)
        stalled = crowd.join(KINDS * 50, receive_buffer=4096)
        for member in stalled:
            crowd.ignore(member)
        before = server.resident_kilobytes

        flood(server, COUNT + 1)
        crowd.run(lambda: all(member.number == 2 * COUNT for member in live))

        assert server.resident_kilobytes - before < SPARE_KILOBYTES
        assert [member.heard for member in live] == [COUNT] * len(live)

        some, others = stalled[:40], stalled[40:]
        for member in some:
            crowd.wake(member)
        crowd.run(lambda: all(member.number == 2 * COUNT for member in some))
        assert [member.heard for member in some] == [COUNT] * len(some)  # the window still held it

        for member in live + some:
            member.drop()
        flood(server, 2 * COUNT + 1)
        server.journal(1, kind="flooded", first=str(2 * COUNT + 1))
        for member in others:
            crowd.wake(member)
        crowd.run(lambda: all(member.resets for member in others))
        assert [member.resets for member in others] == [["forgotten"]] * len(others)
        server.publish(3 * COUNT + 1)
        crowd.run(lambda: all(member.number == 3 * COUNT + 1 for member in others))
        assert server.resident_kilobytes - before < SPARE_KILOBYTES


def flood(server: Server, first: int) -> None:
    server.post("/flood", first=first, count=COUNT, size=100, every=50)
