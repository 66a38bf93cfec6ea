"""How many threads a server has that does not tell it in a request's environ: asked of the server's own objects where it is
known, else learnt from the threads that were seen."""

from __future__ import annotations

import sys
import threading
import weakref
from typing import Any

from gevent import monkey

from cometware.logs.base import real_lock

_SHORT_LIVED = 8
"""So many threads that ended after one request each, and none that served more: each request has a thread of its own."""


class SeenThreads:
    """The threads of a server that were seen alive. A thread that ends is forgotten."""

    def __init__(self) -> None:
        self._local: Any = monkey.get_original("_thread", "_local")()
        self._lock = real_lock()
        self._alive = 0
        self._ended_early = 0
        self._is_pool = False

    def see(self) -> None:
        """Count the thread that runs this, and one more request of it."""
        mark = getattr(self._local, "mark", None)
        if mark is None:
            mark = self._local.mark = _Mark()
            with self._lock:
                self._alive += 1
            weakref.finalize(mark, self._ended, mark.requests).atexit = False
        if len(mark.requests) < 2:
            mark.requests.append(None)
        self._is_pool = self._is_pool or len(mark.requests) == 2

    def _ended(self, requests: list[None]) -> None:
        with self._lock:
            self._alive -= 1
            self._ended_early += len(requests) == 1

    @property
    def count(self) -> int:
        return self._alive

    @property
    def has_one_for_each_request(self) -> bool:
        return self._ended_early >= _SHORT_LIVED and not self._is_pool


class _Mark:
    """Lies in a thread's own storage, and goes with the thread."""

    def __init__(self) -> None:
        self.requests: list[None] = []


def threads_of_cheroot() -> int | None:
    """Return the size of the pool that this thread belongs to; None if it is none of cheroot's (CherryPy's server)."""
    pool = getattr(getattr(threading.current_thread(), "server", None), "requests", None)
    size = getattr(pool, "min", None)
    return size if isinstance(size, int) else None


def threads_of_granian() -> int | None:
    """Return `--blocking-threads` of this process, which only the frames of granian's own threads know."""
    if "granian" not in sys.modules:
        return None
    for frame in sys._current_frames().values():
        while frame is not None:
            threads = frame.f_locals.get("blocking_threads") if "granian" in frame.f_code.co_filename else None
            if isinstance(threads, int):
                return threads
            frame = frame.f_back  # type: ignore[assignment]
    return None
