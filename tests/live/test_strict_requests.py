"""By RFC 9112, what can be read in two ways is refused, and its connection ends: nobody smuggles a request in it."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

import pytest

from tests.live.doubtful import BODIES, HEADS, SMUGGLED
from tests.live.raw import Line, ask, head, request
from tests.live.server import Server, serve


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(application="tests.live.strict:app") as server:
        yield server


@pytest.fixture(scope="module")
def port(server: Server) -> int:
    return server.port


def statuses(sent: bytes) -> list[bytes]:
    """The status of each response in these bytes."""
    return [part[:3] for part in re.split(rb"HTTP/1\.1 (?=\d{3} )", sent)[1:]]


@pytest.mark.parametrize("name", HEADS)
def test_a_doubtful_head_is_refused_and_ends_the_connection(port: int, name: str) -> None:
    with Line(port) as line:
        sent = line.send(HEADS[name]).read_to_end()
    assert statuses(sent) in ([b"400"], [b"501"]), sent
    assert sent.startswith((b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n", b"HTTP/1.1 501 Not Implemented\r\n"))


@pytest.mark.parametrize("name", HEADS)
def test_a_doubtful_head_is_refused_also_if_it_comes_byte_by_byte(port: int, name: str) -> None:
    with Line(port) as line:
        line.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for byte in HEADS[name]:
                line.send(bytes([byte]))
        except OSError:
            pass  # it was refused before its end
        assert statuses(line.read_to_end()) in ([b"400"], [b"501"], [])


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("path", [b"/upload", b"/comet", b"/unread"])
def test_a_doubtful_body_is_refused_and_nothing_behind_it_is_a_request(port: int, name: str, path: bytes) -> None:
    with Line(port) as line:
        answered = statuses(line.send(BODIES[name].replace(b"/upload", path, 1)).read_to_end())
    assert len(answered) == 1
    assert path == b"/unread" or answered[0] in (b"400", b"413")


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (b"GET /" + b"x" * 8300 + b" HTTP/1.1\r\nHost: h\r\n\r\n", 414),
        (b"GET /" + b"x" * 200_000, 414),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 70_000, 431),
        (b"GET / HTTP/1.1\r\nHost: h\r\n" + b"X: 1\r\n" * 100 + b"\r\n", 431),
    ],
    ids=range(5),
)
def test_a_head_that_is_too_large_is_refused_with_its_limit(port: int, message: bytes, status: int) -> None:
    with Line(port) as line:
        answer = line.send(message).answer()
        assert (answer.status, answer.headers["connection"]) == (status, "close")
        assert b"Handler.max_" in answer.body
        assert line.read_to_end() == b""


@pytest.mark.parametrize(
    "message",
    [
        request(target="/"),
        b"\r\n" + request(target="/"),
        head("GET", "/", {}, "HTTP/1.0"),
        head("BREW", "/", {"Host": "h"}),
        head("GET", "http://h.example/", {"Host": "other"}),
        head("GET", "http://h.example", {"Host": "other"}),
        head("OPTIONS", "*", {"Host": "h"}),
        head("GET", "//x/", {"Host": "h"}),
        head("GET", "/?a=b|c\xe9", {"Host": "h", "X": "\xe9\t\xff"}),
        head("GET", "/", {"Host": "[::1]:8000", "X-Empty": ""}),
        head("GET", "/", {"Host": ""}),
        head("GET", "/", {"Host": "h", "X_Y": "hidden"}),
        head("GET", "/", {"Host": "h", "Upgrade": "h2c", "Connection": "Upgrade, HTTP2-Settings"}),
        request("GET", "/", b"a body"),
        request("POST", "/", transfer_encoding="Chunked") + b'3;a=1;b="x;\\"y";c\r\nabc\r\n000\r\nX-Trailer: 1\r\n\r\n',
        b"GET / HTTP/1.1\r\nHost: h\r\n" + b"X: 1\r\n" * 99 + b"\r\n",
        b"GET / HTTP/1.1\r\nhOST:h\r\nX:\t 1 \t\r\n\r\n",
    ],
    ids=range(17),
)
def test_what_is_unusual_and_clear_is_answered(port: int, message: bytes) -> None:
    with Line(port) as line:
        answer = line.send(message + request(target="/", connection="close")).answer()
        assert (answer.status, answer.body) == (200, b"alive")
        if b"HTTP/1.0" not in message:
            assert line.answer().body == b"alive", "the next request begins where this one ended"


def test_a_body_in_chunks_is_the_same_however_it_is_cut(port: int) -> None:
    body = b"5\r\nhello\r\n1\r\n \r\n5;x=y\r\nworld\r\n0\r\nX: 1\r\n\r\n"
    message = request("POST", "/upload", transfer_encoding="chunked") + body
    for cut in range(1, len(message), 3):
        with Line(port) as line:
            line.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            line.send(message[:cut])
            line.send(message[cut:] + request(target="/"))
            assert [line.answer().body, line.answer().body] == [b"hello world", b"alive"]


def test_who_waits_for_100_gets_it_when_the_body_is_wanted_and_only_then(port: int) -> None:
    fields = {"Host": "h", "Content-Length": "3", "Expect": "100-Continue"}
    with Line(port) as line:
        assert line.send(head("POST", "/upload", fields)).head().status == 100
        assert line.send(b"abc" + request(target="/")).answer().body == b"abc"
        assert line.answer().body == b"alive"
    with Line(port) as line:
        answer = line.send(head("POST", "/unread", fields)).answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close"), "nobody knows whether the body comes"
        assert line.send(SMUGGLED).read_to_end() == b""
    with Line(port) as line:
        answer = line.send(head("POST", "/upload", fields, "HTTP/1.0") + b"abc").answer()
        assert (answer.status, answer.body) == (200, b"abc"), "HTTP/1.0 knows no 100"


def test_a_body_that_nobody_reads_does_not_become_a_request(port: int) -> None:
    with Line(port) as line:
        line.send(request("POST", "/unread", SMUGGLED) + request(target="/", connection="close"))
        assert statuses(line.read_to_end()) == [b"200", b"200"]


def test_a_large_body_that_nobody_reads_ends_the_connection(port: int) -> None:
    with Line(port) as line:
        line.send(head("POST", "/unread", {"Host": "h", "Content-Length": "1000000000"}) + b"x" * 5_000_000)
        assert line.answer().status == 200
        assert line.read_to_end() == b""


def test_a_body_that_ends_early_is_no_body(port: int) -> None:
    with Line(port) as line:
        answered = line.send(head("POST", "/upload", {"Host": "h", "Content-Length": "10"}) + b"abc").finish().read_to_end()
        assert statuses(answered) == [b"400"]


def test_everybody_else_is_served_as_ever(port: int) -> None:
    assert ask(port, request(target="/")).body == b"alive"
