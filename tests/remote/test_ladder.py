"""Which transport the client in Python tries, when, and what it learns; where it is in the log; what a no means."""

from __future__ import annotations

import pytest

from cometware.core.entry import Position
from cometware.errors import Closed, CometwareError, Refused, Unreachable
from cometware.remote.backoff import Backoff
from cometware.remote.endings import ending, is_final
from cometware.remote.ladder import Hop, Ladder
from cometware.remote.place import Place
from cometware.remote.route import Refusal


def test_the_best_is_tried_first_and_next_time_what_worked() -> None:
    ladder = Ladder("auto")
    assert ladder.candidates(0) == ["websocket", "stream", "poll"]
    ladder.serves("stream", 0)
    assert ladder.candidates(0) == ["stream", "poll"]
    ladder.all_failed()
    assert ladder.candidates(0) == ["websocket", "stream", "poll"]


def test_a_better_transport_is_tried_less_and_less_often_and_soon_if_it_has_worked() -> None:
    ladder = Ladder("auto")
    hops = [ladder.serves("poll", 0), *(ladder.upgrade("poll", 0) for _ in range(4))]
    assert hops == [Hop(at, name, "upgrade") for at, name in (
        (10, "websocket"), (60, "stream"), (300, "websocket"), (1800, "stream"), (1800, "websocket"),
    )]  # fmt: skip
    assert ladder.serves("websocket", 0) is None
    ladder.upgrade("poll", 0)
    assert ladder.serves("poll", 100) == Hop(101, "websocket", "upgrade")


def test_one_that_is_forced_is_the_only_one() -> None:
    ladder = Ladder("sse")
    assert list(ladder.candidates(0)) == ["sse"]
    assert ladder.serves("sse", 0) is None
    assert ladder.serves("websocket", 5) == Hop(5, "sse", "by hand")
    for _ in range(5):
        ladder.lost("sse", 0, 0, useful=False)
    assert list(ladder.candidates(0)) == ["sse"]


def test_what_dies_young_and_useless_again_and_again_is_left_alone_for_a_while() -> None:
    ladder = Ladder("auto")
    ladder.lost("websocket", 1, 0, useful=False)
    ladder.lost("websocket", 1, 0, useful=True)
    ladder.lost("websocket", 1, 0, useful=False)
    assert ladder.candidates(0)[0] == "websocket"
    ladder.lost("websocket", 1, 0, useful=False)
    assert ladder.candidates(599) == ["stream", "poll"]
    assert ladder.candidates(600)[0] == "websocket"


def test_a_poll_that_is_cut_twice_after_the_same_time_is_held_for_half_of_it() -> None:
    ladder = Ladder("auto")
    for seconds in (10, 3, 8):
        ladder.poll_lost(seconds)
    assert ladder.hold_seconds is None
    ladder.poll_lost(8.5)
    assert ladder.hold_seconds == 4.25


def test_pauses_grow_with_full_jitter_and_begin_anew() -> None:
    backoff = Backoff(chance=lambda least, most: most - least)
    assert [backoff.pause() for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 20, 20]
    backoff.reset()
    assert backoff.pause() == 0.5
    assert all(0 <= Backoff().pause() <= 0.5 for _ in range(100))


def test_what_was_heard_is_passed_over_until_the_log_is_another() -> None:
    place = Place("a-5")
    assert place.passed("a-5") == Position("a", 5)  # the server says where it begins
    assert (place.passed("a-5"), place.passed("a-4")) == (None, None)
    assert place.passed("a-7") == Position("a", 7)
    assert (place.passed("b-1"), place.after) == (Position("b", 1), "b-1")
    place.begin("b-1")
    assert place.passed("b-2") == Position("b", 2)
    with pytest.raises(ValueError, match="expected a position like"):
        place.passed("nowhere")


def refusal(status: int, body: str = "", **headers: str) -> Refusal:
    return Refusal(status, headers, body.encode())


@pytest.mark.parametrize(
    ("said", "never_open", "open_before"),
    [
        (refusal(401), True, True),
        (refusal(403, '{"error":{"code":"refused","message":"members only"}}'), True, True),
        (refusal(402, '{"error":{"code":"refused","message":"pay"}}'), True, False),
        (refusal(410, '{"error":{"code":"closed","message":"again","close":4000}}'), False, False),
        (refusal(410, '{"error":{"code":"closed","message":"kicked","close":4403}}'), True, True),
        (refusal(404), False, False),
        (refusal(429), False, False),
        (refusal(503, '{"error":{"code":"refused","message":"full"}}'), False, False),
    ],
)
def test_a_no_is_final_or_not(said: Refusal, never_open: bool, open_before: bool) -> None:
    assert is_final(said, opened=False) == never_open
    assert is_final(said, opened=True) == open_before


@pytest.mark.parametrize(("status", "final"), [(301, True), (404, True), (429, False), (500, False), (502, False)])
def test_the_last_transports_answer_tells_whose_fault_it_is(status: int, final: bool) -> None:
    assert is_final(refusal(status), opened=False, is_last=True) == final


@pytest.mark.parametrize(
    ("said", "kind", "text"),
    [
        (refusal(403, '{"error":{"message":"members only"}}'), Refused, "403: members only"),
        (refusal(404, "<h1>Not  found</h1>\n"), Refused, "404: <h1>Not found</h1>"),
        (refusal(410, '{"error":{"message":"kicked","close":4403}}'), Closed, "closed with 4403: kicked"),
        (
            refusal(301, location="https://h/comet"),
            Unreachable,
            "http://h/ is not reachable: HTTP 301: it points to https://h/comet: use that URL (poll)",
        ),
    ],
)
def test_the_caller_is_told_what_the_server_said(said: Refusal, kind: type[CometwareError], text: str) -> None:
    error = ending(said, "http://h/", "poll")
    assert (type(error), str(error)) == (kind, text)
