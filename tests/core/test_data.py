from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cometware import Args
from cometware.core.data import decode, encode
from tests.core.strategies import ANY_TEXT, TREES


@given(TREES)
def test_a_tree_survives_the_way_there_and_back(data: Any) -> None:
    text = encode(data)
    assert decode(text) == data
    assert type(decode(text)) is type(data)
    assert encode(decode(text)) == text


@given(TREES)
def test_the_text_is_one_line_that_utf_8_can_carry(data: Any) -> None:
    assert b"\n" not in encode(data).encode()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (None, "null"),
        ("héllo", '"héllo"'),
        ({"a": [1, 2.5, True]}, '{"a":[1,2.5,true]}'),
        (b"\x00\xff", '{"$bytes":"AP8="}'),
        (bytearray(b"ab"), '{"$bytes":"YWI="}'),
        (memoryview(b"ab"), '{"$bytes":"YWI="}'),
        (b"", '{"$bytes":""}'),
        (Args([1, "x"]), '{"$args":[1,"x"]}'),
        (Args([b"a", {"$args": 1}]), '{"$args":[{"$bytes":"YQ=="},{"$$args":1}]}'),
        (Args(), '{"$args":[]}'),
        ({"$bytes": "AP8="}, '{"$$bytes":"AP8="}'),
        ({"$$args": [1]}, '{"$$$args":[1]}'),
        ({"$bytes": 1, "x": 2}, '{"$bytes":1,"x":2}'),
        ({"$other": 1}, '{"$other":1}'),
        ("\ud800", '"\\ud800"'),
        ({"\udfff": "é"}, '{"\\udfff":"\\u00e9"}'),
        ("$bytes", '"$bytes"'),
    ],
)
def test_data_is_written_like_this(data: Any, text: str) -> None:
    assert encode(data) == text
    assert decode(text) == data


def test_a_tuple_becomes_a_list_and_args_stay_args() -> None:
    assert decode(encode((1, (2,)))) == [1, [2]]
    assert isinstance(decode(encode(Args([1]))), Args)
    assert encode(Args([Args([1])])) == '{"$args":[[1]]}'


class Mine:
    pass


DEEP: list[Any] = []
for _ in range(100_000):
    DEEP = [DEEP]
ROUND: list[Any] = []
ROUND.append(ROUND)


@pytest.mark.parametrize(
    "data",
    [{1}, float("nan"), float("inf"), [float("-inf")], Mine(), {"a": Mine()}, {(1, 2): 3}, 1j, ROUND, {"$bytes": {1}}],
)
def test_what_json_cannot_hold_is_refused(data: Any) -> None:
    with pytest.raises(ValueError, match="a message's data must be JSON or bytes"):
        encode(data)


def test_the_refusal_names_the_type_that_does_not_fit() -> None:
    with pytest.raises(ValueError, match=r"tests.core.test_data\.Mine"):
        encode([Mine()])


def test_what_is_nested_too_deeply_is_refused_and_nothing_worse() -> None:
    with pytest.raises(ValueError, match="a message's data must be JSON"):
        encode(DEEP)
    with pytest.raises(ValueError, match="nested too deeply"):
        decode("[" * 100_000)
    with pytest.raises(ValueError, match="nested too deeply"):
        decode('{"$x":' * 5_000 + "1" + "}" * 5_000)


@pytest.mark.parametrize(
    "text",
    [
        *("", "nul", "NaN", "Infinity", "-Infinity", "[1,]", "[1] 2", '"\n"', "1" * 5000, "1e999", "[-1e999]"),
        *('{"$bytes":1}', '{"$bytes":"?"}', '{"$bytes":"é"}', '{"$bytes":"YQ"}', '{"$args":1}'),
    ],
)
def test_what_is_malformed_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        decode(text)


@given(ANY_TEXT)
def test_no_text_breaks_the_decoder_with_another_error(text: str) -> None:
    try:
        decode(text)
    except ValueError:
        return


@given(TREES, st.data())
def test_no_mutation_breaks_the_decoder_with_another_error(tree: Any, draw: st.DataObject) -> None:
    text = encode(tree)
    at = draw.draw(st.integers(0, len(text)))
    mutated = text[:at] + draw.draw(st.sampled_from([*'[]{}",:$\\ntue0.-e\x00', ""])) + text[at + 1 :]
    try:
        decode(mutated)
    except ValueError:
        return


@given(st.recursive(st.none() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8))
def test_plain_json_is_written_as_anybody_would_write_it(tree: Any) -> None:
    if '"$' not in json.dumps(tree, ensure_ascii=False):
        assert encode(tree) == json.dumps(tree, ensure_ascii=False, separators=(",", ":"))
