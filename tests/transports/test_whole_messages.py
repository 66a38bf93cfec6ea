"""A differential test: what is read as a whole message without a parser, `websockets` reads in the same way."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN, SERVER

from cometware.transports.websocket import Reader, whole_message
from tests.live.raw import masked

PAYLOADS = st.binary(max_size=300) | st.integers(0, 70_000).map(lambda size: b"x" * size)
FRAMES = st.builds(masked, st.integers(0, 15), PAYLOADS, fin=st.booleans())


def frames_of(data: bytes) -> tuple[list[tuple[int, bytes, bool]], bool]:
    """Read with the parser of `websockets`: the frames, and whether it rests well behind them."""
    reader = Reader(SERVER, state=OPEN, max_size=2**20)
    reader.receive_data(data)
    frames = [(int(f.opcode), bytes(f.data), f.fin) for f in reader.events_received() if isinstance(f, Frame)]
    return frames, reader.state is OPEN and not reader.data_to_send() and not reader.reader.buffer


def damaged(data: bytes, at: int, byte: int, cut: int) -> bytes:
    at %= len(data)
    return (data[:at] + bytes([byte]) + data[at + 1 :])[: max(len(data) - cut, 0)]


@given(FRAMES | st.builds(damaged, FRAMES, st.integers(0, 20), st.integers(0, 255), st.integers(0, 3)))
@example(b"")
@example(b"\x81\xfe\x00\x05\0\0\0\0hello")
@example(b"\x81\x05hello")
@example(b"\xc1\x85\0\0\0\0hello")
@example(masked(1, b"a") + masked(1, b"b"))
def test_what_is_taken_as_whole_is_one_message_to_any_parser(data: bytes) -> None:
    found = whole_message(data)
    if found is not None:
        assert frames_of(data) == ([(*found, True)], True)


@given(
    st.sampled_from([Opcode.TEXT, Opcode.BINARY]),
    st.binary(max_size=200) | st.sampled_from([b"x" * n for n in (125, 126, 65535)]),
)
def test_an_ordinary_message_is_taken(opcode: Opcode, payload: bytes) -> None:
    assert whole_message(masked(opcode, payload)) == (opcode, payload)


def test_what_is_more_or_less_than_a_message_is_not() -> None:
    for data in (
        masked(1, b"a") + b"\x81",
        masked(1, b"a", fin=False),
        masked(9, b""),
        masked(1, b"x" * 65536),
        masked(1, b"ab")[:-1],
    ):
        assert whole_message(data) is None
