"""What it costs to be many workers: `delivery`, `publish`, `mirror`, `memory`, `resume`, each beside its goal.

All processes share all cores, as they would on one host. A figure is that of the best of some rounds: what else the machine
does can only make it worse.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.clients import SocketIO, WebSocket
from benchmarks.measures import MILLI, WAYS, WEBSOCKET, Bench, Row
from benchmarks.resume import resume
from benchmarks.servers import MANAGED, ROOT, SHARING, SOCKETIO, running
from tests.redis_server import RedisServer

MEMORY, SQLITE, REDIS = "memory", "SQLite", "Redis"
_PAUSE_SECONDS = 0.004
_WARM = 20
_MOMENT = re.compile(rb"\d+\.\d{7}")
_CATCH_UP = 9000
"""Entries that a worker finds when it wakes: not more than the window holds."""


class Places:
    """A Redis for this run, and URLs of stores in which nothing is yet."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.redis = RedisServer(folder / "redis")
        self._made = 0

    def url(self, kind: str) -> str:
        self._made += 1
        if kind == MEMORY:
            return "memory:"
        if kind == SQLITE:
            return f"sqlite:///{self._folder}/{self._made}.db"
        self.redis.client().flushall()
        return self.redis.url

    def occupied_bytes(self, url: str) -> int:
        """Return what a store's log takes."""
        if url.startswith("redis"):
            return int(self.redis.client().memory_usage("cometware:{comet}:log", samples=0))
        return sum(path.stat().st_size for path in self._folder.glob(url.rpartition("/")[2] + "*") if path.is_file())


