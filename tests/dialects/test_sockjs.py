"""SockJS without a socket: what is written, what is understood, and that nothing a stranger sends raises anything else."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote_plus, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cometware import Args, Position
from cometware.core.data import encode
from cometware.core.entry import Entry, Message
from cometware.core.events import Close, Received
from cometware.core.framing import Frame
from cometware.core.keys import is_key
from cometware.dialects import shapes, sockjs
from cometware.dialects.base import Greeting
from cometware.dialects.sockjs import SOCKJS
from cometware.errors import BadFrame
from tests.core.strategies import ANY_TEXT, JSON_TREES

AT = Position("x7", 12)
TEXTS = st.lists(ANY_TEXT, max_size=4)


def entry(data: Any, event: str = "message", kind: str = "") -> Entry:
    return Entry(AT, Message(event, encode(data), kind=kind))


@pytest.mark.parametrize(
    ("data", "frame"),
    [
        ("hello", 'a["hello"]'),
        ("", 'a[""]'),
        ('{"looks":"like JSON"}', 'a["{\\"looks\\":\\"like JSON\\"}"]'),
        ("a\nb\0", 'a["a\\nb\\u0000"]'),
        ("é\u2028😀\uffff", 'a["\\u00e9\\u2028\\ud83d\\ude00\\uffff"]'),
        ("\ud800", 'a["\\ud800"]'),
        (b"\x00\xff", 'a["data:;base64,AP8="]'),
        ({"a": [1, None]}, 'a["{\\"a\\":[1,null]}"]'),
        ([1, "é"], 'a["[1,\\"\\u00e9\\"]"]'),
        (7, 'a["7"]'),
        (None, 'a["null"]'),
        ({"$bytes": "x"}, 'a["{\\"$$bytes\\":\\"x\\"}"]'),
        ({"$bytes": 1, "x": 2}, 'a["{\\"$bytes\\":1,\\"x\\":2}"]'),
        (Args([1, 2]), 'a["{\\"$args\\":[1,2]}"]'),
    ],
)
def test_data_is_written_like_this(data: Any, frame: str) -> None:
    assert SOCKJS.entries([entry(data)]) == [Frame(frame)]


def test_what_comes_together_is_one_frame() -> None:
    assert SOCKJS.entries([entry("a"), entry(1), entry("b")]) == [Frame('a["a","1","b"]')]


def test_the_name_of_an_event_and_the_answer_to_a_message_are_not_shown() -> None:
    batch = [entry(1, "order"), entry(2, kind="reply"), entry({}, kind="error"), entry({}, kind="join")]
    assert SOCKJS.entries(batch) == [Frame('a["1"]')]
    assert SOCKJS.entries(batch[1:]) == []


def test_it_has_four_words() -> None:
    assert SOCKJS.greeting(Greeting("c", AT, 0, 20, {}, {}, True)) == [Frame("o")]
    assert SOCKJS.heartbeat(AT) == [Frame("h")]
    assert SOCKJS.close(Close(3000, 'Go "é" away!')) == [Frame('c[3000,"Go \\"\\u00e9\\" away!"]')]
    assert SOCKJS.accepted(7) == SOCKJS.reconnect(3) == SOCKJS.reset("epoch", AT) == SOCKJS.error("x", "y", {}) == []


def test_the_same_entries_on_every_transport() -> None:
    batch = [entry('</script> 100% "'), entry("b")]
    assert shapes.SOCKJS_WEBSOCKET.share(batch) == b'\x81\x1aa["</script> 100% \\"","b"]'
    assert shapes.SOCKJS_XHR.share(batch) == b'a["</script> 100% \\"","b"]\n'
    assert shapes.SOCKJS_XHR_STREAMING[True].share(batch) == b'1b\r\na["</script> 100% \\"","b"]\n\r\n'
    assert shapes.SOCKJS_EVENTSOURCE[False].share(batch) == b'data: a["</script> 100%25 \\"","b"]\r\n\r\n'
    assert shapes.SOCKJS_HTMLFILE[False].share(batch) == (
        b'<script>\np("a[\\"\\u003c/script> 100% \\\\\\"\\",\\"b\\"]");\n</script>\r\n'
    )
    assert sockjs.script("f", shapes.SOCKJS_XHR.share(batch)) == (
        b'/**/f("a[\\"</script> 100% \\\\\\"\\",\\"b\\"]");\r\n'
    )  # fmt: skip


def test_nothing_to_say_is_no_byte() -> None:
    silent = [entry(1, kind="reply")]
    for shape in (shapes.SOCKJS_WEBSOCKET, shapes.SOCKJS_XHR, shapes.SOCKJS_HTMLFILE[True], shapes.SOCKJS_XHR_STREAMING[True]):
        assert shape.share(silent) == b""


@given(st.lists(JSON_TREES, min_size=1, max_size=4))
def test_what_is_written_is_ascii_on_one_line_and_reads_back(batch: list[Any]) -> None:
    (frame,) = SOCKJS.entries([entry(data) for data in batch])
    assert isinstance(frame.body, str)
    assert frame.body.isascii() and "\n" not in frame.body and "\r" not in frame.body and "\0" not in frame.body
    told = json.loads(frame.body[1:])
    assert len(told) == len(batch)
    for text, data in zip(told, batch, strict=True):
        if isinstance(data, str):
            assert text.encode("utf-16", "surrogatepass") == data.encode("utf-16", "surrogatepass")
        else:
            assert isinstance(text, str)


@given(TEXTS)
def test_what_a_page_decodes_is_what_was_written(texts: list[str]) -> None:
    frames = SOCKJS.entries([entry(text) for text in texts])
    written = b"".join([frame.body.encode() for frame in frames if isinstance(frame.body, str)]).decode()
    event = sockjs.event_stream(frames).decode()
    assert unquote(event.removeprefix("data: ").removesuffix("\r\n\r\n")) == written
    block = sockjs.script_blocks(frames).decode()
    assert block.count("<") == 2 * bool(frames)
    if frames:
        literal = block.removeprefix("<script>\np(").removesuffix(");\n</script>\r\n")
        assert json.loads(literal) == written


# The way in


@given(TEXTS)
def test_an_array_of_strings_is_so_many_messages(texts: list[str]) -> None:
    expected = [Received("message", text) for text in json.loads(json.dumps(texts))]
    body = json.dumps(texts)
    form = "application/x-www-form-urlencoded"
    assert SOCKJS.receive(body) == sockjs.received(body.encode()) == expected
    assert sockjs.posted(body.encode(), "text/plain") == expected
    assert sockjs.posted(f"d={quote_plus(body)}&i=3".encode(), form) == expected


def test_a_websocket_may_say_nothing_or_one_string() -> None:
    assert SOCKJS.receive("") == SOCKJS.receive(b"") == SOCKJS.receive("[]") == []
    assert SOCKJS.receive('"a"') == [Received("message", "a")]


VALID = '["a\\u00e9\\ud83d\\ude00 \\"%41", "", "é\\n"]'


@pytest.mark.parametrize("end", range(len(VALID)))
def test_every_prefix_of_an_array_is_broken(end: int) -> None:
    for body in (VALID[:end], VALID.encode()[:end]):
        with pytest.raises(BadFrame) as caught:
            sockjs.received(body)
        assert caught.value.message in (sockjs.BROKEN, sockjs.MISSING)


@given(st.data())
def test_a_mutation_is_understood_or_refused_and_nothing_else(data: st.DataObject) -> None:
    body = bytearray(VALID.encode())
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    for read in (
        SOCKJS.receive,
        sockjs.received,
        lambda body: sockjs.posted(b"d=" + body, "application/x-www-form-urlencoded"),
    ):
        try:
            events = read(bytes(body))
        except BadFrame as error:
            assert error.message in (sockjs.BROKEN, sockjs.MISSING)
        else:
            assert all(isinstance(event, Received) and isinstance(event.data, str) for event in events)


@given(st.binary(max_size=200) | st.text(st.sampled_from('[]{}",:\\u01dfa&=%+d \n'), max_size=40).map(str.encode))
def test_whatever_comes_is_understood_or_refused(body: bytes) -> None:
    for kind in ("", "application/x-www-form-urlencoded", "text/plain"):
        try:
            sockjs.posted(body, kind)
        except BadFrame as error:
            assert error.message in (sockjs.BROKEN, sockjs.MISSING)


@pytest.mark.parametrize("body", ["[" * 100_000, '{"a":' * 100_000, "1e999", "[NaN]", "\ud800", "﻿[]"])
def test_what_only_python_would_take_is_broken(body: str) -> None:
    with pytest.raises(BadFrame, match="Broken JSON"):
        sockjs.received(body)


# Paths and names


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/000/abc/xhr", ("abc", "xhr")),
        ("/000/abc/xhr/", ("abc", "xhr")),
        ("/a b/j /xhr_send", ("j ", "xhr_send")),
        ("/é/😀/jsonp", ("😀", "jsonp")),
        ("//a/xhr", None),
        ("/a//xhr", None),
        ("/a./b/xhr", None),
        ("/a/b./xhr", None),
        ("/a/b/xhr//", None),
        ("/a/b/XHR", None),
        ("/a/b/c/xhr", None),
        ("/a/b/xhr\n", None),
        ("/a/b", None),
    ],
)
def test_a_path_names_a_session_and_a_transport(path: str, found: tuple[str, str] | None) -> None:
    assert sockjs.session(path) == found


def test_a_sessions_key_is_none_that_a_client_of_another_dialect_could_show() -> None:
    assert not is_key(sockjs.key_of("abc"))
    assert sockjs.key_of("abc") == sockjs.key_of("abc") != sockjs.key_of("abd")
    assert sockjs.key_of("\udce9")  # bytes of a path that are no UTF-8


@pytest.mark.parametrize("name", ["a", "_jp.a4vkx43", "parent.x-1", "A0"])
def test_a_function_may_be_called(name: str) -> None:
    assert sockjs.callback(name) == name


@pytest.mark.parametrize("name", ["", " ", "a b", "a(", "a;", "é", "a\n", "<", "'", "$", "x" * 257])
def test_a_function_may_not_be_called(name: str) -> None:
    with pytest.raises(BadFrame, match=r'"callback" parameter'):
        sockjs.callback(name)


def test_the_clients_url_cannot_leave_its_attribute() -> None:
    assert b'<script src="/a.js?x=&quot;&gt;&amp;y"></script>' in sockjs.iframe_page('/a.js?x=">&y')


def test_an_htmlfile_begins_with_more_than_internet_explorer_holds_back() -> None:
    page = sockjs.htmlfile_page("c")
    assert len(page) > 1024 and b"var c = parent.c;" in page and page.endswith(b"\r\n\r\n")
