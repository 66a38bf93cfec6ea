"""`python -m benchmarks.attacks [ATTACK…]`: how long others wait while strangers send what they can.

Rule: four probes ask each 20 ms, each as a client that does nothing wrong; the figure is how long each answer took, also of a
probe that was answered late or never. The strangers are a process of their own. An attack is what each of its connections
sends: once, and then again and again; add yours to `ATTACKS`. The goal: 50 ms at p99 and 250 ms at worst.
"""

from __future__ import annotations

import json
import os
import re
import selectors
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any, NamedTuple

import click

from benchmarks.servers import ROOT, STOP_SECONDS, port_of

PERIOD_SECONDS = 0.02
PATIENCE_SECONDS = 60.0
GOAL_MILLISECONDS = (50.0, 250.0)
"""At p99, and at worst."""
SERVERS: Mapping[str, Sequence[str]] = {
    "cometware": ("-m", "cometware", "serve", "benchmarks.rounds:app", "--bind", "127.0.0.1:0"),
    "workers": ("-m", "cometware", "serve", "benchmarks.rounds:app", "--workers", "2", "--bind", "127.0.0.1:0"),
    "gunicorn": (
        "-m",
        "gunicorn",
        "-k",
        "gevent",
        "--log-level",
        "error",
        "--bind",
        "127.0.0.1:{port}",
        "benchmarks.rounds:app",
    ),
}


# What strangers send


class Attack(NamedTuple):
    """`opening` once, then `unit` for as long as it lasts; `rate` bounds the bytes in a second of all connections."""

    unit: bytes
    opening: bytes = b""
    rate: float = 0.0


_VIEW = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
_POST = b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Type: %b\r\n"
_CHUNKED = _POST + b"Transfer-Encoding: chunked\r\n\r\n"
UPGRADE = (
    b"GET /comet HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n\r\n"
)
"""The opening of an attack that speaks WebSocket."""


def post(path: bytes, body: bytes, content_type: bytes = b"text/plain") -> bytes:
    return (_POST + b"Content-Length: %d\r\n\r\n%b") % (path, content_type, len(body), body)


NATIVE_UPGRADE = UPGRADE.replace(b"/comet", b"/comet?v=1")


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True) -> bytes:
    """Write a frame as a client does, with a mask that changes nothing."""
    first, size = 0x80 * fin | opcode, len(payload)
    if size < 126:
        head = bytes([first, 0x80 | size])
    elif size < 65536:
        head = bytes([first, 0xFE]) + size.to_bytes(2, "big")
    else:
        head = bytes([first, 0xFF]) + size.to_bytes(8, "big")
    return head + bytes(4) + payload


