"""Real texts and requests, and how they are damaged. A failing example shrinks to the few changes that matter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from hypothesis import strategies as st

DEEP = [b"[" * 300, b'{"a":' * 300, b"]" * 300, b"}" * 300]
NUMBERS = [b"-1", b"0", b"1e999", b"9" * 25, b"9" * 5000, b"NaN", b"-Infinity", b"4_4", b"0x7", b"\xc2\xb2", b"1.5", b" 7"]
TEXTS = [b"\0", b"\r\n", b"\r\n\r\n", b"\xff", b"\xed\xa0\x80", b"\xf0\x9f\x98\x80", b"\\ud800", b"%", b"%zz", b"<b>", b"\x1e"]
BYTES = [b'{"$bytes":"AP8="}', b'{"$args":[1,2]}', b'{"$$bytes":1}', b'{"_placeholder":true,"num":0}']
SHAPES = [*BYTES, b"null", b"true", b"[]", b"{}", b'""']
MEMBERS = [b'"n":', b'"event":"open"', b'"reply":true', b'"close":1', b'"ping":1']
WORDS = [*MEMBERS, b",", b":", b'"', b"'", b"&", b"=", b"?", b"/", b"; "]
PUT = [*DEEP, *NUMBERS, *TEXTS, *SHAPES, *WORDS]


class Change(NamedTuple):
    """At `at` (in thousandths of the length), `drop` bytes give way to `put`, which comes `times` times."""

    at: int
    drop: int
    put: bytes
    times: int


changes = st.lists(
    st.builds(
        Change,
        st.integers(0, 1000),
        st.sampled_from([0, 0, 0, 1, 1, 2, 5, 40]),
        st.sampled_from(PUT) | st.binary(max_size=3),
        st.sampled_from([0, 1, 1, 1, 2, 30]),
    ),
    max_size=4,
)


def changed(data: bytes, how: Sequence[Change]) -> bytes:
    """Damage something."""
    for change in how:
        at = change.at * len(data) // 1000
        data = data[:at] + change.put * change.times + data[at + change.drop :]
    return data


def joined(one: bytes, other: bytes, at: int) -> bytes:
    return one[: at * len(one) // 9] + other[at * len(other) // 9 :]


def mutated(corpus: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Something of a corpus, damaged a little, or two of it in one."""
    whole = st.builds(changed, st.sampled_from(corpus), changes)
    return whole | whole | st.builds(joined, whole, whole, st.integers(0, 9)) | st.binary(max_size=30)


NATIVE = [
    b'{"n":1,"event":"echo","data":{"a":[1,2.5,"\\u00e9",null]},"reply":true}',
    b'[{"n":1,"data":"hello"},{"n":2,"data":{"$bytes":"AP8="}},{"ping":1}]',
    b'{"data":{"$args":["a",{"$bytes":"/w=="}]},"event":"any"}',
    b'{"close":{"code":1000}}',
    b'[{"n":7,"data":1},{"close":{"wait":2}}]',
]
SOCKJS = [b'["hello"]', b'["a","\\ud83d\\ude00","{\\"b\\":1}"]', b'"one"', b"[]"]
ENGINE = {
    4: [
        b"40",
        b'42["message","hi"]',
        b'40\x1e42["echo",{"a":1}]\x1e2',
        b'451-["echo",{"_placeholder":true,"num":0}]\x1ebAQID',
        b'420["echo",1,2]',
        b"3\x1e1",
    ],
    3: [
        b'17:42["message","a"]1:2',
        b'12:420["echo",1]6:b4AQID',
        b'19:42["message","\xe2\x82\xac"]',
        b"2:40",
    ],
}
BINARY = [b"\x00\x02\xff40", b'\x00\x01\x02\xff42["echo",1]\x01\x04\xff\x04\x01\x02\x03', b"\x01\x01\xff\x02"]
SOCKETIO = [
    b'2["echo",1]',
    b'2/admin,7["echo",{"a":1}]',
    b'0/admin,{"token":"a"}',
    b'51-["a",{"_placeholder":true,"num":0}]',
    b"1",
    b'3/n,4["ok"]',
    b'4{"message":"no"}',
]
HOOK_ANSWERS = [
    b'{"publish":[{"data":1,"to":"room:a"}],"join":["room:b"],"leave":["room:c"],"x":1}',
    b'{"reply":[1]}',
    b"[1,2]",
]
PUBLISH = [b'{"data":1,"event":"x","to":["room:a","*"],"but":"c","once":"k"}', b'[{"data":1},{"event":"begin"}]']
FORMS = [b"d=%5B%22a%22%5D", b"d=%7B%22n%22%3A1%2C%22data%22%3A1%7D&x=1", b"d=40"]
HEADERS = [
    b"comet=1; session=abc",
    b"text/plain; charset=utf-8",
    b"application/json",
    b"cometware.v1, key.abcdefghijklmnopqrstuv",
    b"a-12",
    b"https://site.example:8000/a?b",
]
