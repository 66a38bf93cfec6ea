"""Engine.IO's codecs: the bytes of real exchanges, round trips, and whatever a stranger may send."""

from __future__ import annotations

from base64 import b64encode
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cometware.core.framing import Frame
from cometware.dialects import engineio
from cometware.dialects.engineio import MESSAGE, PING, PONG, Packet, Payload, content_type, read_form, read_packet, writer
from cometware.errors import BadFrame

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
FRAMES = st.lists(TEXTS.map(lambda text: Frame("4" + text)) | st.binary().map(Frame), min_size=1)
JSON_FRAMES = st.lists(TEXTS.map(lambda text: Frame("4" + text.replace("\x1e", ""))) | st.binary().map(Frame), min_size=1)


def read(body: bytes, version: int, *, binary: bool = False) -> list[Packet]:
    return list(Payload(body, version, binary=binary))


def packets(frames: list[Frame]) -> list[Packet]:
    return [Packet(MESSAGE, frame.body[1:] if isinstance(frame.body, str) else frame.body or b"") for frame in frames]


def test_the_opening_tells_exactly_five_things() -> None:
    assert engineio.opening("ArD1", ["websocket"], 25, 20, 1000000) == (
        '0{"sid":"ArD1","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}'
    )


# Payloads of version 4


def test_packets_of_version_4_are_separated_and_bytes_are_base64() -> None:
    body = b"4hello\x1e4x\x1ebAQIDBA=="
    assert read(body, 4) == [Packet(4, "hello"), Packet(4, "x"), Packet(4, b"\1\2\3\4")]
    assert writer(4, "poll", base64=False)([Frame("4hello"), Frame("4x"), Frame(b"\1\2\3\4")]) == body


@pytest.mark.parametrize("body", [b"", b"\x1e", b"4a\x1e", b"7", b"abc", b"b!", b"bA", b"\xff", b"-1", b"0" * 3 + b"\x1e\x1e"])
def test_what_is_no_payload_of_version_4(body: bytes) -> None:
    with pytest.raises(BadFrame):
        read(body, 4)


def test_packets_before_a_bad_one_are_good() -> None:
    several = iter(Payload(b"4good\x1ebad!", 4))
    assert next(several) == Packet(4, "good")
    with pytest.raises(BadFrame):
        next(several)


@given(JSON_FRAMES, st.booleans())
def test_what_is_written_for_version_4_can_be_read(frames: list[Frame], base64: bool) -> None:
    assert read(writer(4, "poll", base64=base64)(frames), 4) == packets(frames)


# Payloads of version 3


def test_lengths_of_version_3_are_units_of_utf_16() -> None:
    body = '30:42["echo","hi",{"x":1},"é€😀"]'.encode()
    assert len(body) == 38
    assert read(body, 3) == [Packet(4, '2["echo","hi",{"x":1},"é€😀"]')]
    assert writer(3, "poll", base64=True)([Frame('42["echo","hi",{"x":1},"é€😀"]')]) == body


def test_bytes_in_a_text_of_version_3_have_their_type() -> None:
    assert writer(3, "poll", base64=True)([Frame(b"\1\2\3")]) == b"6:b4AQID"
    assert read(b"6:b4AQID1:2", 3) == [Packet(4, b"\1\2\3"), Packet(PING)]


def test_a_payload_with_bytes_is_binary_for_a_client_of_version_3_that_knows_them() -> None:
    body = bytes.fromhex("00 04 ff 34 68 c3 a9 01 05 ff 04 01 02 03 04")
    assert writer(3, "poll", base64=False)([Frame("4hé"), Frame(b"\1\2\3\4")]) == body
    assert read(body, 3, binary=True) == [Packet(4, "hé"), Packet(4, b"\1\2\3\4")]
    assert writer(3, "poll", base64=False)([Frame("4" + "x" * 11)]) == b"12:4xxxxxxxxxxx"
    assert writer(3, "poll", base64=False)([Frame(b"x" * 11)]) == b"\x01\x01\x02\xff\x04xxxxxxxxxxx"


def test_the_type_of_a_body_is_told_by_its_first_byte() -> None:
    assert content_type(b"1:6") == "text/plain; charset=UTF-8"
    assert content_type(b"\x01\x01\x02\xff\x04") == "application/octet-stream"
    assert content_type(b"\x00\x01\xff6") == "application/octet-stream"


def test_an_empty_packet_of_version_3_is_passed_over() -> None:
    assert read(b"0:1:3", 3) == [Packet(PONG)]
    assert read(b"0:", 3) == []


