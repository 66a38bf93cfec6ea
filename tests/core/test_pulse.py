"""Pings come at their interval, and nobody is given up before its time, whatever the two numbers are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cometware.core.pulse import Beat, beat


def lived(every: int, patience: int, answers: set[int], until: int) -> tuple[list[int], int | None]:
    """Let a peer speak right behind these ticks; return the ticks of the pings, and when it was given up."""
    pings, first, heard, due = [], 0, False, 1
    for tick in range(1, until):
        if tick == due:
            found = beat(tick, first, heard=heard, every=every, patience=patience)
            if found is None:
                return pings, tick
            first, due = found.first_tick, found.next_tick
            if found.pings:
                pings.append(tick)
                heard = False
        heard = heard or tick in answers
    return pings, None


def test_pings_go_on_while_nobody_answers_and_patience_lasts() -> None:
    assert lived(2, 6, set(), 100) == ([1, 3, 5, 7], 8)


def test_patience_may_be_shorter_than_the_interval() -> None:
    assert lived(80, 40, set(), 200) == ([1], 42)
    assert lived(80, 40, {41, 82}, 200) == ([1, 81, 161], None)


def test_one_tick_of_patience_is_a_whole_one() -> None:
    assert lived(4, 1, {2, 6, 10, 14}, 18) == ([1, 5, 9, 13, 17], None)
    assert lived(4, 1, {2}, 18) == ([1, 5], 7)


def test_the_first_beat_pings() -> None:
    assert beat(7, 0, heard=True, every=5, patience=2) == Beat(True, 7, 10)


@given(st.integers(1, 30), st.integers(1, 60), st.sets(st.integers(1, 300)))
def test_a_peer_is_given_up_only_after_a_silence_that_it_was_promised(every: int, patience: int, answers: set[int]) -> None:
    pings, gone = lived(every, patience, answers, 300)
    assert pings == list(range(1, pings[-1] + 1, every))
    if gone is None:
        assert pings[-1] + every >= 300
        return
    last = max((tick for tick in answers if tick < gone), default=0)
    first = min(tick for tick in pings if tick > last)
    assert gone == first + patience + 1


@given(st.integers(1, 30), st.integers(1, 60), st.integers(0, 60))
def test_whoever_answers_each_ping_in_time_is_kept(every: int, patience: int, delay: int) -> None:
    delay = min(delay, patience)
    answers = {ping + delay for ping in range(1, 300, every)}
    pings, gone = lived(every, patience, answers, 300)
    assert (len(pings), gone) == (len(range(1, 300, every)), None)
