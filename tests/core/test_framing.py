"""Bytes as the standards write them."""

from __future__ import annotations

import base64
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame as TheirFrame
from websockets.protocol import CLIENT, OPEN, Protocol

from cometware.core import framing
from cometware.core.framing import BINARY, PING, PONG, TEXT, Frame
from tests.core.strategies import ANY_TEXT

FRAMES = st.lists(
    st.builds(Frame, ANY_TEXT | st.binary(max_size=20), st.sampled_from(["", "order"]), st.sampled_from(["", "e-7"]))
)


@pytest.mark.parametrize(
    ("opcode", "payload", "frame"),
    [  # RFC 6455 §5.7
        (TEXT, b"Hello", "81 05 48 65 6c 6c 6f"),
        (PING, b"Hello", "89 05 48 65 6c 6c 6f"),
        (PONG, b"Hello", "8a 05 48 65 6c 6c 6f"),
        (PING, b"", "89 00"),
        (BINARY, bytes(125), "82 7d" + " 00" * 125),
        (BINARY, bytes(126), "82 7e 00 7e" + " 00" * 126),
        (BINARY, bytes(256), "82 7e 01 00" + " 00" * 256),
        (BINARY, bytes(65535), "82 7e ff ff" + " 00" * 65535),
        (BINARY, bytes(65536), "82 7f 00 00 00 00 00 01 00 00" + " 00" * 65536),
    ],
    ids=lambda value: str(value)[:20],
)
def test_rfc_6455_5_7_a_frame_is_written_unmasked(opcode: int, payload: bytes, frame: str) -> None:
    assert framing.websocket_frame(opcode, payload) == bytes.fromhex(frame)


@pytest.mark.parametrize(
    ("code", "reason", "frame"),
    [
        (1000, "", "88 02 03 e8"),
        (4403, "no", "88 04 11 33 6e 6f"),
        (1009, "x" * 200, "88 7d 03 f1" + " 78" * 123),
        (1000, "x" * 122 + "é", "88 7c 03 e8" + " 78" * 122),
        (1000, "\ud800", "88 03 03 e8 3f"),
    ],
)
def test_rfc_6455_5_5_a_close_reason_is_cut_between_two_characters(code: int, reason: str, frame: str) -> None:
    assert framing.websocket_close(code, reason) == bytes.fromhex(frame)


def test_a_websocket_message_is_text_or_binary_and_silence_is_nothing() -> None:
    frames = [Frame("é"), Frame(None, id="e-1"), Frame(b"\xff", event="dropped")]
    assert framing.websocket(frames) == b"\x81\x02\xc3\xa9\x82\x01\xff"


@given(FRAMES)
def test_a_websocket_client_reads_what_was_written(frames: list[Frame]) -> None:
    client = Protocol(CLIENT, state=OPEN)
    client.receive_data(framing.websocket(frames))
    received = client.events_received()
    assert client.parser_exc is None
    assert all(isinstance(one, TheirFrame) and one.fin for one in received)
    expected = [frame.body if isinstance(frame.body, bytes) else framing.utf8(frame.body or "") for frame in frames]
    assert [bytes(one.data) for one in received if isinstance(one, TheirFrame)] == expected


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        (Frame("hello"), "data: hello\n\n"),
        (Frame("hello", "order", "e-7"), "event: order\nid: e-7\ndata: hello\n\n"),
        (Frame(None, id="e-7"), "id: e-7\n\n"),
        (Frame(""), "data: \n\n"),
        (Frame("a\nb\r\nc\rd"), "data: a\ndata: b\ndata: c\ndata: d\n\n"),
        (Frame("\n"), "data: \ndata: \n\n"),
        (Frame("a\u2028b\x85c"), "data: a\u2028b\x85c\n\n"),
        (Frame(": no comment"), "data: : no comment\n\n"),
        (Frame(" indented"), "data:  indented\n\n"),
        (Frame(b"\x00\xff"), "data: data:;base64,AP8=\n\n"),
        (Frame("\ud83d\ude00 \ud800"), "data: 😀 \ufffd\n\n"),
    ],
)
def test_an_event_of_a_stream_is_written_like_this(frame: Frame, text: str) -> None:
    assert framing.sse([frame]) == text.encode()


def read_events(text: str) -> list[tuple[str, str, str]]:
    """Read a stream as a browser does (WHATWG HTML §9.2.6): data, event, and the last event's id."""
    events: list[tuple[str, str, str]] = []
    data: list[str] = []
    event = last_id = ""
    for line in re.split("\r\n|\r|\n", text):
        if not line:
            if data:
                events.append(("\n".join(data), event or "message", last_id))
            data, event = [], ""
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            data.append(value)
        elif field == "event":
            event = value
        elif field == "id" and "\0" not in value:
            last_id = value
    return events


@given(FRAMES)
def test_an_event_source_reads_what_was_written(frames: list[Frame]) -> None:
    expected, last_id = [], ""
    for body, event, position in frames:
        last_id = position or last_id
        text = framing.data_url(body) if isinstance(body, bytes) else framing.utf8(body or "").decode()
        expected.append((re.sub("\r\n|\r", "\n", text), event or "message", last_id))
    assert read_events(framing.sse(frames).decode()) == expected


def test_lines_and_arrays_are_json() -> None:
    frames = [Frame('{"a":1}', id="e-1"), Frame("[2]")]
    assert framing.lines(frames) == b'{"a":1}\n[2]\n'
    assert framing.array(frames) == b'[{"a":1},[2]]'
    assert framing.array([]) == b"[]"
    assert framing.lines([]) == b""


def test_a_script_calls_the_pages_function_and_is_nothing_else_to_anybody() -> None:
    assert framing.script("_cb1", b'[{"data":1}]') == b'/**/_cb1([{"data":1}]);'
    assert framing.script("f", '["a\u2028b\u2029c"]'.encode()) == b'/**/f(["a\\u2028b\\u2029c"]);'


@pytest.mark.parametrize(("body", "chunk"), [(b"abc", b"3\r\nabc\r\n"), (b"x" * 26, b"1a\r\n" + b"x" * 26 + b"\r\n")])
def test_rfc_9112_7_1_a_chunk_begins_with_its_length_in_hex(body: bytes, chunk: bytes) -> None:
    assert framing.chunk(body) == chunk


def test_an_empty_chunk_would_end_the_body_so_it_is_not_written() -> None:
    assert framing.chunk(b"") == b""
    assert framing.LAST_CHUNK == b"0\r\n\r\n"


@given(ANY_TEXT)
def test_text_is_always_utf_8_and_half_a_pair_is_replaced(text: str) -> None:
    decoded = framing.utf8(text).decode()
    assert decoded == text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


@given(st.binary())
def test_bytes_in_a_stream_are_a_data_url(body: bytes) -> None:
    prefix, _, encoded = framing.data_url(body).partition(",")
    assert prefix == "data:;base64"
    assert base64.b64decode(encoded) == body


def test_a_head_ends_with_an_empty_line() -> None:
    head = framing.head("200 OK", [("Content-Type", "text/plain"), ("X", "é€")])
    assert head == b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX: \xe9?\r\n\r\n"


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: x", "a\nb", "a\rb"])
def test_a_header_cannot_be_smuggled_into_a_head(value: str) -> None:
    with pytest.raises(ValueError, match="line break"):
        framing.head("200 OK", [("X", value)])
