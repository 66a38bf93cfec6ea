"""Workers that are killed, a store that is restarted, a proxy that sends each request anywhere: and nobody may miss anything.

`make chaos` runs it for ten minutes, `make test` for a short while. Everything is real: processes, signals, HAProxy, stores.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cometware import Channel, LogUnavailable
from tests.cluster.survivors import Report, Survivors
from tests.cluster.workers import haproxy
from tests.live.server import ROOT
from tests.proxies.foreground import free_port, listening
from tests.redis_server import RedisServer

LIMITS = {
    "lease_seconds": 2, "heartbeat_seconds": 5, "pong_seconds": 5, "poll_seconds": 5, "reauthorise_seconds": 3600,
    "rates": None,
}  # fmt: skip
STOPPED_SECONDS = 3.0
STRUCK_SECONDS = 8.0
"""How long before its worker is struck a message may have been handled without that being known: the store was away."""
END_SECONDS = 120.0
PATIENCE = 10
"""How many times longer it may last until enough has happened: a machine may be busy."""
MOST_BEHIND = 2000
"""So many entries may the slowest client be behind, far fewer than the channel remembers: the publisher waits for it."""


class Store(Protocol):
    """Where the channel lives; `restart` is None if there is nothing to restart."""

    url: str

    @property
    def restart(self) -> Callable[[], None] | None: ...


@dataclass
class SqliteFile:
    url: str
    restart: Callable[[], None] | None = None


class AppendOnlyRedis:
    """A Redis that has on its disk what it has said yes to."""

    def __init__(self, folder: Path) -> None:
        self._server = RedisServer(folder, "--appendonly", "yes", "--appendfsync", "always")
        self.url = self._server.url
        self.close = self._server.stop

    def restart(self) -> None:
        self._server.kill()
        self._server.start()


class Worker:
    """One process that is started again whenever it is killed, at the same address."""

    def __init__(self, environ: dict[str, str], errors: Path, application: str = "tests.live.app:app") -> None:
        self.port = free_port()
        self._application = application
        self._environ = os.environ | environ
        self._errors = errors.open("ab")
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "cometware", "serve", self._application, "--bind", f"127.0.0.1:{self.port}"]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=self._environ, stdin=subprocess.DEVNULL, stdout=self._errors, stderr=self._errors
        )

    @property
    def listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def await_start(self, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not self.listens:
            assert time.monotonic() < deadline, "a worker does not start"
            time.sleep(0.05)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait(60)

    def close(self) -> None:
        self.kill()
        self._errors.close()


class Publisher(threading.Thread):
    """Publishes numbers, each once, whatever happens to the store; `may` tells whether the next one may go."""

    def __init__(self, url: str, rate: float, report: Report, may: Callable[[], bool] = lambda: True) -> None:
        super().__init__(daemon=True)
        self._channel = Channel(url)
        self._pause = 1 / rate
        self._report = report
        self._may = may
        self.ended = threading.Event()

    def run(self) -> None:
        due = time.monotonic()
        while not self.ended.is_set():
            if not self._may():
                time.sleep(0.005)
                continue
            number = self._report.published + 1
            while True:
                try:
                    self._channel.publish(number, once=f"number {number}")
                    break
                except LogUnavailable:
                    self._report.unavailable += 1
                    time.sleep(0.1)
            self._report.published = number
            due = max(due + self._pause, time.monotonic() - 1)
            time.sleep(max(0, due - time.monotonic()))


def chaos(
    store: Store,
    seconds: float,
    *,
    enough: Callable[[Report], bool] = lambda report: True,
    workers: int = 4,
    clients: int = 100,
    rate: float = 50,
    seed: int = 1,
) -> Report:
    """Make trouble for so long, and until `enough` has happened, if that comes at all; then everybody must have heard
    everything, in order, once.

    With an infinite rate, publish as fast as the slowest client hears it.

    Raises:
        AssertionError: Something was lost, doubled, out of order, forgotten, or answered as it should not be.
    """
    report, dice = Report(), random.Random(seed)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cometware-test-")))
        (folder / "journal").mkdir()
        environ = {"CHANNEL": store.url, "JOURNAL": str(folder / "journal"), "LIMITS": json.dumps(LIMITS)}
        crew = [Worker(environ, folder / "errors", "tests.cluster.counted:app") for _ in range(workers)]
        for worker in crew:
            stack.callback(worker.close)
            worker.await_start()
        ports = [worker.port for worker in crew]
        proxy = stack.enter_context(listening(lambda port, own: haproxy(port, own, ports)))
        crowd = stack.enter_context(Survivors(_At(proxy), report, dice))
        crowd.come(clients)
        assert crowd.live(lambda: all(member.epoch for member in crowd.members), END_SECONDS), "nobody is greeted"
        crowd.begin_to_send()
        slowest = lambda: min(member.number or 0 for member in crowd.members)  # noqa: E731
        publisher = Publisher(store.url, rate, report, lambda: report.published - slowest() < MOST_BEHIND)
        publisher.start()
        begin = time.monotonic()
        trouble = _Trouble(crew, store, report, dice)
        trouble.start()
        crowd.live(lambda: False, seconds)
        crowd.live(lambda: enough(report), PATIENCE * seconds)
        trouble.enough.set()
        crowd.live(lambda: not trouble.is_alive(), END_SECONDS)
        report.seconds = time.monotonic() - begin
        publisher.ended.set()
        publisher.join(END_SECONDS)
        assert trouble.is_done and not publisher.is_alive(), f"trouble or publisher came to no good end; {report}"
        crowd.is_over = True
        last = report.published
        behind = lambda: [member for member in crowd.members if member.number != last]  # noqa: E731
        waiting = lambda: [sender for sender in crowd.senders if sender.sock is not None]  # noqa: E731
        ended = crowd.live(lambda: not behind() and not waiting(), END_SECONDS)
        report.heard = sum(member.heard for member in crowd.members)
        for member in crowd.members:
            report.resets.update(member.resets)
        assert ended, (
            f"{len(behind())} of {clients} have not heard {last}: {behind()[:10]}, {len(waiting())} wait for an answer; "
            f"{report}\n{_tail(folder)}"
        )
        lines = [json.loads(line) for line in (folder / "journal" / "journal").read_text().splitlines()]
        check_numbers(lines, [sender.accepted for sender in crowd.senders], trouble.troubled, report)
        lives = Counter(line["kind"] for line in lines if line["kind"] in ("open", "close"))
        assert lives == {"open": clients}, f"clients were forgotten: {lives}; {report}"
    assert report.heard == clients * report.published, f"somebody missed an entry, or heard it twice; {report}"
    assert not report.resets, f"somebody was reset, though the store has lost nothing; {report}"
    assert not report.unexpected, f"{report.unexpected}; {report}"
    assert enough(report), f"expected more to happen; {report}"
    return report


def check_numbers(lines: list[Any], accepted: list[int], troubled: dict[int, list[float]], report: Report) -> None:
    """Was each number that was accepted handled once, in order? Again only if its worker was struck right behind it."""
    handled: list[list[Any]] = [[] for _ in accepted]
    for line in lines:
        if line["kind"] == "number":
            index, number = line["data"]
            own = handled[index]
            if own and own[-1]["data"][1] == number:
                at, strokes = own[-1]["seconds"], troubled.get(own[-1]["pid"], [])
                excused = any(at - STOPPED_SECONDS - 1 <= stroke <= at + STRUCK_SECONDS for stroke in strokes)
                assert excused, f"handled twice, and nobody was struck: {own[-1]}, {line}; {report}"
                report.repeats += 1
                own.pop()
            assert number == len(own) + 1, f"client {index}: {number} was handled behind {len(own)}; {report}"
            own.append(line)
    report.sent = sum(accepted)
    for index, (own, count) in enumerate(zip(handled, accepted, strict=True)):
        assert len(own) - count in (0, 1), f"client {index}: {count} were accepted, {len(own)} handled; {report}"


@dataclass
class _At:
    port: int


class _Trouble(threading.Thread):
    """Kills a worker every second, stops one now and then, restarts the store every ten seconds.

    Until there is `enough` of it. `troubled` tells when a process was struck. `is_done`: it came to its end.
    """

    def __init__(self, crew: list[Worker], store: Store, report: Report, dice: random.Random) -> None:
        super().__init__(daemon=True)
        self._crew, self._store, self._report, self._dice = crew, store, report, dice
        self.enough = threading.Event()
        self.troubled: dict[int, list[float]] = {}
        self.is_done = False

    def run(self) -> None:
        begin, report = time.monotonic(), self._report
        while not self.enough.wait(1):
            if sum(worker.listens for worker in self._crew) < 2:
                continue  # on a machine so busy that they take seconds to start, nobody would ever be served
            elapsed = time.monotonic() - begin
            worker = self._dice.choice(self._crew)
            self.troubled.setdefault(worker.process.pid, []).append(time.time())
            if self._dice.random() < 0.1:
                worker.process.send_signal(signal.SIGSTOP)
                report.stops += 1
                threading.Timer(STOPPED_SECONDS, worker.process.send_signal, (signal.SIGCONT,)).start()
                continue
            worker.kill()
            worker.start()
            report.kills += 1
            if self._store.restart is not None and int(elapsed / 10) > report.restarts:
                self._store.restart()
                report.restarts += 1
        for worker in self._crew:
            worker.process.send_signal(signal.SIGCONT)
        self.is_done = True


def _tail(folder: Path) -> str:
    return (folder / "errors").read_text()[-4000:]


def main() -> None:
    """Run it for as long as one asks, and print what happened; it fails if anybody missed anything."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.chaos", description=main.__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--store", choices=["redis", "sqlite"], default="redis")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--rate", default="50", help="messages/s that are published; max: as many as the slowest client hears")
    parser.add_argument("--requests", type=int, default=0, help="fail if fewer were answered")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cometware-test-")))
        store: Store = SqliteFile(f"sqlite:///{folder}/channel.db")
        if options.store == "redis":
            store = redis = AppendOnlyRedis(folder)
            stack.callback(redis.close)
        given = {name: getattr(options, name) for name in ("workers", "clients", "seed")}
        rate = float("inf") if options.rate == "max" else float(options.rate)
        enough = lambda report: report.requests >= options.requests  # noqa: E731
        report = chaos(store, options.seconds, rate=rate, enough=enough, **given)
    sys.stdout.write(f"{options.store}: {report}\n")


if __name__ == "__main__":
    main()
