"""One field of a form is what `urllib` reads, and no piece of it is long."""

from __future__ import annotations

from contextvars import copy_context
from urllib.parse import parse_qs, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cometware.core import forms
from cometware.core.pacing import PACE


@given(before=st.text(max_size=20), value=st.text(max_size=200), piece=st.integers(3, 50))
def test_a_value_is_the_same_however_it_is_cut(before: str, value: str, piece: int) -> None:
    text = urlencode({"x": before.encode("utf-8", "replace"), "d": value.encode("utf-8", "replace")})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forms, "_PIECE_CHARACTERS", piece)
        assert forms.field(text, "d") == parse_qs(text, keep_blank_values=True)["d"][0]


@pytest.mark.parametrize("text", ["d=", "d=%", "d=%4", "d=a+b%2Bc", "x=1&d=%zz&d=2", "%64=1", "d=%C3%A9é", "d=a=b", "d"])
def test_odd_ones_are_read_as_ever(text: str) -> None:
    assert forms.field(text, "d") == parse_qs(text, keep_blank_values=True)["d"][0]


def test_what_is_not_there_is_none() -> None:
    assert forms.field("dd=1&e=2", "d") is None


def test_too_many_fields_and_bad_utf8_are_refused() -> None:
    with pytest.raises(ValueError, match="more than 10 fields"):
        forms.field("&".join("abcdefghijk"), "d")
    with pytest.raises(ValueError, match="utf-8"):
        forms.field("d=%ff", "d", "strict")


def test_between_two_pieces_of_a_long_value_others_have_their_turn() -> None:
    paces: list[None] = []
    context = copy_context()
    context.run(PACE.set, lambda: paces.append(None))
    assert context.run(forms.field, f"d={'%41' * 100_000}", "d") == "A" * 100_000
    assert len(paces) >= 15
