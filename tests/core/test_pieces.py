"""Large JSON, read and written in pieces: the same as in one go, and no piece is large."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cometware.core import data, pieces
from cometware.core.data import Args
from cometware.core.pacing import PACE
from tests.core.strategies import KEYS, LEAVES, TREES

SIZE = 2**18
SHAPES = ("[]", "{}", "1", "1.5", '"a"', "null", '{"a":1}', '{"a":[{"b":"c"}]}', '"\\n\\""', '{"$bytes":""}', "[[[]]]")
PLAIN_TREES = st.recursive(
    LEAVES.filter(lambda leaf: not isinstance(leaf, bytes)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is large, and a piece is three brackets."""
    monkeypatch.setattr(pieces, "TOKENS", 3)
    monkeypatch.setattr(pieces, "LARGE", 0)


def at_a_pace(call: Callable[..., Any], *arguments: Any) -> tuple[Any, int]:
    """Call with a pace; return also how often it was asked to give way."""
    times = 0

    def pace() -> None:
        nonlocal times
        times += 1

    context = copy_context()
    context.run(PACE.set, pace)
    return context.run(call, *arguments), times


def outcome(call: Callable[..., Any], *arguments: Any) -> str:
    try:
        return repr(call(*arguments))
    except (ValueError, RecursionError):
        return "refused"


def repeated(shape: str, size: int = SIZE) -> str:
    return f"[{','.join([shape] * (size // (len(shape) + 1)))}]"


@pytest.mark.usefixtures("small")
@given(tree=PLAIN_TREES, indent=st.sampled_from([None, 1]))
def test_what_is_read_in_pieces_is_what_is_read_in_one_go(tree: Any, indent: int | None) -> None:
    text = json.dumps(tree, indent=indent)
    assert repr(pieces.read(text, data.parse, lambda: None)) == repr(data.parse(text))


@pytest.mark.usefixtures("small")
@given(tree=PLAIN_TREES, chance=st.randoms(use_true_random=False))
def test_what_is_no_json_is_refused_in_pieces_too(tree: Any, chance: random.Random) -> None:
    text = list(json.dumps(tree))
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(text) + 1)
        text[at : at + chance.randint(0, 1)] = chance.choice(["", "[", "]", "{", "}", ",", '"', ":", "1", " ", "\\"])
    broken = "".join(text)
    assert outcome(pieces.read, broken, data.parse, lambda: None) == outcome(data.parse, broken), broken


@pytest.mark.usefixtures("small")
@given(tree=TREES)
def test_every_tree_survives_the_way_there_and_back_in_pieces(tree: Any) -> None:
    text, _ = at_a_pace(data.encode, tree)
    assert text == data.encode(tree)
    assert repr(at_a_pace(data.decode, text)[0]) == repr(data.decode(text))


@pytest.mark.parametrize(
    "text", ["[1,]", "[[1],]", "[,[1]]", "[[1] [2]]", '{"a":[1],}', '{"a" [1]}', "[[1]]]", "[[1}]", "{[1]:2}"]
)
@pytest.mark.usefixtures("small")
def test_a_mistake_between_two_pieces_is_one(text: str) -> None:
    assert outcome(pieces.read, text, data.parse, lambda: None) == "refused"


@pytest.mark.parametrize("shape", SHAPES)
def test_no_piece_that_is_read_is_large(shape: str) -> None:
    sizes: list[int] = []

    def parse(text: str) -> Any:
        sizes.append(sum(map(text.count, '[]{},"')))
        return data.parse(text)

    text = repeated(shape)
    assert pieces.read(text, parse, lambda: None) == data.parse(text)
    assert max(sizes) <= 5 * pieces.TOKENS


@pytest.mark.parametrize("shape", SHAPES)
def test_between_two_looks_at_the_others_no_more_is_done_than_a_piece(shape: str) -> None:
    """As often as pieces are many: a large message is read, understood and written in at least one for each 64 KiB."""
    text = repeated(shape)
    tree, times = at_a_pace(data.decode, text)
    values = text.count(",")
    assert times >= values // pieces.TOKENS
    _, times = at_a_pace(data.encode, tree)
    assert times >= values // pieces.TOKENS


def test_one_that_is_nested_deeply_in_itself_is_read_in_pieces_too() -> None:
    text = "[" * 500 + repeated("[]", 200_000) + "]" * 500
    tree, times = at_a_pace(data.decode, text)
    assert tree == data.parse(text)
    assert times >= 60_000 // pieces.TOKENS


def test_nested_too_deeply_is_refused() -> None:
    for text in ("[" * 100_000, '{"a":' * 100_000, "[" * 950 + repeated("[]", 50_000) + "]" * 950):
        with pytest.raises(ValueError, match="nested too deeply"):
            at_a_pace(data.decode, text)


def test_several_arguments_are_written_in_pieces_as_in_one_go() -> None:
    args = Args([{"a": b"x"}, *range(5000)])
    text, times = at_a_pace(data.encode, args)
    assert text == data.encode(args)
    assert times


def test_without_a_pace_nothing_gives_way() -> None:
    assert PACE.get() is None
    assert data.decode(repeated("[]")) == json.loads(repeated("[]"))
