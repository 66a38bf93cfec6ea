from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cometware import Position

EPOCHS = st.text("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_", min_size=1, max_size=32)


@given(EPOCHS, st.integers(0, 10**18 - 1))
def test_a_position_survives_being_written_and_read(epoch: str, offset: int) -> None:
    position = Position(epoch, offset)
    assert Position.parse(str(position)) == position


@pytest.mark.parametrize(
    "text",
    [
        *("", "-", "7", "x7", "x7-", "-7", "x7--7", "x7-1e3", "x7- 1", "x7-1 ", "x7-+1", "x7-٣", "x7-1-2", "x7-0x1"),
        *("x 7-1", "é-1", "x7-1\n", "x7\n-1", "x" * 33 + "-1", "x7-" + "1" * 19, "null"),
    ],
)
def test_what_is_no_position_is_read_as_none(text: str) -> None:
    assert Position.parse(text) is None


@given(st.text())
def test_no_text_breaks_the_reading(text: str) -> None:
    position = Position.parse(text)
    assert position is None or Position.parse(str(position)) == position


def test_positions_of_one_log_are_in_the_order_of_their_offsets() -> None:
    assert sorted([Position("a", 10), Position("a", 9), Position("a", 100)])[-1] == Position("a", 100)