def array(item: bytes, size: int) -> bytes:
    """Write a JSON array of about so many bytes."""
    return b"[%b]" % b",".join([item] * (size // (len(item) + 1)))


ATTACKS: Mapping[str, Attack] = {
    "nothing": Attack(b""),
    "pipelined views": Attack(_VIEW * 500, rate=500_000),
    "pipelined polls": Attack(b"GET /comet?transport=poll&last=1 HTTP/1.1\r\nHost: a\r\n\r\n" * 200),
    "pipelined posts": Attack(post(b"/comet", b"hello") * 200),
    "a head of many fields": Attack(b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a:\r\n" * 95 + b"\r\n"),
    "a query of many names": Attack(
        b"GET /comet?transport=poll&wait=0&" + b"&".join([b"a"] * 3900) + b" HTTP/1.1\r\nHost: a\r\n\r\n"
    ),
    "a post in chunks of one byte": Attack(b"1\r\nx\r\n" * 10_000, _CHUNKED % (b"/comet", b"text/plain"), rate=3_000_000),
    "an upload in chunks of one byte": Attack(b"1\r\nx\r\n" * 10_000, _CHUNKED % (b"/", b"text/plain"), rate=3_000_000),
    "an upload without an end": Attack(b"10000\r\n" + b"x" * 65536 + b"\r\n", _CHUNKED % (b"/", b"text/plain")),
    "bad requests": Attack(b"GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
    "half a head": Attack(b"x", b"GET / HTTP/1.1\r\nX: ", rate=1000),
    "posts of many messages": Attack(post(b"/comet", array(b'{"data":1}', 990_000), b"application/json")),
    "posts of deep JSON": Attack(post(b"/comet", b'{"data":%b}' % array(b"[]", 990_000), b"application/json")),
    "posts of tagged JSON": Attack(post(b"/comet", b'{"data":%b}' % array(b'{"$bytes":""}', 990_000), b"application/json")),
    "posts of a form": Attack(post(b"/comet?v=1", b"d=" + b"%5B" * 330_000, b"application/x-www-form-urlencoded")),
    "pings": Attack(frame(9) * 10_000, UPGRADE),
    "empty fragments": Attack(frame(0, fin=False) * 10_000, UPGRADE + frame(1, fin=False)),
    "fragments of one byte": Attack(frame(0, b"x", fin=False) * 10_000, UPGRADE + frame(1, fin=False)),
    "garbage": Attack(frame(1, b"?") * 9_000, NATIVE_UPGRADE),
    "echoes": Attack(frame(1, b"E") * 1_000, UPGRADE),
    "large echoes": Attack(frame(1, b"E" * 250_000), UPGRADE),
    "arrays of messages": Attack(frame(1, array(b'{"data":"E"}', 13_000)), NATIVE_UPGRADE),
    "arrays of too many messages": Attack(frame(1, array(b'{"data":"E"}', 990_000)), NATIVE_UPGRADE),
    "deep JSON": Attack(frame(1, b'{"data":%b}' % array(b"[]", 990_000)), NATIVE_UPGRADE),
    "messages whose handler fails": Attack(frame(1, b'{"data":1}') * 1_000, NATIVE_UPGRADE),
}


def attack(name: str, port: int, connections: int) -> None:
    """Send it by so many connections until this process is ended; whoever is cut comes again."""
    attack = ATTACKS[name]
    selector = selectors.DefaultSelector()
    unsent: dict[socket.socket, memoryview] = {}

    def come() -> None:
        try:
            sock = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
        except OSError:
            return
        sock.setblocking(False)
        unsent[sock] = memoryview(attack.opening)
        selector.register(sock, selectors.EVENT_READ | selectors.EVENT_WRITE)

    def serve(sock: socket.socket, events: int) -> int:
        if events & selectors.EVENT_READ and not sock.recv(1 << 20):
            raise ConnectionError
        if not events & selectors.EVENT_WRITE:
            return 0
        unsent[sock] = unsent[sock] or memoryview(attack.unit)
        sent = sock.send(unsent[sock])
        unsent[sock] = unsent[sock][sent:]
        return sent

    if not attack.unit:
        time.sleep(3600)
    total, began = 0, time.monotonic()
    while True:
        while len(unsent) < connections:
            come()
        for key, events in selector.select(1):
            sock: Any = key.fileobj
            try:
                total += serve(sock, events)
            except BlockingIOError:
                pass
            except OSError:
                selector.unregister(sock)
                sock.close()
                del unsent[sock]
        if attack.rate and (ahead := total / attack.rate - (time.monotonic() - began)) > 0:
            time.sleep(ahead)


# Who does nothing wrong

_ADDRESS = "127.0.0.2"
"""That of the probes: rates are for each address."""


class Wire:
    """A blocking connection that reads HTTP responses."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS, (_ADDRESS, 0))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._data = b""

    def until(self, end: bytes) -> bytes:
        while end not in self._data:
            more = self.sock.recv(65536)
            if not more:
                raise ConnectionError("closed")
            self._data += more
        found, _, self._data = self._data.partition(end)
        return found + end

    def ask(self, target: str) -> str:
        """Send a GET and return its whole response."""
        self.send(target)
        return self.response()

    def send(self, target: str) -> None:
        self.sock.sendall(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())

    def response(self) -> str:
        head = self.until(b"\r\n\r\n").decode("latin-1")
        length = re.search(r"(?i)\r\ncontent-length: *(\d+)", head)
        size = int(length[1]) if length else 0
        while len(self._data) < size:
            self._data += self.sock.recv(65536)
        body, self._data = self._data[:size], self._data[size:]
        return head + body.decode()


def view(port: int) -> Callable[[], None]:
    """A view of the application, by a kept connection."""
    wire = Wire(port)
    return lambda: _expect(wire.ask("/"), "hello")


def connection(port: int) -> Callable[[], None]:
    """The same by a new connection each time."""

    def ask() -> None:
        wire = Wire(port)
        _expect(wire.ask("/"), "hello")
        wire.sock.close()

    return ask


def _expect(answer: str, part: str) -> None:
    if part not in answer:
        raise ConnectionError(f"expected {part!r}, got {answer[:200]!r}")


def _websocket(port: int) -> Wire:
    wire = Wire(port)
    wire.sock.sendall(UPGRADE)
    _expect(wire.until(b"\r\n\r\n").decode("latin-1"), " 101 ")
    return wire


def _frame(text: bytes) -> bytes:
    return bytes([0x81, 0x80 + len(text), 0, 0, 0, 0]) + text


def echo(port: int) -> Callable[[], None]:
    """A message by a WebSocket, and its echo to it alone."""
    wire = _websocket(port)

    def ask() -> None:
        text = b"E%d;" % time.monotonic_ns()
        wire.sock.sendall(_frame(text))
        wire.until(text)

    return ask


def delivery(port: int) -> Callable[[], None]:
    """A message by a WebSocket that a held poll of somebody else hears."""
    sender, poller = _websocket(port), Wire(port)
    target = "/comet?transport=poll&v=1"

    def follow(answer: str) -> str:
        return "/comet" + re.findall(r"<[^>?]*(\?[^>]*)>", answer)[0]

    target = follow(poller.ask(target))

    def ask() -> None:
        nonlocal target, poller
        text = b"B%d;" % time.monotonic_ns()
        poller.send(target)
        sender.sock.sendall(_frame(text))
        while True:
            answer = poller.response()
            target = follow(answer)
            if text.decode() in answer:
                break
            poller.send(target)
        sender.until(text)

    return ask


PROBES: Mapping[str, Callable[[int], Callable[[], None]]] = {
    "view": view,
    "new connection": connection,
    "echo": echo,
    "held poll": delivery,
}


class Waits(NamedTuple):
    """What one probe met: seconds of each answer, and how often it was cut off."""

    seconds: list[float]
    cut: list[str]


def probe(name: str, port: int, stop: threading.Event, waits: Waits) -> None:
    """Ask each 20 ms. An answer that comes late is one wait, and one for each time that it kept us from asking."""
    ask = None
    while not stop.is_set():
        began = time.monotonic()
        try:
            ask = ask or PROBES[name](port)
            ask()
        except OSError as error:
            waits.cut.append(repr(error))
            ask = None
        waited = time.monotonic() - began
        while waited > 0:
            waits.seconds.append(waited)
            waited -= PERIOD_SECONDS
        stop.wait(max(0.0, began + PERIOD_SECONDS - time.monotonic()))


# A run


@contextmanager
def serving(name: str) -> Iterator[int]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = int(sock.getsockname()[1])
    command = [sys.executable, *(argument.format(port=port).replace(":0", f":{port}") for argument in SERVERS[name])]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, cwd=ROOT, stdin=quiet, stdout=subprocess.PIPE, stderr=quiet, text=True) as process:
        try:
            if name != "gunicorn":
                port_of(process)
            for _ in range(100):
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    time.sleep(0.1)
            yield port
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def measure(name: str, port: int, connections: int, seconds: float) -> dict[str, Waits]:
    """Let strangers attack for so long, and return what each probe met meanwhile."""
    found = {probe: Waits([], []) for probe in PROBES}
    stop = threading.Event()
    strangers = get_context("spawn").Process(target=attack, args=(name, port, connections), daemon=True)
    threads = [threading.Thread(target=probe, args=(one, port, stop, found[one]), daemon=True) for one in PROBES]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    strangers.start()
    try:
        time.sleep(seconds)
    finally:
        stop.set()
        strangers.kill()
        strangers.join()
        for thread in threads:
            thread.join(PATIENCE_SECONDS)
    return found


def shown(waits: Waits) -> str:
    ordered = sorted(waits.seconds) or [float("nan")]
    p99, worst = 1000 * ordered[int(0.99 * (len(ordered) - 1))], 1000 * ordered[-1]
    missed = "" if p99 <= GOAL_MILLISECONDS[0] and worst <= GOAL_MILLISECONDS[1] else " !"
    cut = f", cut {len(waits.cut)} ×" if waits.cut else ""
    return f"{p99:.0f} / {worst:.0f}{missed}{cut}"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", nargs=-1, metavar="[ATTACK]…")
@click.option("--seconds", default=60.0, show_default=True, help="How long each attack lasts.")
@click.option("--connections", default=(1, 10), show_default=True, multiple=True, help="By how many connections it comes.")
@click.option("--server", default="cometware", show_default=True, type=click.Choice(list(SERVERS)))
def main(names: Sequence[str], seconds: float, connections: Sequence[int], server: str) -> None:
    """Attack a server of our own on loopback, and tell how long the probes waited, in ms at p99 / at worst.

    The last column is what the server's loop computed between two looks at its sockets: it is right on a busy machine, too.
    (With several workers, one of them tells it.)
    """
    unknown = [name for name in names if name not in ATTACKS]
    if unknown:
        raise click.BadParameter(f"{unknown}: expected some of {', '.join(ATTACKS)}")
    print(f"{server}, {seconds:g} s each, {os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f} before the run\n")
    print(
        f"| from strangers | connections | {' | '.join(PROBES)} | CPU of a round |\n|{'---|' * (len(PROBES) + 3)}", flush=True
    )
    for name in names or ATTACKS:
        for count in connections:
            with serving(server) as port:
                Wire(port).ask("/rounds")
                found = measure(name, port, count, seconds)
                rounds = json.loads(Wire(port).ask("/rounds").partition("\r\n\r\n")[2])
            cells = [name, str(count), *map(shown, found.values()), f"{rounds['p99']:.0f} / {rounds['worst']:.0f}"]
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
