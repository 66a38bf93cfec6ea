"""The application under attack, that also tells how much its event loop computes between two looks at its sockets.

Rule: the thread's own CPU is counted, so the figure is the same on a machine that does other things, too.
"""

from __future__ import annotations

import time
from typing import Any

import gevent

from benchmarks.apps import app

_spent: list[float] = []
_watchers: list[Any] = []


def _watch() -> None:
    """Count from now on, once for each round."""
    last = time.thread_time()

    def looked() -> None:
        nonlocal last
        now = time.thread_time()
        _spent.append(now - last)
        last = now

    watcher = gevent.get_hub().loop.check()
    watcher.start(looked)
    _watchers.append(watcher)


@app.get("/rounds")
def rounds() -> dict[str, float]:
    """Tell the milliseconds of CPU of the rounds since the last time: their number, p99 and the longest."""
    if not _watchers:
        _watch()
    ordered = sorted(_spent) or [0.0]
    _spent.clear()
    return {"rounds": len(ordered), "p99": 1000 * ordered[int(0.99 * (len(ordered) - 1))], "worst": 1000 * ordered[-1]}
