from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cometware.core.text import shown
from tests.core.strategies import ANY_TEXT


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://shop.example", "https://shop.example"),
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ('a"b', 'a"b'),
        ("a\\b", r"a\\b"),
        ("é€😀", r"\xe9\u20ac\U0001f600"),
        ("\u2028\x85\x00", r"\u2028\x85\x00"),
        ("\ud800", r"\ud800"),
        ("", ""),
        ("x" * 201, "x" * 200 + "…"),
        ("\n" * 150, r"\n" * 100 + "…"),
    ],
)
def test_a_strangers_text_is_shown_like_this(text: str, expected: str) -> None:
    assert shown(text) == expected


@given(ANY_TEXT | st.text(min_size=50), st.integers(1, 60))
def test_whatever_it_is_it_stays_one_short_printable_line(text: str, limit: int) -> None:
    line = shown(text, limit)
    assert len(line) <= limit + 1
    assert all(" " <= character <= "~" or character == "…" for character in line)
