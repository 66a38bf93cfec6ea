"""`python -m benchmarks.message_prices`: what a stranger's frames and messages cost the event loop, and each byte of them.

Rule: beyond a fixed price for each frame and message nothing costs over 1 µs for each byte. The thread's own CPU is counted,
with all that becomes of the input (handlers that do nothing, answers, acknowledgements); the least of some runs, since a busy
machine only adds. `docs/security.md` has the prices.
"""

from __future__ import annotations

import socket
import time
from _socket import socket as RawSocket
from collections.abc import Callable, Mapping
from typing import NamedTuple

import gevent

from benchmarks.attacks import array, frame
from cometware import Channel, Limits
from cometware.core.events import Received
from cometware.dialects import engineio, sockjs
from cometware.dialects.base import Shape
from cometware.dialects.shapes import NATIVE_WEBSOCKET, PLAIN_WEBSOCKET, SOCKJS_WEBSOCKET
from cometware.errors import BadFrame
from cometware.roster.base import Record, State
from cometware.transports.turns import in_turns
from cometware.transports.upload import understand
from cometware.transports.websocket import WebSocket
from cometware.transports.worker import Worker

RUNS = 3
LARGE = 900_000
MOST_MICROSECONDS = 1.0
"""For each byte."""


class Price(NamedTuple):
    """So many units, each of `size` bytes, cost so much."""

    seconds: float
    units: int
    size: int


def by_websocket(shape: Shape, unit: bytes, units: int, before: bytes = b"") -> float:
    """Return the seconds of CPU from the first byte until everything has been handled."""
    channel = Channel(limits=Limits(rates=None))
    channel.on_message(lambda client, data: None)
    worker = Worker(channel)
    near, far = socket.socketpair()
    near.setblocking(False)
    far.settimeout(0)
    record = Record("stranger", None, None, 0)
    record.state = State.OPEN
    connection = WebSocket(worker, RawSocket(fileno=near.detach()), shape, record)
    connection.park()
    connection.position = worker.log.head
    worker.clients.attach(connection)
    rest, began = memoryview(before + unit * units), time.thread_time()
    spent = 0.0
    while rest or connection.rest or connection.is_reading or record.inbox or (connection.reader and not before):
        try:
            sent = far.send(rest[:65536]) if rest else 0
            rest = rest[sent:]
        except BlockingIOError:
            pass
        spent += time.thread_time() - began
        _read(far)
        began = time.thread_time()
        gevent.idle()
    spent += time.thread_time() - began
    connection.lost("done")
    worker.close()
    far.close()
    return spent


def _read(far: socket.socket) -> None:
    try:
        while far.recv(1 << 20):
            pass
    except OSError:
        pass


def by_post(body: bytes, content_type: str) -> float:
    def read() -> None:
        try:
            understand(body, content_type, 1000, native=True)
        except BadFrame:
            pass

    return _computed(read)


def _computed(call: Callable[[], object]) -> float:
    began = time.thread_time()
    gevent.spawn(call).get()
    return time.thread_time() - began


def by_engine(body: bytes, version: int) -> float:
    def read() -> None:
        try:
            list(engineio.Payload(body, version))
        except BadFrame:
            pass

    return _computed(read)


def by_sockjs(body: bytes) -> float:
    def read() -> list[Received]:
        return in_turns(len(body), sockjs.received, body, 1_000_000)

    return _computed(read)


def message(data: bytes) -> bytes:
    return frame(1, b'{"data":%b}' % data)


