"""What an application's answer may say, and what it is told of one that says something else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cometware.hooks import understand

JSON = "application/json"


def read(value: Any) -> Any:
    return understand(json.dumps(value).encode(), JSON)


@pytest.mark.parametrize("value", [None, True, 7, "text", [1, {"publish": []}], {"name": "Ann"}, {}])
def test_json_is_the_reply(value: Any) -> None:
    assert read(value) == ([], [], [], value)


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/problem+json"])
def test_json_is_known_by_its_type(kind: str) -> None:
    assert understand(b"[1]", kind).reply == [1]


@pytest.mark.parametrize(("body", "kind"), [(b"", JSON), (b"<p>ok</p>", "text/html"), (b"7", "text/plain"), (b"\0", "")])
def test_what_is_no_json_by_its_type_is_no_reply(body: bytes, kind: str) -> None:
    assert understand(body, kind) == ([], [], [], None)


def test_bytes_come_as_everywhere() -> None:
    assert read({"$bytes": "AAE="}).reply == b"\0\1"


def test_actions_are_taken_away_and_the_rest_is_the_reply() -> None:
    publish = [{"data": {"x": 1}}, {"data": None, "event": "order", "to": ["room:a", "user:ann"], "but": "c1"}]
    actions = read({"publish": publish, "join": ["room:a"], "leave": ["room:b"], "name": "Ann"})
    told = [(message.event, message.json, message.to, message.but) for message in actions.publish]
    assert told == [("message", '{"x":1}', ("*",), None), ("order", "null", ("room:a", "user:ann"), "c1")]
    assert (actions.join, actions.leave, actions.reply) == (["room:a"], ["room:b"], {"name": "Ann"})


@pytest.mark.parametrize("value", [{"publish": []}, {"join": [], "leave": []}])
def test_actions_alone_are_no_reply(value: Any) -> None:
    assert read(value).reply is None


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ({"publish": {"data": 1}}, "publish: expected a list, got {'data': 1}"),
        ({"publish": None}, "publish: expected a list, got None"),
        ({"publish": ["x"]}, r"publish\[0\]: expected an object with `data`.*; got 'x'"),
        ({"publish": [{"data": 1}, {"event": "x"}]}, r"publish\[1\]: expected an object with `data`"),
        ({"publish": [{"data": 1, "room": "a"}]}, r"publish\[0\]: expected data, event, to and but; got 'room' too"),
        ({"publish": [{"data": 1, "to": "lobby"}]}, r"publish\[0\]: to='lobby': expected '\*', 'client:<id>'"),
        ({"publish": [{"data": 1, "to": 7}]}, r"publish\[0\]: to: expected an audience or a list of them, got 7"),
        ({"publish": [{"data": 1, "to": [["x"]]}]}, r"publish\[0\]: "),
        ({"publish": [{"data": 1, "to": []}]}, r"publish\[0\]: to=\[\]"),
        ({"publish": [{"data": 1, "but": 7}]}, r"publish\[0\]: but: expected the id of a client or a list of them, got 7"),
        ({"publish": [{"data": 1, "event": "reset"}]}, r"publish\[0\]: event='reset' is reserved"),
        ({"publish": [{"data": 1, "event": None}]}, r"publish\[0\]: event=None"),
        ({"join": "room:a"}, "join: expected a list, got 'room:a'"),
        ({"join": ["room:a", "lobby"]}, r"join\[1\]: expected 'room:<name>', got 'lobby'"),
        ({"leave": ["room:"]}, r"leave\[0\]: expected 'room:<name>', got 'room:'"),
        ({"leave": [7]}, r"leave\[0\]: expected 'room:<name>', got 7"),
    ],
)
def test_an_action_that_is_none_is_named(value: Any, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        read(value)


@pytest.mark.parametrize("body", [b"{", b"NaN", b"\xff", b"1 2"])
def test_what_is_json_by_its_type_alone_is_an_error(body: bytes) -> None:
    with pytest.raises(ValueError, match="its body is not JSON"):
        understand(body, JSON)
