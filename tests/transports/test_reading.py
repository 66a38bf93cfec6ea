"""What a stranger sends to a WebSocket is read in pieces: between two of them everybody else has a turn."""

from __future__ import annotations

import json
import socket
from _socket import socket as RawSocket
from collections.abc import Iterator
from typing import Any

import gevent
import pytest

from cometware import Channel, Client, Limits
from cometware.core import framing
from cometware.dialects.shapes import NATIVE_WEBSOCKET
from cometware.roster.base import Record, State
from cometware.transports import turns as _turns
from cometware.transports.websocket import WebSocket
from cometware.transports.worker import Worker

SECONDS = 60


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True) -> bytes:
    """Write a frame as a client does, with a mask that changes nothing."""
    first, *rest = framing.websocket_frame(opcode, payload)
    size = len(framing.websocket_frame(opcode, payload)) - len(payload) - 1
    header = bytes([first if fin else first & 0x7F, rest[0] | 0x80, *rest[1:size]])
    return header + b"\0\0\0\0" + payload


class Counted(WebSocket):
    """Writes down in which round of the loop it read how much."""

    __slots__ = ("pieces",)

    def _read(self, data: bytes) -> None:
        self.pieces.append((gevent.get_hub().loop.iteration, len(data)))
        super()._read(data)


class Page:
    """A worker and one WebSocket to it, of which the test has the other end."""

    def __init__(self, **limits: Any) -> None:
        self.channel = Channel(limits=Limits(rates=None, **limits))
        self.heard: list[Any] = []
        self.channel.on_message(self._hear)
        self.worker = Worker(self.channel)
        near, self.far = socket.socketpair()
        near.setblocking(False)
        self.far.settimeout(0)
        record = Record("one", None, None, 0)
        record.state = State.OPEN
        self.socket = Counted(self.worker, RawSocket(fileno=near.detach()), NATIVE_WEBSOCKET, record)
        self.socket.pieces = []
        self.socket.park()
        self.socket.position = self.worker.log.head
        self.worker.clients.attach(self.socket)
        self.answer = b""

    def _hear(self, client: Client, data: Any) -> None:
        self.heard.append(data)

    def send(self, data: bytes) -> None:
        """Send all of it, as fast as the other end takes it, and read what comes meanwhile."""
        rest = memoryview(data)
        with gevent.Timeout(SECONDS):
            while rest:
                try:
                    rest = rest[self.far.send(rest[:65536]) :]
                except BlockingIOError:
                    gevent.idle()
                self.read()

    def read(self) -> bytes:
        try:
            while data := self.far.recv(1 << 20):
                self.answer += data
        except BlockingIOError:
            pass
        return self.answer

    def until(self, seen: Any) -> None:
        with gevent.Timeout(SECONDS):
            while not seen():
                gevent.sleep(0.001)
                self.read()

    def close(self) -> None:
        self.socket.lost("closed")
        self.worker.close()
        self.far.close()