SHORT: Mapping[str, Callable[[], Price]] = {
    "a ping": lambda: Price(by_websocket(NATIVE_WEBSOCKET, frame(9), 5000), 5000, 0),
    "an empty fragment": lambda: Price(
        by_websocket(NATIVE_WEBSOCKET, frame(0, fin=False), 5000, frame(1, fin=False)), 5000, 0
    ),
    "a frame of garbage, and its error": lambda: Price(by_websocket(NATIVE_WEBSOCKET, frame(1, b"?"), 5000), 5000, 1),
    "a message of the plain dialect": lambda: Price(by_websocket(PLAIN_WEBSOCKET, frame(1, b"E"), 5000), 5000, 1),
    "a message of the native dialect": lambda: Price(by_websocket(NATIVE_WEBSOCKET, message(b"1"), 5000), 5000, 1),
    "a message in an array": lambda: Price(
        by_websocket(NATIVE_WEBSOCKET, frame(1, array(b'{"data":1}', 2200)), 50), 50 * 200, 11
    ),
    "a packet of an Engine.IO body": lambda: Price(by_engine(b"\x1e".join([b"3"] * 10_000), 4), 10_000, 2),
    "a packet of an Engine.IO 3 body": lambda: Price(by_engine(b"1:3" * 10_000, 3), 10_000, 3),
}
LONG: Mapping[str, Callable[[], Price]] = {
    "text": lambda: _long_frame(b'"%b"' % (b"x" * LARGE)),
    "text beyond ASCII": lambda: _long_frame(b'"%b"' % ("é".encode() * (LARGE // 2))),
    "escapes": lambda: _long_frame(b'"%b"' % (rb"\u00e9" * (LARGE // 6))),
    "numbers": lambda: _long_frame(array(b"1", LARGE)),
    "fractions": lambda: _long_frame(array(b"1.5", LARGE)),
    "short texts": lambda: _long_frame(array(b'"a"', LARGE)),
    "empty arrays": lambda: _long_frame(array(b"[]", LARGE)),
    "small objects": lambda: _long_frame(array(b'{"a":1}', LARGE)),
    "bytes": lambda: _long_frame(array(b'{"$bytes":""}', LARGE)),
    "too many messages": lambda: Price(by_websocket(NATIVE_WEBSOCKET, frame(1, array(b'{"data":1}', LARGE)), 1), 1, LARGE),
    "no JSON at all": lambda: Price(by_websocket(NATIVE_WEBSOCKET, frame(1, b"[" * LARGE), 1), 1, LARGE),
    "a POST of too many messages": lambda: Price(by_post(array(b'{"data":1}', LARGE), "application/json"), 1, LARGE),
    "a POST of a form": lambda: Price(by_post(b"d=" + b"%5B" * (LARGE // 3), "application/x-www-form-urlencoded"), 1, LARGE),
    "a SockJS array": lambda: Price(by_sockjs(array(b'"a"', LARGE)), 1, LARGE),
    "an Engine.IO body": lambda: Price(by_engine(b"4" + "😀".encode() * (LARGE // 4), 4), 1, LARGE),
    "an Engine.IO 3 body": lambda: Price(by_engine(b"%d:4" % (LARGE // 2 + 1) + "😀".encode() * (LARGE // 4), 3), 1, LARGE),
    "a text over SockJS's WebSocket": lambda: Price(
        by_websocket(SOCKJS_WEBSOCKET, frame(1, b'["%b"]' % (b"x" * LARGE)), 1), 1, LARGE
    ),
}


def _long_frame(data: bytes) -> Price:
    return Price(by_websocket(NATIVE_WEBSOCKET, message(data), 1), 1, len(data))


def main() -> None:
    """Tell the fixed prices, and those of a byte."""
    print("| for each | µs |\n|---|---|")
    for name, measure in SHORT.items():
        seconds, units, _ = min(measure() for _ in range(RUNS))
        print(f"| {name} | {1e6 * seconds / units:.1f} |", flush=True)
    print("\n| for each byte of | µs |\n|---|---|")
    for name, measure in LONG.items():
        seconds, _, size = min(measure() for _ in range(RUNS))
        price = 1e6 * seconds / size
        print(f"| {name} | {price:.2f}{'' if price <= MOST_MICROSECONDS else ' !'} |", flush=True)


if __name__ == "__main__":
    main()
