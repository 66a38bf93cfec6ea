"""The plain dialect: the data, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cometware import Args, Position
from cometware.core.data import encode
from cometware.core.entry import Entry, Message
from cometware.core.events import Close, Received
from cometware.core.framing import Frame
from cometware.dialects.base import Greeting
from cometware.dialects.plain import PLAIN
from cometware.dialects.shapes import PLAIN_SSE, PLAIN_WEBSOCKET

AT = Position("x7", 12)


def entry(data: Any, event: str = "message", kind: str = "") -> Entry:
    return Entry(AT, Message(event, encode(data), kind=kind))


@pytest.mark.parametrize(
    ("data", "body"),
    [
        ("hello", "hello"),
        ("", ""),
        ('{"looks":"like JSON"}', '{"looks":"like JSON"}'),
        ("a\nb", "a\nb"),
        ("\ud800", "\ud800"),
        (b"\x00\xff", b"\x00\xff"),
        ({"a": [1, None]}, '{"a":[1,null]}'),
        ([1, "é"], '[1,"é"]'),
        (7, "7"),
        (None, "null"),
        (True, "true"),
        ({"$bytes": "x"}, '{"$$bytes":"x"}'),
        ([b"\xff"], '[{"$bytes":"/w=="}]'),
        (Args([1, 2]), '{"$args":[1,2]}'),
        ({"$bytes": 1, "x": 2}, '{"$bytes":1,"x":2}'),
    ],
)
def test_data_is_written_like_this(data: Any, body: str | bytes) -> None:
    assert PLAIN.entries([entry(data)]) == [Frame(body, "", "x7-12")]


def test_an_events_name_is_told_unless_it_is_message() -> None:
    assert PLAIN.entries([entry(1, "order"), entry(2)]) == [Frame("1", "order", "x7-12"), Frame("2", "", "x7-12")]


def test_replies_and_controls_are_not_shown() -> None:
    assert PLAIN.entries([entry(1, kind="reply"), entry({}, kind="error"), entry({}, kind="join")]) == []


def test_it_says_only_what_an_event_source_can_hear() -> None:
    assert PLAIN.greeting(Greeting("c", AT, 0, 20, {}, {}, True)) == []
    assert PLAIN.heartbeat(AT) == [Frame(None, "", "x7-12")]
    assert PLAIN.accepted(7) == []
    assert PLAIN.reconnect(3) == []
    assert PLAIN.close(Close(4410)) == []
    assert PLAIN.reset("forgotten", AT) == [Frame('{"reason": "forgotten"}', "reset", "x7-12")]
    assert PLAIN.error("size", "too large", {"limit": 1}) == [
        Frame('{"error": {"code": "size", "message": "too large", "limit": 1}}', "error")
    ]


def test_the_same_entries_on_every_transport() -> None:
    batch = [entry("a\nb", "order"), entry(b"\xff")]
    assert PLAIN_WEBSOCKET.share(batch) == b"\x81\x03a\nb\x82\x01\xff"
    assert PLAIN_SSE[False].share(batch) == (
        b"event: order\nid: x7-12\ndata: a\ndata: b\n\nid: x7-12\ndata: data:;base64,/w==\n\n"
    )
    assert PLAIN_SSE[True].share([entry(1)]) == b"13\r\nid: x7-12\ndata: 1\n\n\r\n"


def test_a_heartbeat_moves_the_last_event_id_of_an_event_source_and_is_nothing_on_a_websocket() -> None:
    assert PLAIN_SSE[False].heartbeat(AT) == b"id: x7-12\n\n"
    assert PLAIN_WEBSOCKET.heartbeat(AT) == b""


@given(st.text() | st.binary())
def test_whatever_comes_is_one_message_as_it_is(body: str | bytes) -> None:
    assert PLAIN.receive(body) == [Received("message", body)]


def test_json_that_comes_is_still_a_text() -> None:
    assert PLAIN.receive('{"a":1}') == [Received("message", '{"a":1}')]
