"""Socket.IO's packets: the texts of real exchanges, round trips, and whatever a stranger may send."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cometware import Args, Position
from cometware.core.data import encode
from cometware.core.entry import Entry, Message
from cometware.core.framing import Frame
from cometware.dialects import socketio
from cometware.dialects.socketio import ACK, CONNECT, DISCONNECT, EVENT, Packet, Reader, SocketIO, data_of, read_packet
from cometware.errors import BadFrame
from tests.core.strategies import TREES

AT = Position("x7", 12)
PROTOCOLS = pytest.mark.parametrize("protocol", [4, 5])


def entry(data: Any, event: str = "message", kind: str = "", number: int = 0) -> Entry:
    return Entry(AT, Message(event, encode(data), kind=kind, number=number))


def written(*entries: Entry, namespace: str = "/", protocol: int = 5, offsets: bool = False) -> list[str | bytes | None]:
    return [frame.body for frame in SocketIO(namespace, protocol, offsets=offsets).entries(entries)]


# Writing


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("hi", '42["message","hi"]'),
        ({"a": [1, None]}, '42["message",{"a":[1,null]}]'),
        (None, '42["message",null]'),
        (Args(["hi", {"x": 1}, "é€😀"]), '42["message","hi",{"x":1},"é€😀"]'),
        (Args([]), '42["message"]'),
        ({"$bytes": "x"}, '42["message",{"$bytes":"x"}]'),
        ("costs $5", '42["message","costs $5"]'),
        ("\x1e\ud800", '42["message","\\u001e\\ud800"]'),
    ],
)
def test_a_message_is_an_event(data: Any, text: str) -> None:
    assert written(entry(data)) == [text]


def test_a_namespace_is_named_unless_it_is_the_root() -> None:
    assert written(entry(1, "move"), namespace="/chat") == ['42/chat,["move",1]']
    assert socketio.disconnected("/chat") == Frame("41/chat,")
    assert socketio.disconnected("/") == Frame("41")


def test_bytes_are_attachments_behind_their_packet() -> None:
    data = Args([{"a": b"\1\2\3", "l": [b"\x09"]}])
    assert written(entry(data, "bin")) == [
        '452-["bin",{"a":{"_placeholder":true,"num":0},"l":[{"_placeholder":true,"num":1}]}]',
        b"\1\2\3",
        b"\x09",
    ]


def test_acknowledgements_have_the_number_that_was_asked_for() -> None:
    assert written(entry("ackme", kind="reply", number=0)) == ['430["ackme"]']
    assert written(entry(None, kind="reply", number=7), namespace="/chat") == ["43/chat,7[null]"]
    assert written(entry(Args([1, 2]), kind="reply", number=8)) == ["438[1,2]"]
    assert written(entry(b"\7\x08", kind="reply", number=1)) == ['461-1[{"_placeholder":true,"num":0}]', b"\7\x08"]
    assert written(entry({"code": "event"}, kind="error", number=3)) == ['433[{"error":{"code":"event"}}]']


def test_a_call_asks_for_an_acknowledgement() -> None:
    assert written(entry("really?", "question", "call", 5)) == ['425["question","really?"]']


def test_with_recovery_each_event_ends_with_its_position_and_acknowledgements_do_not() -> None:
    assert written(entry("one"), offsets=True) == ['42["message","one","x7-12"]']
    assert written(entry(Args([b"", 2]), "e"), offsets=True) == ['451-["e",{"_placeholder":true,"num":0},2,"x7-12"]', b""]
    assert written(entry("q", "question", "call", 5), entry(1, kind="reply", number=2), offsets=True) == [
        '425["question","q"]',
        "432[1]",
    ]


@pytest.mark.parametrize(("protocol", "name"), [(p, name) for p in (4, 5) for name in sorted(socketio.RESERVED[p])])
def test_an_event_that_would_mislead_the_client_is_not_written(protocol: int, name: str) -> None:
    assert written(entry(1, name), entry(b"", name), entry(2), protocol=protocol) == ['42["message",2]']


def test_how_a_connection_is_answered() -> None:
    assert socketio.connected("/", {"sid": "s"}) == Frame('40{"sid":"s"}')
    assert socketio.connected("/chat", {"sid": "s", "pid": "p"}) == Frame('40/chat,{"sid":"s","pid":"p"}')
    assert socketio.connected("/", None) == Frame("40")
    assert socketio.refused("/nope", 5, "Invalid namespace") == Frame('44/nope,{"message":"Invalid namespace"}')
    assert socketio.refused("/deny", 5, "no", {"code": 7}) == Frame('44/deny,{"message":"no","data":{"code":7}}')
    assert socketio.refused("/nope", 4, "Invalid namespace") == Frame('44/nope,"Invalid namespace"')


# Reading


@PROTOCOLS
@pytest.mark.parametrize(
    ("text", "packet"),
    [
        ("0", Packet(CONNECT)),
        ("0/chat", Packet(CONNECT, "/chat")),
        ("0/chat,", Packet(CONNECT, "/chat")),
        ("0/chat?t=1,", Packet(CONNECT, "/chat?t=1")),
        ("1", Packet(DISCONNECT)),
        ("1/chat", Packet(DISCONNECT, "/chat")),
        ('2["bye"]', Packet(EVENT, "/", ["bye"])),
        ("2[5,1]", Packet(EVENT, "/", [5, 1])),
        ('20["echo","ackme"]', Packet(EVENT, "/", ["echo", "ackme"], 0)),
        ('2/chat,12["echo"]', Packet(EVENT, "/chat", ["echo"], 12)),
        ("30[]", Packet(ACK, "/", [], 0)),
    ],
)
def test_packets_are_read(protocol: int, text: str, packet: Packet) -> None:
    assert read_packet(text, protocol) == (packet, 0)


def test_auth_is_an_object_and_of_protocol_5_only() -> None:
    assert read_packet('0/chat,{"token":"abc"}', 5) == (Packet(CONNECT, "/chat", {"token": "abc"}), 0)
    for text, protocol in (('0"x"', 5), ("0[1]", 5), ('0{"a":1}', 4)):
        with pytest.raises(BadFrame):
            read_packet(text, protocol)


def test_the_query_of_a_namespace_is_what_protocol_4_has_for_auth() -> None:
    assert socketio.auth_of("token=a%20b&x=") == {"token": "a b", "x": ""}


@PROTOCOLS
@pytest.mark.parametrize(
    "text",
    ["", "7", "abc", "2", "2{}", "2[]", "2abc[1]", "2[true]", "2[null]", "2[[]]", "3", '3{"a":1}', "1[]", "20", "0{", '2["a"',
     '2["a"]]', '5["a"]', '50-["a"]', '511-["a"]', '5-["a"]', '51["a"]', '51.5-["a"]', "5²-[]", '2 1["a"]', "2NaN", "2[NaN]",
     '2["a",1e999]', "4[]", "4", "2" + "[" * 100000],
)  # fmt: skip
def test_what_is_no_packet(protocol: int, text: str) -> None:
    with pytest.raises(BadFrame):
        read_packet(text, protocol)


def test_reserved_names_are_errors_in_protocol_5_alone() -> None:
    with pytest.raises(BadFrame):
        read_packet('2["connect"]', 5)
    assert read_packet('2["connect"]', 4)[0].args == ["connect"]


@PROTOCOLS
def test_attachments_are_put_where_their_placeholders_are(protocol: int) -> None:
    reader = Reader(protocol, 1000)
    assert reader.receive('52-0["bin",{"a":{"_placeholder":true,"num":1},"l":[{"_placeholder":true,"num":0}]}]') is None
    assert reader.receive(b"zero") is None
    assert reader.receive(b"one") == Packet(EVENT, "/", ["bin", {"a": b"one", "l": [b"zero"]}], 0)
    assert reader.receive("1") == Packet(DISCONNECT)


@pytest.mark.parametrize("depth", [100, 300, 500, 700, 900, 950, 990, 2000, 10000, 100000])
def test_attachments_deep_inside_are_found_or_an_error(depth: int) -> None:
    reader = Reader(5, 1000)
    with suppress(BadFrame):
        reader.receive('51-["a",' + "[" * depth + '{"_placeholder":true,"num":0}' + "]" * depth + "]")
        reader.receive(b"")


@pytest.mark.parametrize("num", ["1", "-1", '"0"', "true", "null", "0.0", "{}"])
def test_a_placeholder_names_one_of_the_attachments(num: str) -> None:
    reader = Reader(5, 1000)
    reader.receive(f'51-["bin",{{"_placeholder":true,"num":{num}}}]')
    with pytest.raises(BadFrame):
        reader.receive(b"")


def test_nothing_comes_between_a_packet_and_its_attachments() -> None:
    reader = Reader(5, 1000)
    with pytest.raises(BadFrame):
        reader.receive(b"of none")
    reader.receive('51-["bin",{"_placeholder":true,"num":0}]')
    with pytest.raises(BadFrame):
        reader.receive('2["a"]')


def test_a_placeholder_in_a_packet_without_attachments_is_an_object_like_any_other() -> None:
    assert Reader(5, 1000).receive('2["a",{"_placeholder":true,"num":0}]') == Packet(
        EVENT, "/", ["a", {"_placeholder": True, "num": 0}]
    )


def test_one_argument_is_the_data_several_are_args_none_is_none() -> None:
    assert (data_of([]), data_of([1]), data_of([1, 2])) == (None, 1, Args([1, 2]))
    assert isinstance(data_of([1, 2]), Args)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text() | st.binary(max_size=4),
    lambda items: st.lists(items, max_size=3) | st.dictionaries(st.text(), items, max_size=3),
    max_leaves=6,
)
NAMES = st.text(min_size=1).filter(lambda name: name not in socketio.RESERVED[5] | socketio.RESERVED[4])


def is_like_a_placeholder(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(is_like_a_placeholder, value))
    return isinstance(value, dict) and ("_placeholder" in value or any(map(is_like_a_placeholder, value.values())))


@PROTOCOLS
@given(args=st.lists(JSON, max_size=3).filter(lambda args: not is_like_a_placeholder(args)), name=NAMES)
def test_what_is_written_can_be_read(protocol: int, args: list[Any], name: str) -> None:
    reader = Reader(protocol, 1000)
    frames = SocketIO("/n", protocol).entries([entry(Args(args), name)])
    for frame in frames[:-1]:
        assert reader.receive(frame.body[1:] if isinstance(frame.body, str) else frame.body or b"") is None
    last = frames[-1].body
    assert reader.receive(last[1:] if isinstance(last, str) else last or b"") == Packet(EVENT, "/n", [name, *args])


@PROTOCOLS
@given(text=st.text() | st.from_regex(r"[0-6]([0-9]+-)?(/[a-z?=]*,)?[0-9]*[\[{].*[\]}]", fullmatch=True))
def test_any_text_is_a_packet_or_an_error(protocol: int, text: str) -> None:
    with suppress(BadFrame):
        assert 0 <= read_packet(text, protocol)[0].type <= 4


GOOD = [
    '0{"token":"abc"}',
    "0/chat,",
    '2/chat,12["echo",{"a":[1,"é😀"]}]',
    '51-1["bin",{"_placeholder":true,"num":0}]',
    "41[1]",
]


@PROTOCOLS
@pytest.mark.parametrize("good", GOOD)
@given(data=st.data())
def test_every_prefix_and_mutation_of_a_packet_is_a_packet_or_an_error(protocol: int, good: str, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(good)))
    index = data.draw(st.integers(0, len(good) - 1))
    for text in (good[:cut], good[:index] + data.draw(st.characters()) + good[index + 1 :]):
        reader = Reader(protocol, 1000)
        with suppress(BadFrame):
            reader.receive(text)
            reader.receive(b"\1")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"$args": [1], "x": [2]}, '42["message",{"$args":[1],"x":[2]}]'),
        ({"$bytes": 1, "x": 2}, '42["message",{"$bytes":1,"x":2}]'),
        ({"$bytes": "QQ=="}, '42["message",{"$bytes":"QQ=="}]'),
        ('{"$bytes":"QQ=="}', r'42["message","{\"$bytes\":\"QQ==\"}"]'),
        (["{", "$bytes"], '42["message",["{","$bytes"]]'),
        (Args([[1], {"a": [2]}]), '42["message",[1],{"a":[2]}]'),
    ],
)
def test_what_only_looks_like_bytes_or_arguments_is_written_as_it_is(data: Any, text: str) -> None:
    assert written(entry(data)) == [text]


@given(TREES)
def test_bytes_are_the_attachments_that_a_client_puts_back(tree: Any) -> None:
    try:
        first, *attachments = written(entry(tree))
    except ValueError:
        return  # too deep
    reader = Reader(5, 2**20)
    assert isinstance(first, str)
    packet = reader.receive(first[1:])
    for attachment in attachments:
        assert packet is None
        packet = reader.receive(attachment or b"")
    assert packet is not None
    plain = list(tree) if isinstance(tree, Args) else [tree]
    assert encode(packet.args) == encode(["message", *plain])


def test_of_a_large_message_only_the_bytes_are_read() -> None:
    """Beside them there may be anything: here what no JSON is, which nobody looks at."""
    large = Entry(Position("a", 1), Message("message", '[{"$bytes":"QQ=="},?????]'))
    assert written(large) == ['451-["message",[{"_placeholder":true,"num":0},?????]]', b"A"]
