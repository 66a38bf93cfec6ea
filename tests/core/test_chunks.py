"""A body in chunks: the same however it is cut, and by the verdict of llhttp."""

from __future__ import annotations

import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cometware.core.chunks import BadChunk, Chunks
from tests.live.doubtful import BODIES

HEAD = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
GOOD = b'5\r\nhello\r\n1;a\r\n \r\n05;x="y;\\"z";b=c\r\nworld\r\n0\r\nX-Trailer: 1\r\nY:\r\n\r\n'
BEHIND = b"GET /next"


def decoded(pieces: list[bytes]) -> tuple[bytes, bytes, bool]:
    """Decode what comes in these pieces; return the body, what is left behind it, and whether it ended."""
    chunks, body, rest = Chunks(), b"", b""
    for piece in pieces:
        rest += piece
        more, read = chunks.decode(rest)
        body += more
        rest = rest[read:]
    return body, rest, chunks.is_done


@given(st.lists(st.integers(0, len(GOOD + BEHIND)), max_size=6))
def test_a_body_is_the_same_however_it_is_cut(cuts: list[int]) -> None:
    data, places = GOOD + BEHIND, sorted([0, *cuts])
    pieces = [data[start:end] for start, end in zip(places, [*places[1:], len(data)], strict=True)]
    assert decoded(pieces) == (b"hello world", BEHIND, True)


def test_what_is_not_complete_waits() -> None:
    for end in range(len(GOOD)):
        body, _, is_done = decoded([GOOD[:end]])
        assert b"hello world".startswith(body) and not is_done


class Witness:
    def __init__(self, body: bytes) -> None:
        self.body = b""
        self.is_done = False
        try:
            httptools.HttpRequestParser(self).feed_data(HEAD + body)
            self.is_good = True
        except httptools.HttpParserError:
            self.is_good = self.is_done  # what stands behind the body is no request

    def on_body(self, piece: bytes) -> None:
        self.body += piece

    def on_message_complete(self) -> None:
        self.is_done = True


@settings(max_examples=400)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 100), st.integers(0, 2), st.sampled_from([b"", b"\r", b"\n", b" ", b";", b"0", b"f", b"=", b":"])
        ),
        max_size=3,
    )
)
def test_what_is_taken_llhttp_takes_too_and_finds_the_same_in_it(changes: list[tuple[int, int, bytes]]) -> None:
    data = GOOD
    for place, removed, put in changes:
        at = place % (len(data) or 1)
        data = data[:at] + put + data[at + removed :]
    try:
        body, _, is_done = decoded([data])
    except BadChunk:
        return
    witness = Witness(data)
    if is_done:
        assert (witness.is_good, witness.is_done, witness.body) == (True, True, body)
    else:
        assert not witness.is_done


@pytest.mark.parametrize("name", BODIES)
def test_a_doubtful_body_is_refused_as_soon_as_that_is_seen(name: str) -> None:
    body = BODIES[name].partition(b"\r\n\r\n")[2]
    with pytest.raises(BadChunk):
        decoded([body])
