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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from cometware import Channel, LogUnavailable
from tests.cluster.workers import haproxy
from tests.live.crowd import KINDS, Crowd, Member
from tests.live.server import ROOT
from tests.proxies.foreground import free_port, listening
from tests.redis_server import RedisServer

LIMITS = {"lease_seconds": 2, "heartbeat_seconds": 5, "pong_seconds": 5, "poll_seconds": 5, "reauthorise_seconds": 3600}
BACK_SECONDS = 0.2
"""How long a client waits before it comes back: our own browser client takes 0 to 500 ms."""
STOPPED_SECONDS = 3.0
END_SECONDS = 60.0


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


@dataclass
class Report:
    """What happened. `statuses` are those of all answers, `ends` counts connections that broke."""

    published: int = 0
    unavailable: int = 0
    kills: int = 0
    stops: int = 0
    restarts: int = 0
    hops: int = 0
    heard: int = 0
    ends: int = 0
    resets: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in vars(self).items())


class Worker:
    """One process that is started again whenever it is killed, at the same address."""

    def __init__(self, environ: dict[str, str], errors: Path) -> None:
        self.port = free_port()
        self._environ = os.environ | environ
        self._errors = errors.open("ab")
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "cometware", "serve", "tests.live.app:app", "--bind", f"127.0.0.1:{self.port}"]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=self._environ, stdin=subprocess.DEVNULL, stdout=self._errors, stderr=self._errors
        )

    def await_start(self, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                assert time.monotonic() < deadline, "a worker does not start"
                time.sleep(0.05)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait(10)

    def close(self) -> None:
        self.kill()
        self._errors.close()


class Survivor(Member):
    """A member that comes back when its connection breaks, or when nobody serves it just now."""

    crowd: Survivors

    def on_readable(self) -> None:
        try:
            self._receive()
        except OSError:
            self._broken()

    def _receive(self) -> None:
        assert self.sock is not None
        if not self._open and self._peek(b""):
            return
        before = self.connections
        if self.sock.recv(1, socket.MSG_PEEK) == b"":
            self._broken()
        elif self.connections == before:
            super().on_readable()

    def _peek(self, _: bytes) -> bool:
        """Look at the head of an answer; if it is not what was hoped for, come back later."""
        assert self.sock is not None
        head = self.sock.recv(64, socket.MSG_PEEK)
        if len(head) < 12:
            return False
        status = head[9:12].decode()
        if not self._counted:
            self._counted = True
            self.crowd.report.statuses[status] += 1
        if status in ("101", "200"):
            return False
        self._broken()
        return True

    def connect(self) -> None:
        self._counted = False
        try:
            super().connect()
        except OSError:
            self._broken()

    def _ask(self) -> None:
        self._counted = False
        super()._ask()

    def _broken(self) -> None:
        self.crowd.report.ends += 1
        self.drop()
        self.crowd.later.append((time.monotonic() + BACK_SECONDS, self))


class Survivors(Crowd):
    """All of them; `later` are those who come back soon."""

    def __init__(self, server: Any, report: Report, dice: random.Random) -> None:
        super().__init__(server)
        self.report = report
        self.later: list[tuple[float, Survivor]] = []
        self._dice = dice

    def live(self, until: Callable[[], bool], seconds: float) -> bool:
        """Read, hop and come back until it is over. Was that in time?"""
        deadline = time.monotonic() + seconds
        while not until():
            now = time.monotonic()
            if now >= deadline:
                return False
            for key, _ in self._selector.select(0.02):
                member = key.data
                if member.sock is key.fileobj:
                    member.on_readable()
            due = [member for at, member in self.later if at <= now]
            self.later = [(at, member) for at, member in self.later if at > now]
            for member in due:
                member.connect()
            if self._dice.random() < 0.2:
                self._hop()
        return True

    def _hop(self) -> None:
        """Somebody changes the transport."""
        member = self._dice.choice(self.members)
        if member.sock is not None and member.epoch:
            member.drop(reset=self._dice.random() < 0.5)
            member.kind = self._dice.choice(KINDS)
            member.connect()
            self.report.hops += 1


class Publisher(threading.Thread):
    """Publishes numbers, each once, whatever happens to the store."""

    def __init__(self, url: str, rate: float, report: Report) -> None:
        super().__init__(daemon=True)
        self._channel = Channel(url)
        self._pause = 1 / rate
        self._report = report
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.is_set():
            number = self._report.published + 1
            while True:
                try:
                    self._channel.publish(number, once=f"number {number}")
                    break
                except LogUnavailable:
                    self._report.unavailable += 1
                    time.sleep(0.1)
            self._report.published = number
            time.sleep(self._pause)


def chaos(store: Store, seconds: float, *, workers: int = 4, clients: int = 100, rate: float = 50, seed: int = 1) -> Report:
    """Make trouble for so long; then everybody must have heard everything, in order, once."""
    report, dice = Report(), random.Random(seed)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cometware-test-")))
        (folder / "journal").mkdir()
        environ = {"CHANNEL": store.url, "JOURNAL": str(folder / "journal"), "LIMITS": json.dumps(LIMITS)}
        crew = [Worker(environ, folder / "errors") for _ in range(workers)]
        for worker in crew:
            stack.callback(worker.close)
            worker.await_start()
        ports = [worker.port for worker in crew]
        proxy = stack.enter_context(listening(lambda port, own: haproxy(port, own, ports)))
        crowd = stack.enter_context(Survivors(_At(proxy), report, dice))
        crowd.members = [Survivor(crowd, KINDS[index % len(KINDS)]) for index in range(clients)]
        for member in crowd.members:
            member.connect()
        assert crowd.live(lambda: all(member.epoch for member in crowd.members), END_SECONDS), "nobody is greeted"
        publisher = Publisher(store.url, rate, report)
        publisher.start()
        trouble = threading.Thread(target=_trouble, args=(crew, store, seconds, report, dice), daemon=True)
        trouble.start()
        crowd.live(lambda: not trouble.is_alive(), seconds + 2 * END_SECONDS)
        publisher.ended.set()
        publisher.join(END_SECONDS)
        last = report.published
        behind = lambda: [member for member in crowd.members if member.number != last]  # noqa: E731
        ended = crowd.live(lambda: not behind(), END_SECONDS)
        report.heard = sum(member.heard for member in crowd.members)
        for member in crowd.members:
            report.resets.update(member.resets)
        assert ended, f"{len(behind())} of {clients} have not heard {last}: {behind()[:10]}; {report}\n{_tail(folder)}"
    return report


@dataclass
class _At:
    port: int


def _trouble(crew: list[Worker], store: Store, seconds: float, report: Report, dice: random.Random) -> None:
    """Kill a worker every second, stop one now and then, restart the store every ten seconds."""
    begin = time.monotonic()
    while (elapsed := time.monotonic() - begin) < seconds:
        time.sleep(1)
        worker = dice.choice(crew)
        if dice.random() < 0.1:
            worker.process.send_signal(signal.SIGSTOP)
            report.stops += 1
            threading.Timer(STOPPED_SECONDS, worker.process.send_signal, (signal.SIGCONT,)).start()
            continue
        worker.kill()
        worker.start()
        report.kills += 1
        if store.restart is not None and int(elapsed / 10) > report.restarts:
            store.restart()
            report.restarts += 1
    for worker in crew:
        worker.process.send_signal(signal.SIGCONT)


def _tail(folder: Path) -> str:
    return (folder / "errors").read_text()[-4000:]


def main() -> None:
    """Run it for as long as one asks, and print what happened; it fails if anybody missed anything."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.chaos", description=main.__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--store", choices=["redis", "sqlite"], default="redis")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--rate", type=float, default=50, help="messages/s that are published")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cometware-test-")))
        store: Store = SqliteFile(f"sqlite:///{folder}/channel.db")
        if options.store == "redis":
            store = redis = AppendOnlyRedis(folder)
            stack.callback(redis.close)
        given = {name: getattr(options, name) for name in ("workers", "clients", "rate", "seed")}
        report = chaos(store, options.seconds, **given)
    sys.stdout.write(f"{options.store}: {report}\n")
    assert report.heard == options.clients * report.published, "somebody missed an entry, or heard it twice"
    assert not report.resets, "somebody was reset, though the store has lost nothing"


if __name__ == "__main__":
    main()
