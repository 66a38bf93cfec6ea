"""Processes beside the servers, which use a log without serving anybody: `python -m benchmarks.roles ROLE URL …`.

Each prints one line of JSON for each thing that it was asked to measure. gevent patches first, as in a worker.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

DATA = "x" * 100
_PAGE = 4096


def tell(value: object) -> None:
    print(json.dumps(value), flush=True)


def publish(url: str, greenlets: str, count: str, runs: str) -> None:
    """Tell publishes a second, for each run."""
    from cometware import Channel, Limits

    channel = Channel(url, limits=Limits(store_seconds=60, rates=None))
    _rates(channel.publish, int(greenlets), int(count), int(runs))


def emit(url: str, greenlets: str, count: str, runs: str) -> None:
    """Tell the same of python-socketio's manager for processes that only publish."""
    from socketio import RedisManager

    manager = RedisManager(url, write_only=True)
    _rates(lambda data: manager.emit("message", data, namespace="/"), int(greenlets), int(count), int(runs))


def fill(url: str, count: str) -> None:
    """Publish so many entries, and tell when it is done."""
    from gevent.pool import Pool

    from cometware import Channel, Limits

    channel = Channel(url, limits=Limits(store_seconds=60, rates=None))
    for _ in Pool(200).imap_unordered(channel.publish, [DATA] * int(count)):
        pass
    tell(channel.position.offset)


def _rates(send: Callable[[str], Any], greenlets: int, count: int, runs: int) -> None:
    import gevent

    def work() -> None:
        for _ in range(count // greenlets):
            send(DATA)

    work()
    for _ in range(runs):
        begin = time.perf_counter()
        gevent.joinall([gevent.spawn(work) for _ in range(greenlets)], raise_error=True)
        tell(count // greenlets * greenlets / (time.perf_counter() - begin))


def mirror(url: str) -> None:
    """Tell entries a second that were mirrored at the start, and the bytes of memory for each; then, for each line that is
    read, when as many entries as it says were there.
    """
    from cometware import Channel

    Channel(url, name="another").position  # noqa: B018  (all is imported and connected once)
    before, begin = _resident_bytes(), time.perf_counter()
    channel = Channel(url)
    count = channel.position.offset
    seconds = time.perf_counter() - begin
    tell([count / seconds, max(_PAGE, _resident_bytes() - before) / max(1, count)])
    for line in sys.stdin:
        while channel.position.offset < int(line):
            time.sleep(0.002)
        tell(time.monotonic())


def keep(count: str) -> None:
    """Tell the bytes of memory for each entry of a log in memory."""
    from cometware import Channel, Limits

    channel = Channel(limits=Limits(window_entries=int(count), rates=None))
    channel.publish(DATA)
    before = _resident_bytes()
    for _ in range(int(count)):
        channel.publish(DATA)
    tell(max(_PAGE, _resident_bytes() - before) / int(count))


def _resident_bytes() -> int:
    rollup = Path("/proc/self/smaps_rollup").read_text()
    return 1024 * int(rollup.partition("\nRss:")[2].split()[0])


ROLES: dict[str, Callable[..., None]] = {"publish": publish, "emit": emit, "fill": fill, "mirror": mirror, "keep": keep}


if __name__ == "__main__":
    from gevent import monkey

    monkey.patch_all()
    ROLES[sys.argv[1]](*sys.argv[2:])
