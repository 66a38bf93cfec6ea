from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cometware.core.wheel import Wheel, ticks


@given(st.integers(2, 20), st.lists(st.tuples(st.integers(-2, 40), st.integers(0, 3)), max_size=30))
def test_every_item_comes_up_once_at_its_tick(slots: int, items: list[tuple[int, int]]) -> None:
    wheel: Wheel[int] = Wheel(slots)
    due: dict[int, int] = {}
    came: dict[int, int] = {}

    def turn() -> None:
        for item in wheel.turn():
            assert item not in came
            came[item] = wheel.tick

    for item, (wait, turns) in enumerate(items):
        told = wheel.add(item, wheel.tick + wait)
        due[item] = wheel.tick + max(1, min(wait, slots - 1))
        assert told == due[item]
        for _ in range(turns):
            turn()
    for _ in range(slots):
        turn()
    assert came == due


def test_an_item_that_was_taken_off_does_not_come_up() -> None:
    wheel: Wheel[str] = Wheel(4)
    slot = wheel.add("a", 2)
    wheel.add("b", 2)
    wheel.discard("a", slot)
    assert [wheel.turn(), wheel.turn(), wheel.turn()] == [set(), {"b"}, set()]


def test_an_item_that_is_added_while_it_comes_up_comes_up_again_later() -> None:
    wheel: Wheel[str] = Wheel(3)
    wheel.add("a", 1)
    found = []
    for _ in range(5):
        due = wheel.turn()
        found.append(sorted(due))
        for item in due:
            wheel.add(item, wheel.tick + 2)
    assert found == [["a"], [], ["a"], [], ["a"]]


@pytest.mark.parametrize(("seconds", "expected"), [(0, 1), (0.1, 1), (0.25, 1), (0.26, 2), (20, 80), (0.5, 2), (-3, 1)])
def test_ticks_cover_the_seconds(seconds: float, expected: int) -> None:
    assert ticks(seconds, 0.25) == expected
