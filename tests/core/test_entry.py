from __future__ import annotations

from typing import Any

import pytest

from cometware import Entry, Position
from cometware.core.entry import CONTROLS, Message, audiences, event_name


@pytest.mark.parametrize(
    ("to", "united"),
    [
        ("*", ("*",)),
        ("room:a", ("room:a",)),
        (["room:a", "user:b", "room:a"], ("room:a", "user:b")),
        (["room:a", "*"], ("*",)),
        (("client:1",), ("client:1",)),
        ({"user:Ann Smith"}, ("user:Ann Smith",)),
        ("room:\n", ("room:\n",)),
        ("user:a:b", ("user:a:b",)),
    ],
)
def test_audiences_are_united(to: Any, united: tuple[str, ...]) -> None:
    assert audiences(to) == united


@pytest.mark.parametrize("to", ["", "lobby", "room:", "rooms:a", "Room:a", "**", [], ["room:a", "b"], [1], [None]])
def test_another_audience_is_refused_by_name(to: Any) -> None:
    with pytest.raises(ValueError, match="to="):
        audiences(to)


@pytest.mark.parametrize("name", ["a", "x" * 256, "order.new", "ordre créé", "message", "opened"])
def test_an_event_may_be_called(name: str) -> None:
    assert event_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        *("open", "close", "error", "reset", "transport", "ping", "reconnect"),
        *("", "x" * 257, "a\nb", "a\rb", "a\0b", None, 7),
    ],
)
def test_an_event_may_not_be_called(name: Any) -> None:
    with pytest.raises(ValueError, match="event="):
        event_name(name)


def test_only_the_controls_are_controls() -> None:
    kinds = ["", "reply", "error", "join", "leave", "close", "revoke"]
    assert {kind for kind in kinds if Message("e", "null", kind=kind).is_control} == CONTROLS
    assert {"join", "leave", "close", "revoke"} == CONTROLS


def test_an_entry_decodes_its_data_anew_at_each_call() -> None:
    entry = Entry(Position("a", 1), Message("message", '{"a":[1]}'))
    entry.data["a"].append(2)
    assert entry.data == {"a": [1]}


def test_a_longer_message_costs_more() -> None:
    small, large = (Entry(Position("a", 1), Message("message", text)) for text in ('""', '"' + "x" * 1000 + '"'))
    assert large.message.cost_bytes - small.message.cost_bytes == 1000