@pytest.mark.parametrize(
    "body",
    [b"", b"2", b":4a", b"x:4a", b"3:4a", b"2:4a5", b"-1:4", b"12345678901:4", "²:4a".encode(), b"1:7", b"1:b", b"\xff"],
)
def test_what_is_no_text_of_version_3(body: bytes) -> None:
    with pytest.raises(BadFrame):
        read(body, 3)


@pytest.mark.parametrize(
    "body", ["", "00", "00 01", "02 01 ff 34", "00 ff 34", "00 0a ff 34", "00 02 ff 34", "01 01 ff 09", "01 00 ff"]
)
def test_what_is_no_binary_payload(body: str) -> None:
    with pytest.raises(BadFrame):
        read(bytes.fromhex(body), 3, binary=True)


@given(FRAMES)
def test_what_is_written_for_version_3_can_be_read(frames: list[Frame]) -> None:
    assert read(writer(3, "poll", base64=True)(frames), 3) == packets(frames)
    body = writer(3, "poll", base64=False)(frames)
    assert read(body, 3, binary=content_type(body) == "application/octet-stream") == packets(frames)


# WebSockets


def test_how_bytes_travel_by_websocket() -> None:
    frame = [Frame(b"\1\2\3")]
    assert writer(4, "websocket", base64=False)(frame) == bytes.fromhex("82 03 01 02 03")
    assert writer(3, "websocket", base64=False)(frame) == bytes.fromhex("82 04 04 01 02 03")
    assert writer(4, "websocket", base64=True)(frame) == b"\x81\x05bAQID"
    assert writer(3, "websocket", base64=True)(frame) == b"\x81\x06b4AQID"
    assert writer(4, "websocket", base64=False)([Frame("2")]) == bytes.fromhex("81 01 32")


def test_how_bytes_are_read_from_a_websocket() -> None:
    assert read_packet(b"\1\2\3", 4) == Packet(4, b"\1\2\3")
    assert read_packet(b"\4\1\2\3", 3) == Packet(4, b"\1\2\3")
    assert read_packet("bAQID", 4) == read_packet("b4AQID", 3) == Packet(4, b"\1\2\3")
    assert read_packet("2probe", 4) == Packet(PING, "probe")


@given(st.text() | st.binary(), st.sampled_from([3, 4]))
def test_any_frame_is_a_packet_or_an_error(body: str | bytes, version: int) -> None:
    with suppress(BadFrame):
        assert 0 <= read_packet(body, version).type <= 6


@given(st.binary(), st.sampled_from([(3, False), (3, True), (4, False)]))
def test_any_body_is_packets_or_an_error(body: bytes, how: tuple[int, bool]) -> None:
    with suppress(BadFrame):
        read(body, how[0], binary=how[1])


@given(FRAMES, st.sampled_from([(3, True), (3, False), (4, True)]), st.data())
def test_every_prefix_and_mutation_of_a_good_body_is_packets_or_an_error(
    frames: list[Frame], how: tuple[int, bool], data: st.DataObject
) -> None:
    body = bytearray(writer(how[0], "poll", base64=how[1])(frames))
    cut = data.draw(st.integers(0, len(body)))
    index = data.draw(st.integers(0, len(body) - 1))
    mutated = bytearray(body)
    mutated[index] = data.draw(st.integers(0, 255))
    for hostile in (bytes(body[:cut]), bytes(mutated)):
        for binary in (False, True) if how[0] == 3 else (False,):
            with suppress(BadFrame):
                read(hostile, how[0], binary=binary)


# JSONP


def test_the_form_of_a_real_client_is_read() -> None:
    field = '25:420["echo","hé\\\\n\\\\\\n\\"x\u2028"]'
    assert read_form(field).decode() == '25:420["echo","hé\\n\\\\n\\"x\u2028"]'


def as_a_client_writes_it(payload: str) -> str:
    """engine.io-client 3: `data.replace(/\\\\n/g, "\\\\\\n")`, then the browser's form writes each newline as `\\n`."""
    return payload.replace("\\n", "\\\\n").replace("\n", "\\n")


@pytest.mark.parametrize("payload", ["a\nb", "a\\nb", '5:42["a\\nb"]', "plain", "\n\n", "é\u2028😀"])
def test_what_a_client_does_to_a_payload_is_undone(payload: str) -> None:
    assert read_form(as_a_client_writes_it(payload)) == payload.encode()


def test_a_script_cannot_be_left_from_inside() -> None:
    payload = '12:42["</script>\u2028\'"]'.encode()
    assert engineio.script("3;alert(1)", payload) == b'/**/___eio[31]("12:42[\\"</script>\\u2028\'\\"]");'


@given(st.binary())
def test_base64_of_any_bytes_is_read(data: bytes) -> None:
    assert read_packet("b" + b64encode(data).decode(), 4) == Packet(MESSAGE, data)
