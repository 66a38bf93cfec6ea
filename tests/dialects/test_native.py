"""The native dialect, byte by byte, and its decoder under every kind of damage."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cometware import Args, Position
from cometware.core.data import encode
from cometware.core.entry import RESERVED, Entry, Message
from cometware.core.events import Close, Left, Pinged, Received
from cometware.core.framing import Frame
from cometware.dialects.base import Greeting
from cometware.dialects.native import NATIVE
from cometware.dialects.shapes import NATIVE_POLL, NATIVE_SSE, NATIVE_STREAM, NATIVE_WEBSOCKET
from cometware.errors import BadFrame
from tests.core.strategies import TREES

AT = Position("x7", 12)


def entry(data: Any, event: str = "message", kind: str = "", number: int = 0) -> Entry:
    return Entry(AT, Message(event, encode(data), kind=kind, number=number))


@pytest.mark.parametrize(
    ("one", "line"),
    [
        (entry("héllo"), '{"id":"x7-12","event":"message","data":"héllo"}'),
        (entry(None), '{"id":"x7-12","event":"message","data":null}'),
        (entry({"a": [1]}, "order"), '{"id":"x7-12","event":"order","data":{"a":[1]}}'),
        (entry(1, 'a"b\\'), '{"id":"x7-12","event":"a\\"b\\\\","data":1}'),
        (entry(b"\xff"), '{"id":"x7-12","event":"message","data":{"$bytes":"/w=="}}'),
        (entry({"name": "ann"}, "", "reply", 7), '{"id":"x7-12","reply":7,"data":{"name":"ann"}}'),
        (entry({"code": "event"}, "", "error", 8), '{"id":"x7-12","reply":8,"error":{"code":"event"}}'),
    ],
)
def test_an_entry_is_written_like_this(one: Entry, line: str) -> None:
    assert NATIVE.entries([one]) == [Frame(line, id="x7-12")]
    json.loads(line)


def test_the_greeting_tells_who_where_and_how() -> None:
    greeting = Greeting("c1", AT, 3, 20, {"max_message_bytes": 9}, {"name": "pywsgi", "transports": ["poll"]}, True)
    assert NATIVE.greeting(greeting) == [
        Frame(
            '{"open":{"client":"c1","position":"x7-12","accepted":3,"heartbeat":20,"limits":{"max_message_bytes":9},'
            '"server":{"name":"pywsgi","transports":["poll"]},"recovered":true}}',
            id="x7-12",
        )
    ]


def test_everything_else_that_it_can_say() -> None:
    assert NATIVE.heartbeat(AT) == [Frame('{"ping":"x7-12"}', id="x7-12")]
    assert NATIVE.accepted(7) == [Frame('{"accepted":7}')]
    assert NATIVE.reset("forgotten", AT) == [Frame('{"reset":{"reason":"forgotten","position":"x7-12"}}', id="x7-12")]
    assert NATIVE.reconnect(3) == [Frame('{"reconnect":{"wait_seconds":3}}')]
    assert NATIVE.close(Close(4410, "revoked")) == [Frame('{"close":{"code":4410,"reason":"revoked"}}')]
    assert NATIVE.error("size", "too large", {"limit": 1, "size": 2}) == [
        Frame('{"error":{"code":"size","message":"too large","limit":1,"size":2}}')
    ]


def test_the_same_two_entries_on_every_transport() -> None:
    batch = [entry(1), entry("a\nb", "order")]
    one, two = b'{"id":"x7-12","event":"message","data":1}', b'{"id":"x7-12","event":"order","data":"a\\nb"}'
    assert NATIVE_WEBSOCKET.share(batch) == b"\x81\x29" + one + b"\x81\x2c" + two
    assert NATIVE_POLL.share(batch) == b"[" + one + b"," + two + b"]"
    assert NATIVE_STREAM[False].share(batch) == one + b"\n" + two + b"\n"
    assert NATIVE_STREAM[True].share(batch) == b"57\r\n" + one + b"\n" + two + b"\n\r\n"
    assert NATIVE_SSE[False].share(batch) == b"id: x7-12\ndata: " + one + b"\n\nid: x7-12\ndata: " + two + b"\n\n"


def test_a_heartbeat_on_every_transport() -> None:
    ping = b'{"ping":"x7-12"}'
    assert NATIVE_WEBSOCKET.heartbeat(AT) == b"\x81\x10" + ping
    assert NATIVE_POLL.heartbeat(AT) == b"[" + ping + b"]"
    assert NATIVE_STREAM[False].heartbeat(AT) == ping + b"\n"
    assert NATIVE_SSE[False].heartbeat(AT) == b"id: x7-12\ndata: " + ping + b"\n\n"


@pytest.mark.parametrize(
    ("body", "events"),
    [
        ('{"data":"hello"}', [Received("message", "hello")]),
        (b'{"data":"h\xc3\xa9llo"}', [Received("message", "héllo")]),
        ('{"n":7,"event":"rename","data":{"a":1},"reply":true}', [Received("rename", {"a": 1}, 7, True)]),
        ('{"event":"bare"}', [Received("bare", None)]),
        ('{"n":null,"data":1}', [Received("message", 1)]),
        ('{"n":9007199254740991,"data":1}', [Received("message", 1, 2**53 - 1)]),
        ('{"data":{"$bytes":"/w=="}}', [Received("message", b"\xff")]),
        ('{"data":{"$$bytes":1}}', [Received("message", {"$bytes": 1})]),
        ('{"data":{"$args":[1,2]}}', [Received("message", Args([1, 2]))]),
        ('{"ping":1}', [Pinged()]),
        ('{"ping":null}', [Pinged()]),
        ('{"close":{}}', [Left()]),
        ('{"data":1,"close":1}', [Received("message", 1)]),
        ('{"data":1,"of tomorrow":2}', [Received("message", 1)]),
        ('[{"n":1,"data":1},{"n":2,"data":2}]', [Received("message", 1, 1), Received("message", 2, 2)]),
        (' [ { "data" : 1 } , {"ping":1} ] \r\n', [Received("message", 1), Pinged()]),
        ("[]", []),
    ],
)
def test_a_client_may_say(body: str | bytes, events: list[Any]) -> None:
    assert NATIVE.receive(body) == events


@pytest.mark.parametrize(
    "body",
    [
        *("", "hello", "{", '{"data":1}{"data":2}', '{"data":NaN}', '{"data":1e999}', "\ufeff{}", b'{"data":"\xff"}'),
        *("[" * 100_000, '{"data":' * 100_000, '{"data":' + "[" * 100_000 + "]" * 100_000 + "}", b"\xff\xfe{\x00}\x00"),
        '{"n":' + "1" * 5000 + ',"data":1}',
    ],
    ids=range(13),
)
def test_what_is_not_json_is_answered(body: str | bytes) -> None:
    with pytest.raises(BadFrame) as caught:
        NATIVE.receive(body)
    assert caught.value.code == "json"
    assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    "body",
    [
        *("1", "null", '"hello"', "true", "{}", '{"x":1}', "[1]", "[[]]", '[{"data":1},2]', '{"n":1}'),
        *('{"n":0,"data":1}', '{"n":-1,"data":1}', '{"n":1.0,"data":1}', '{"n":"1","data":1}', '{"n":true,"data":1}'),
        *(
            '{"n":9007199254740992,"data":1}',
            '{"event":"","data":1}',
            '{"event":1,"data":1}',
            '{"event":null,"data":1}',
        ),
        '{"event":"' + "x" * 257 + '","data":1}',
        *('{"n":1,"data":1,"reply":1}', '{"n":1,"data":1,"reply":null}', '{"data":1,"reply":true}'),
        *('{"data":{"$bytes":1}}', '{"data":{"$bytes":"?"}}', '{"data":[{"$args":1}]}'),
        *(f'{{"event":"{name}","data":1}}' for name in sorted(RESERVED)),
    ],
)
def test_what_has_another_shape_is_answered_with_what_was_expected(body: str) -> None:
    with pytest.raises(BadFrame, match=r"expected|reserved|needs|base64") as caught:
        NATIVE.receive(body)
    assert caught.value.code == "shape"
    assert len(caught.value.message) < 300


def test_deep_nesting_is_answered_whatever_its_shape() -> None:
    for body in ("[" * 500 + "]" * 500, '{"a":' * 500 + "1" + "}" * 500, "[[" * 240 + "]]" * 240):
        with pytest.raises(BadFrame):
            NATIVE.receive(body)


def test_of_an_array_all_are_taken_or_none() -> None:
    with pytest.raises(BadFrame):
        NATIVE.receive('[{"n":1,"data":1},{"n":2}]')


def test_the_error_quotes_what_was_got_but_never_a_raw_line_break_or_all_of_it() -> None:
    with pytest.raises(BadFrame) as caught:
        NATIVE.receive('{"n":1,\n\x1b[31m' + "x" * 10_000)
    assert r"1,\n\x1b[31mxxx" in caught.value.message
    assert "\n" not in caught.value.message and "\x1b" not in caught.value.message
    assert len(caught.value.message) < 300


VALID = '[{"n":7,"event":"rename","data":{"a":[1.5,null,"\\u00e9😀"],"b":{"$bytes":"/w=="}},"reply":true},{"ping":1}]'


def understood_or_refused(body: str | bytes) -> None:
    try:
        events = NATIVE.receive(body)
    except BadFrame as error:
        assert error.code in ("json", "shape")
        return
    assert all(isinstance(event, Received | Pinged | Left) for event in events)


@pytest.mark.parametrize("end", range(len(VALID)))
def test_every_prefix_is_answered(end: int) -> None:
    with pytest.raises(BadFrame):
        NATIVE.receive(VALID[:end])
    with pytest.raises(BadFrame):
        NATIVE.receive(VALID.encode()[:end])


@given(st.integers(0, len(VALID.encode()) - 1), st.binary(max_size=3), st.integers(0, 3))
def test_every_mutation_is_understood_or_answered(at: int, put: bytes, drop: int) -> None:
    body = VALID.encode()
    body = body[:at] + put + body[at + drop :]
    understood_or_refused(body)
    understood_or_refused(body.decode("utf-8", "surrogateescape"))


@given(st.text() | st.binary())
@example("[" * 990)
@example('{"data":' + "[" * 330 + "]" * 330 + "}")
def test_anything_at_all_is_understood_or_answered(body: str | bytes) -> None:
    understood_or_refused(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)
FIELDS = dict.fromkeys(("n", "event", "data", "reply", "ping", "close"), JSON)


@given(st.fixed_dictionaries({}, optional=FIELDS))
def test_every_object_with_our_fields_is_understood_or_answered(shape: dict[str, Any]) -> None:
    understood_or_refused(json.dumps(shape))


@given(TREES, st.text(min_size=1, max_size=20).filter(lambda name: name not in RESERVED))
def test_what_a_client_sends_is_what_the_handler_gets(data: Any, event: str) -> None:
    body = f'{{"event":{json.dumps(event)},"data":{encode(data)}}}'
    assert NATIVE.receive(body) == [Received(event, data)]
