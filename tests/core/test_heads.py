"""Which heads teach what a client's later polls mean, and which later heads are taken for them."""

from __future__ import annotations

import pytest

from cometware.core.heads import CACHE_BUSTER, MAX_HEAD_BYTES, POSITION, Changing

REST = b" HTTP/1.1\r\nHost: a\r\nCookie: user=ann\r\n\r\n"


def value(changing: Changing, target: bytes, method: bytes = b"GET", rest: bytes = REST) -> bytes | None:
    """Return the value that a strict reading marks in a head with this target; None if the head teaches nothing."""
    head = method + b" " + target + rest
    span = changing.read(head)
    return None if span is None else head[slice(*span)]


@pytest.mark.parametrize(
    "target", [b"/c?after=x7-12", b"/c?key=k&after=x7-12", b"/c?after=x7-12&key=k", b"/?a&after=x7-12&&b="]
)
def test_a_position_is_marked_wherever_it_stands_in_the_query(target: bytes) -> None:
    assert value(POSITION, target) == b"x7-12"


@pytest.mark.parametrize(
    "target",
    [
        b"/c",
        b"/c?key=k",
        b"/c?after=",
        b"/c?after=x7-12&after=x7-13",
        b"/c?after=x7-12&after=x7-12",
        b"/c?after=x7-12&%61fter=x7-13",
        b"/c?%61fter=x7-12",
        b"/c?after=x7-12&after",
        b"/c?hereafter=x7-12",
        b"/c?after=x7-12;key=k",
        b"/c?after=x7-12%26key=k",
        b"/c?after=x7-12+",
        b"/c?after=x7-1234567890123456789",
        b"/c?after=x7-",
        b"/c?after=-1",
        b"/c?after=" + b"x" * 33 + b"-1",
        b"/c&after=x7-12",
        b"/c?a=b?after=x7-12",
        b"/c?after=x7-12#after=x7-13",
        b"/c#?after=x7-12",
        b"/c?a=\xc3\xa4&after=x7-12",
        b"/c?a=b c&after=x7-12",
    ],
)
def test_what_is_no_single_wellformed_position_teaches_nothing(target: bytes) -> None:
    assert value(POSITION, target) is None


@pytest.mark.parametrize(
    ("target", "marked"),
    [
        (b"/s?EIO=4&t=Pq1-.&sid=7", b"Pq1-."),
        (b"/s?sid=7&t=1700000000", b"1700000000"),
        (b"/s/a&t=1/xhr?t=5", b"5"),
        (b"/s/a&t=1/xhr", b""),
        (b"/s?sid=7", b""),
        (b"/s?last=3&at=5", b""),
        (b"/s?t=5&t=6", None),
        (b"/s?t=5&%74=6", None),
        (b"/s?%74=6", None),
        (b"/s?t=", None),
        (b"/s?t", None),
        (b"/s?t=a%26sid=8", None),
        (b"/s?t=" + b"x" * 65, None),
    ],
)
@pytest.mark.parametrize("method", [b"GET", b"POST"])
def test_a_cache_buster_is_marked_or_missing(target: bytes, marked: bytes | None, method: bytes) -> None:
    assert value(CACHE_BUSTER, target, method) == marked


@pytest.mark.parametrize(
    "rest",
    [
        b" HTTP/1.0\r\nHost: a\r\n\r\n",
        b" HTTP/1.1\r\n\r\n",
        b" HTTP/1.1\r\nHost: a\r\n",
        b" HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b" HTTP/1.1\r\nHost: a\r\n\r\n\r\n",
        b" HTTP/1.1\r\nHost: a\r\n b: c\r\n\r\n",
        b" HTTP/1.1\r\nHost : a\r\n\r\n",
        b" HTTP/1.1\r\nHost: a\nCookie: b\r\n\r\n",
        b" HTTP/1.1\r\nHost: a\rCookie: b\r\n\r\n",
        b" HTTP/1.1\r\nHost: a\0\r\n\r\n",
        b" HTTP/1.1\nHost: a\n\n",
        b"  HTTP/1.1\r\nHost: a\r\n\r\n",
        b" HTTP/1.1\r\nHost: a\r\nX: " + b"x" * MAX_HEAD_BYTES + b"\r\n\r\n",
    ],
)
def test_only_one_whole_strict_head_teaches(rest: bytes) -> None:
    assert value(POSITION, b"/c?after=x7-12", rest=rest) is None
    assert value(CACHE_BUSTER, b"/c?t=x7-12", rest=rest) is None


def test_a_quick_look_finds_what_a_strict_reading_marked_and_proves_nothing_else() -> None:
    head = b"GET /c?key=k&after=x7-12&wait=3" + REST
    found = POSITION.find(head)
    assert found is not None and found.span(1) == POSITION.read(head)
    assert POSITION.find(b"GET /c?after=x7-12 whatever") is not None


def test_a_long_line_of_almost_positions_is_looked_through_once() -> None:
    """What cannot match is given up after a number of steps that grows with its length, not with its square."""
    line = b"GET /c?" + b"&after=x" * 1000 + b" HTTP/1.1\r\n"
    assert POSITION.find(line) is None
