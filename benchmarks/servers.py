"""The servers of a run: each a process of its own, pinned to one core, weighed by /proc."""

from __future__ import annotations

import os
import re
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[1]
START_SECONDS = 30
STOP_SECONDS = 10
_QUIET_CHECKS = 200

FLOOR = "floor"
BARE = "bare app"
COMETWARE = "cometware"
THREADED = "cometware, threads"
THREADS = 4
"""Native threads of that one's application, and as many of its handlers."""
OVER_SOCKETIO = "cometware, Socket.IO"
OVER_SOCKJS = "cometware, SockJS"
SOCKETIO = "Flask-SocketIO"
BY_HAND = "by hand"
SHARING = "cometware, shared log"
MANAGED = "python-socketio, Redis"

_COMMANDS = {
    FLOOR: ["benchmarks.floor"],
    BARE: ["cometware", "serve", "benchmarks.apps:bare", "--bind", "127.0.0.1:0"],
    COMETWARE: ["cometware", "serve", "benchmarks.apps:app", "--bind", "127.0.0.1:0"],
    THREADED: ["cometware", "serve", "benchmarks.apps:blocking", "--bind", "127.0.0.1:0"],
    OVER_SOCKETIO: ["cometware", "serve", "benchmarks.apps:app", "--bind", "127.0.0.1:0"],
    OVER_SOCKJS: ["cometware", "serve", "benchmarks.apps:app", "--bind", "127.0.0.1:0"],
    SOCKETIO: ["benchmarks.peers", "flask-socketio"],
    BY_HAND: ["benchmarks.peers", "by-hand"],
    SHARING: ["cometware", "serve", "benchmarks.apps:dated", "--bind", "127.0.0.1:0", "--channel"],
    MANAGED: ["benchmarks.peers", "python-socketio"],
}
PEERS = {SOCKETIO: "flask_socketio", BY_HAND: "geventwebsocket"}
"""The peers, and the module that each of them needs."""


class Server:
    """A running server, as /proc sees it."""

    def __init__(self, name: str, pid: int, port: int) -> None:
        self.name = name
        self.pid = pid
        self.port = port

    @property
    def cpu_seconds(self) -> float:
        """What all threads of it have computed, by the scheduler's clock (`stat` counts in steps of 10 ms)."""
        tasks = Path(f"/proc/{self.pid}/task").glob("*/schedstat")
        if nanoseconds := sum(int(task.read_text().split()[0]) for task in tasks):
            return nanoseconds / 1e9
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def resident_bytes(self) -> int:
        rollup = Path(f"/proc/{self.pid}/smaps_rollup").read_text()  # VmRSS in `status` may lag by some dozen pages
        return 1024 * int(rollup.partition("\nRss:")[2].split()[0])

    def settle(self) -> None:
        """Wait until it has nothing more to do with what went before."""
        before = self.cpu_seconds
        for _ in range(_QUIET_CHECKS):
            time.sleep(0.03)
            now = self.cpu_seconds
            if now - before < 0.001:
                return
            before = now


def cores() -> tuple[set[int], set[int]]:
    """Return the core of the servers and the core of the load: two, if there are two."""
    ours = sorted(os.sched_getaffinity(0))
    return {ours[0]}, {ours[-1]}


def missing_peers() -> list[str]:
    return [name for name, module in PEERS.items() if find_spec(module) is None]


@contextmanager
def running(name: str, core: set[int], *arguments: str) -> Iterator[Server]:
    """Run a server for the length of the block. One of several that share something is told by `arguments` where that is."""
    with subprocess.Popen(
        [sys.executable, "-m", *_COMMANDS[name], *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            os.sched_setaffinity(process.pid, core)
            yield Server(name, process.pid, port_of(process))
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def port_of(process: subprocess.Popen[str]) -> int:
    """Read the line in which a server says where it listens."""
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        line = process.stdout.readline() if selector.select(START_SECONDS) else ""
    found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
    if found is None:
        raise RuntimeError(f"{process.args} did not say where it listens: {line!r}")
    return int(found[1])
