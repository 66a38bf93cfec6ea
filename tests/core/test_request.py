"""The head of a request: what is taken is what llhttp would take, too, and what a second reading could not take otherwise."""

from __future__ import annotations

import re

import httptools
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cometware.core.request import BadHead, Head, add_fields, check_beginning, parse
from tests.live.doubtful import HEADS

MAX_FIELDS = 100
TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
GOOD = [
    b"GET /comet?v=1 HTTP/1.1\r\nHost: h\r\nAccept: */*\r\n\r\n",
    b"POST /x HTTP/1.1\r\nHost: h:80\r\nContent-Length: 5\r\nContent-Type: text/plain\r\n\r\n",
    b"POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"GET /x HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x\r\n\r\n",
    b"GET http://h/x HTTP/1.1\r\nHost: g\r\nX-A: 1\r\nx-a: 2\r\nCookie: a=1\r\nCookie: b=2\r\n\r\n",
    b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
]
mutations = st.lists(
    st.tuples(
        st.integers(0, 120),
        st.sampled_from([0, 1]),
        st.sampled_from(
            [b"\r", b"\n", b"\r\n", b" ", b"\t", b":", b"\0", b",", b"_", b"#", b"\xe9", b"\x0b", b"1", b"+", b";"]
        ),
    ),
    max_size=3,
)


def mutated(head: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    for place, removed, put in changes:
        at = place % len(head)
        head = head[:at] + put + head[at + removed :]
    return head[: head.find(b"\r\n\r\n") + 4]  # so it is cut from what comes


def read(head: bytes) -> Head | None:
    try:
        return parse(head, MAX_FIELDS)
    except BadHead:
        return None


class Witness:
    """What llhttp finds."""

    def __init__(self, head: bytes) -> None:
        self.fields: list[tuple[bytes, bytes]] = []
        self.target = b""
        self.is_complete = False
        parser = httptools.HttpRequestParser(self)
        try:
            parser.feed_data(head)
        except httptools.HttpParserUpgrade:
            pass
        self.method = parser.get_method()

    def on_url(self, target: bytes) -> None:
        self.target += target

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value))

    def on_headers_complete(self) -> None:
        self.is_complete = True


@settings(max_examples=400)
@given(st.sampled_from(GOOD), mutations)
@example(GOOD[0], [])
def test_what_is_taken_llhttp_takes_too_and_finds_the_same_in_it(head: bytes, changes: list[tuple[int, int, bytes]]) -> None:
    head = mutated(head, changes)
    found = read(head)
    if found is None:
        return
    try:
        witness = Witness(head)
    except httptools.HttpParserInvalidMethodError:
        return  # it knows no methods but its own
    except httptools.HttpParserInvalidURLError:
        assert not found.target.isascii() or "://" in found.target, "it takes no bytes beyond ASCII in a target, nor our hosts"
        return
    assert witness.is_complete
    assert (witness.method.decode(), witness.target.decode("latin-1")) == (found.method, found.target)
    names = ["HTTP_" + name.decode().upper().replace("-", "_") for name, _ in witness.fields if b"_" not in name]
    names = [name.removeprefix("HTTP_") if name in ("HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH") else name for name in names]
    assert sorted(set(names) | {"HTTP_HOST"}) == sorted({name for name, _ in found.fields} | {"HTTP_HOST"})


@settings(max_examples=400)
@given(st.sampled_from(GOOD), mutations)
def test_no_second_head_hides_in_one(head: bytes, changes: list[tuple[int, int, bytes]]) -> None:
    """Of what is taken, each line is one to any parser: none ends or begins where another would see it otherwise."""
    head = mutated(head, changes)
    if read(head) is None:
        return
    assert not re.search(rb"[\r\n\0]", head.replace(b"\r\n", b""))
    line, *fields = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    assert line.count(b" ") == 2
    for field in fields:
        name, colon, _ = field.partition(b":")
        assert colon and TOKEN.match(name.decode("latin-1")), field


@pytest.mark.parametrize("name", HEADS)
def test_a_doubtful_head_is_refused_as_soon_as_that_is_seen(name: str) -> None:
    head = HEADS[name]
    end = head.find(b"\r\n\r\n") + 4
    with pytest.raises(BadHead):
        check_beginning(head, 0)
        assert end > 3, "whoever sends this would wait for its end"
        parse(head[:end], MAX_FIELDS)


@given(st.sampled_from(GOOD), st.integers(0, 200), st.integers(0, 200))
def test_the_beginning_of_a_good_head_is_never_refused(head: bytes, seen: int, more: int) -> None:
    check_beginning(head[: seen + more], seen)


def test_the_parts_of_a_head() -> None:
    found = parse(GOOD[0], MAX_FIELDS)
    assert found == Head(
        method="GET",
        target="/comet?v=1",
        path="/comet",
        query="v=1",
        version="HTTP/1.1",
        fields=[("HTTP_HOST", "h"), ("HTTP_ACCEPT", "*/*")],
        length=None,
        chunked=False,
        keep_alive=True,
        expects_continue=False,
        is_websocket=False,
    )


def test_of_a_whole_url_its_host_counts() -> None:
    found = parse(GOOD[4], MAX_FIELDS)
    environ: dict[str, str] = {}
    add_fields(environ, found.fields)
    assert (found.path, environ["HTTP_HOST"], environ["HTTP_X_A"], environ["HTTP_COOKIE"]) == ("/x", "h", "1,2", "a=1; b=2")


@pytest.mark.parametrize(
    ("version", "connection", "keeps"),
    [
        ("1.1", b"", True),
        ("1.1", b"Connection: close\r\n", False),
        ("1.1", b"Connection: TE, Close\r\n", False),
        ("1.1", b"Connection: keep-alive\r\nConnection: close\r\n", False),
        ("1.0", b"", False),
        ("1.0", b"Connection: Keep-Alive\r\n", True),
        ("1.0", b"Connection: keep-alive, close2\r\n", True),
    ],
)
def test_whether_the_connection_goes_on(version: str, connection: bytes, keeps: bool) -> None:
    head = b"GET / HTTP/%b\r\nHost: h\r\n%b\r\n" % (version.encode(), connection)
    assert parse(head, MAX_FIELDS).keep_alive is keeps