@pytest.fixture
def no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every turn is over as soon as somebody asks."""
    monkeypatch.setattr(_turns, "TURN_SECONDS", -1.0)


@pytest.fixture
def page() -> Iterator[Page]:
    page = Page(max_waiting_messages=100_000)
    yield page
    page.close()


@pytest.mark.usefixtures("no_time")
@pytest.mark.parametrize(
    ("kind", "unit"),
    [
        ("pings", frame(framing.PING)),
        ("empty fragments", frame(0, fin=False)),
        ("garbage", frame(framing.TEXT, b"?")),
        ("pongs", frame(framing.PONG, b"pong")),
        ("messages", frame(framing.TEXT, b'{"data":1}')),
    ],
)
def test_of_many_short_frames_a_few_are_read_in_each_round(page: Page, kind: str, unit: bytes) -> None:
    times = 20_000 // len(unit)
    opening = frame(framing.TEXT, b'{"data":"', fin=False) if kind == "empty fragments" else b""
    end = frame(0, b'end"}') if opening else frame(framing.TEXT, b'{"data":"end"}')
    page.send(opening + unit * times + end)
    page.until(lambda: page.heard and page.heard[-1] == "end")
    rounds = [number for number, _ in page.socket.pieces]
    assert max(size for _, size in page.socket.pieces) <= 512 + len(unit)
    assert max(map(rounds.count, rounds)) <= 2, "one when its turn came, one when it asked for the first time"
    if kind == "pings":
        page.until(lambda: page.answer.count(b"\x8a\0") == times)
    if kind == "garbage":
        page.until(lambda: page.answer.count(b'"code":"json"') == times)


@pytest.mark.usefixtures("no_time")
def test_several_share_the_rounds() -> None:
    pages = [Page() for _ in range(5)]
    for page in pages:
        page.far.send(frame(framing.PING) * 1000 + frame(framing.TEXT, b'{"data":"end"}'))
    for page in pages:
        page.until(lambda page=page: page.heard == ["end"])
    firsts = [{number for number, _ in page.socket.pieces[2:-2]} for page in pages]
    assert max(map(min, firsts)) < min(map(max, firsts)), "one was read to its end before another one's beginning"
    for page in pages:
        page.close()


def test_what_is_small_is_read_at_once(page: Page) -> None:
    page.socket.received(frame(framing.TEXT, b'{"data":1}') * 20)
    page.socket.received(frame(framing.TEXT, json.dumps({"data": "x" * 8000}).encode()))
    assert not page.socket.is_reading
    assert len(page.socket.pieces) == 2


def test_a_long_frame_is_read_as_it_comes_and_no_frame_behind_it_in_the_same_piece(page: Page) -> None:
    long = frame(framing.TEXT, json.dumps({"data": "x" * 300_000}).encode())
    page.send(long + frame(framing.PING) * 500 + long + frame(framing.TEXT, b'{"data":"end"}'))
    page.until(lambda: page.heard and page.heard[-1] == "end")
    assert [len(data) for data in page.heard] == [300_000, 300_000, 3]
    assert len(page.socket.pieces) < 60


@pytest.mark.usefixtures("no_time")
def test_a_large_message_is_understood_in_pieces_and_in_its_order(page: Page) -> None:
    large = [[]] * 100_000
    page.send(frame(framing.TEXT, json.dumps({"data": large}).encode()))
    page.send(frame(framing.TEXT, b'{"data":"behind it"}'))
    before = gevent.get_hub().loop.iteration
    page.until(lambda: len(page.heard) == 2)
    assert page.heard == [large, "behind it"]
    assert gevent.get_hub().loop.iteration - before > 20


def test_a_message_that_is_never_finished_ends_its_connection_in_time() -> None:
    page = Page(message_seconds=0.5)
    page.send(frame(framing.TEXT, b'{"data":', fin=False))
    page.until(lambda: b"message_seconds=0.5" in page.answer)
    assert (1008).to_bytes(2, "big") + b"a message took longer than Limits.message_seconds=0.5" in page.answer
    page.close()


def test_pings_and_empty_fragments_do_not_prolong_a_message() -> None:
    page = Page(message_seconds=1)
    page.send(frame(framing.TEXT, b'{"data":', fin=False))
    with gevent.Timeout(SECONDS):
        while b"message_seconds" not in page.read():
            page.far.send(frame(framing.PING) + frame(0, fin=False))
            gevent.sleep(0.05)
    page.close()


def test_many_messages_one_behind_the_other_may_take_as_long_as_they_like() -> None:
    """Each read ends in the middle of a message, but of another one each time."""
    page = Page(message_seconds=0.5)
    message = frame(framing.TEXT, b'{"data":1}')
    page.send(message[:5])
    for _ in range(30):
        gevent.sleep(0.05)
        page.send(message[5:] + message[:5])
    page.send(message[5:])
    page.until(lambda: len(page.heard) == 31)
    assert not page.socket.finishing
    page.close()


def test_fragments_are_kept_at_the_price_of_their_payload(page: Page) -> None:
    page.send(frame(framing.TEXT, b'{"data":"', fin=False))
    page.send(frame(0, b"x", fin=False) * 100_000)
    page.until(lambda: page.socket.parts is not None and len(page.socket.parts) == 100_009)
    assert isinstance(page.socket.parts, bytearray)
    assert page.socket.parts.__sizeof__() <= 2 * 100_009
    page.send(frame(0, b'"}'))
    page.until(lambda: page.heard == ["x" * 100_000])


def test_65_536_fragments_of_64_bytes_are_one_message() -> None:
    page = Page(max_message_bytes=5 * 2**20)
    page.send(frame(framing.TEXT, b'{"data":"', fin=False) + frame(0, b"x" * 64, fin=False) * 65_536)
    page.send(frame(0, b'"}'))
    page.until(lambda: page.heard == ["x" * 64 * 65_536])
    page.close()


def test_who_ends_while_its_message_is_being_understood_leaves_nothing(page: Page) -> None:
    page.send(frame(framing.TEXT, json.dumps({"data": [[]] * 200_000}).encode()) * 2)
    page.far.close()
    with gevent.Timeout(SECONDS):
        while not page.socket.closed:
            gevent.sleep(0.001)
    assert page.socket.fd < 0
