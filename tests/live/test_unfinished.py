"""A message that is never finished: whatever a WebSocket is of ours, it is kept for so long and no longer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.live.raw import Line, masked, open_websocket
from tests.live.server import PATIENT, Server, serve

KINDS = {
    "plain": ("/comet", 1008),
    "native": ("/comet?v=1", 1008),
    "SockJS": ("/comet/sockjs/000/unfinished/websocket", 1000),  # behind a frame that says 1008
    "raw SockJS": ("/comet/sockjs/websocket", 1008),
    "Socket.IO": ("/comet/socket.io/?EIO=4&transport=websocket", 1008),
}
WHY = b"a message took longer than Limits.message_seconds=1"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(PATIENT | {"message_seconds": 1}) as server:
        yield server


@pytest.fixture(params=KINDS)
def line(server: Server, request: pytest.FixtureRequest) -> Iterator[tuple[Line, int]]:
    target, code = KINDS[request.param]
    with open_websocket(server.port, target) as line:
        yield line, code


def told(line: Line) -> tuple[bytes, int]:
    """Read to the server's close: all that it said, and the code."""
    heard = b""
    while True:
        opcode, payload = line.frame()
        heard += payload
        if opcode == 8:
            return heard, int.from_bytes(payload[:2], "big")


@pytest.mark.parametrize(
    "beginning", [b"\x81", masked(1, b"x" * 200)[:50], bytes([masked(1, b"4")[0] & 0x7F]) + masked(1, b"4")[1:]]
)
def test_a_message_that_is_never_finished_ends_its_connection(line: tuple[Line, int], beginning: bytes) -> None:
    stranger, code = line
    heard, got = told(stranger.send(beginning))
    assert WHY in heard
    assert got == code
    stranger.finish()
    assert stranger.read_to_end() == b""


def test_who_is_between_two_messages_stays(line: tuple[Line, int], server: Server) -> None:
    stranger, _ = line
    with open_websocket(server.port, "/comet") as other:
        told(other.send(b"\x81"))  # a second is over
    stranger.send(masked(9, b"here"))
    opcode = 1
    while opcode != 10:
        opcode, payload = stranger.frame()
    assert payload == b"here"