@contextmanager
def places() -> Iterator[Places]:
    """Let all processes of a measure use all cores, and give them stores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    with tempfile.TemporaryDirectory() as folder:
        found = Places(Path(folder))
        try:
            yield found
        finally:
            found.redis.stop()
            os.sched_setaffinity(0, before)


# Published here, delivered there


def delivery(bench: Bench) -> list[Row]:
    """From a handler's `publish` in one worker to the socket of a client of another; memory: of the same worker."""
    rounds, count = min(3, bench.effort.rounds), bench.effort.delivered
    best: dict[str, tuple[float, float]] = {}
    with places() as found:
        for _ in range(rounds):
            for name, make in _pairs(found, bench.effort.peers).items():
                with bench.spared("published → delivered", name):
                    with make() as (speaker, listener):
                        times = sorted(_delay(speaker, listener) for _ in range(_WARM + count))
                    p50, p99 = times[len(times) // 2], times[len(times) * 99 // 100]
                    known = best.get(name, (p50, p99))
                    best[name] = min(p50, known[0]), min(p99, known[1])
    base = best[MEMORY]
    goal = f"; goal: less than {MANAGED}"
    return [
        Row(f"published → delivered, {what}", name, times[which] * MILLI, "ms", times[which] / base[which], note)
        for which, what in enumerate(("p50", "p99"))
        for name, times in best.items()
        for note in ["the same worker" if name == MEMORY else "another worker" + goal * (name in (SQLITE, REDIS))]
    ]


def _pairs(found: Places, peers: bool) -> dict[str, Callable[[], Any]]:
    """Name the kinds of two workers, with how to have a client of each."""

    @contextmanager
    def pair(name: str, kind: type[WebSocket], path: str, url: str, count: int) -> Iterator[tuple[WebSocket, WebSocket]]:
        with ExitStack() as stack:
            servers = [stack.enter_context(running(name, os.sched_getaffinity(0), url)) for _ in range(count)]
            clients = [kind(server.port, path) for server in (servers[0], servers[-1])]
            for client in clients:
                client.sock.setblocking(True)
                stack.callback(client.close)
            yield clients[0], clients[1]

    path = WAYS[SOCKETIO][WEBSOCKET].path
    ours = {
        kind: lambda kind=kind: pair(SHARING, WebSocket, "/comet", found.url(kind), 1 if kind == MEMORY else 2)
        for kind in (MEMORY, SQLITE, REDIS)
    }
    return ours | ({MANAGED: lambda: pair(MANAGED, SocketIO, path, found.url(REDIS), 2)} if peers else {})


def _delay(speaker: WebSocket, listener: WebSocket) -> float:
    time.sleep(_PAUSE_SECONDS)
    speaker.send([b"?"])
    data = b""
    while (stamp := _MOMENT.search(data)) is None:
        data += listener.sock.recv(4096)
    seconds = time.monotonic() - float(stamp[0])
    speaker.sock.recv(4096)
    return seconds


# What a store takes, and gives back


def publish(bench: Bench) -> list[Row]:
    """Publishes a second, of a process whose greenlets each wait for `publish`; the reference is python-socketio's manager."""
    effort, rows = bench.effort, []
    with places() as found:
        for greenlets in (1, 100):
            base = 0.0
            kinds = {MANAGED: "emit"} if effort.peers else {}
            for name, role in {**kinds, REDIS: "publish", SQLITE: "publish", MEMORY: "publish"}.items():
                url = found.url(REDIS if name == MANAGED else name)
                count = effort.published if greenlets > 1 else effort.published // 3
                value = max(_told(role, url, str(greenlets), str(count), "3"))
                base = base or value
                least = 0.5 if greenlets == 1 else 1
                note = "" if name in (MANAGED, MEMORY) else f"goal ≥ {least:g} ×; it has an order and a place"
                rows.append(Row(f"publishes, greenlets: {greenlets}", name, value, "/s", value / base, note))
    return rows


def mirror(bench: Bench) -> list[Row]:
    """Entries a second that a worker takes in: all that there are when it starts, and what came while it stood still."""
    found_rates: dict[str, list[tuple[float, float]]] = {}
    with places() as found:
        for kind in (SQLITE, REDIS):
            for _ in range(min(3, bench.effort.rounds)):
                found_rates.setdefault(kind, []).append(_mirrored(found.url(kind), bench.effort.mirrored))
    best = {kind: [max(rates) for rates in zip(*runs, strict=True)] for kind, runs in found_rates.items()}
    return [
        Row(f"mirrored, {what}", kind, rates[which], "entries/s", rates[which] / best[SQLITE][which], "goal ≥ 50,000/s")
        for which, what in enumerate(("at the start", "catching up"))
        for kind, rates in best.items()
    ]


def _mirrored(url: str, count: int) -> tuple[float, float]:
    fill(url, count)
    with _role("mirror", url) as process:
        at_start, _ = _line(process)
        before = count
        behind = min(count, _CATCH_UP)
        process.send_signal(signal.SIGSTOP)
        try:
            fill(url, behind)
        finally:
            began = time.monotonic()
            process.send_signal(signal.SIGCONT)
        assert process.stdin is not None
        process.stdin.write(f"{before + behind}\n")
        process.stdin.flush()
        return at_start, behind / (_line(process) - began)


def memory(bench: Bench) -> list[Row]:
    """What 1,000 entries of 100 bytes take, measured with as many as the window holds."""
    count, rows = bench.effort.mirrored, []
    with places() as found:
        (each,) = _told("keep", str(count))
        rows.append(Row("1,000 entries of 100 bytes, in a worker", MEMORY, each * 1000, "bytes", 1, "goal ≤ 1,000,000"))
        for kind in (SQLITE, REDIS):
            url = found.url(kind)
            fill(url, count)
            with _role("mirror", url) as process:
                _, mirrored = _line(process)
            rows.append(Row("the same, its mirror", kind, mirrored * 1000, "bytes", mirrored / each, "goal ≤ 1,000,000"))
            stored = found.occupied_bytes(url) / count
            rows.append(Row("the same, in the store", kind, stored * 1000, "bytes", stored / each, "goal ≤ 500,000"))
    return rows


def fill(url: str, count: int) -> None:
    """Publish so many entries."""
    _told("fill", url, str(count))


@contextmanager
def _role(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "benchmarks.roles", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def _line(process: subprocess.Popen[str]) -> Any:
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


def _told(*arguments: str) -> list[float]:
    with _role(*arguments) as process:
        assert process.stdout is not None
        return [json.loads(line) for line in process.stdout]


# A worker dies


def resumed(bench: Bench) -> list[Row]:
    """A worker is killed; all its clients come to the other one at once. From the death until the last has all it missed."""
    rows, count = [], bench.effort.resumed
    with places() as found:
        for kind in (SQLITE, REDIS):
            run = resume(found.url(kind), count, found.redis.client())
            measure = f"{count:,} clients resumed after kill -9"
            note = f"{run.cpu / count * 1e6:.0f} µs of CPU each; goal ≤ 5 s, nothing lost"
            base = rows[0].value if rows else run.seconds
            rows.append(Row(measure, kind, run.seconds, "s", run.seconds / base, note, run.busy, run.faults))
            if kind == REDIS:
                commands = run.commands / count
                rows.append(Row(f"{measure}: commands", kind, commands, "each", commands / 2, "goal ≤ 2, which is 1 ×"))
    return rows


SHARED: Mapping[str, Callable[[Bench], list[Row]]] = {
    "delivery": delivery,
    "publish": publish,
    "mirror": mirror,
    "memory": memory,
    "resume": resumed,
}
