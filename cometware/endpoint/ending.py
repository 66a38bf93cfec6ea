"""The end of a process that is not ours to run: gunicorn's workers end by a signal, a reload or `--max-requests`.

Rule: whoever listens is told to come back, each at a moment of its own, before anything of this process goes away; and the
process waits for that no longer than gunicorn waits for it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import gevent

from cometware.core.events import DRAIN, Close
from cometware.servers.gunicorn import find_process
from cometware.transports.worker import Worker

DRAIN_SECONDS = 3.0
"""Clients of a process that ends come back spread over this window."""
_LOOK_SECONDS = 0.25
_LAST_SECONDS = 1.0
"""How long the last ones may take to close their side."""

RunInLoop = Callable[[Callable[[], Any]], Any]


class End:
    """Of this process: has it begun? Whoever runs the server says so, or gunicorn's own object knows."""

    def __init__(self) -> None:
        self.has_begun = False
        self._signs: list[Callable[[], bool]] = []

    def watch(self, sign: Callable[[], bool]) -> None:
        """Look here, too."""
        self._signs.append(sign)

    @property
    def is_near(self) -> bool:
        """Is this process about to end? A balancer then sends it nobody."""
        if self.has_begun or any(sign() for sign in self._signs):
            return True
        process = find_process()
        return process is not None and not process.alive


end = End()


def drain_before_end(worker: Worker, run: RunInLoop) -> Ending | None:
    """Under gunicorn, let the process of this worker end only after its clients know. Called in the thread of its loop.

    `run` runs a function there and waits for it, from the main thread.
    """
    process = find_process()
    return None if process is None else Ending(worker, process, run)


class Ending:
    """It looks now and then whether gunicorn wants the process to end, and is asked again when the process is about to."""

    def __init__(self, worker: Worker, process: Any, run: RunInLoop) -> None:
        self._worker = worker
        self._process = process
        self._begun = 0.0
        self._is_hurried = False
        self._clock = gevent.get_hub().loop.timer(_LOOK_SECONDS, _LOOK_SECONDS)
        self._clock.start(self._look)
        here = os.getpid()
        exits, interrupted = process.cfg.worker_exit, process.cfg.worker_int

        def worker_exit(arbiter: Any, process: Any) -> None:
            try:
                if os.getpid() == here:  # not a child that a view forked
                    run(self.finish)
            finally:
                exits(arbiter, process)

        def worker_int(process: Any) -> None:
            self._is_hurried = True
            interrupted(process)

        process.cfg.set("worker_exit", worker_exit)
        process.cfg.set("worker_int", worker_int)

    def _look(self) -> None:
        if not self._process.alive:
            self._clock.stop()
            gevent.spawn(self.begin)

    @property
    def window_seconds(self) -> float:
        return min(DRAIN_SECONDS, float(self._process.cfg.graceful_timeout) / 2)

    @property
    def _may_stay(self) -> bool:
        """May the process stay until its clients are elsewhere?

        Not after SIGINT or SIGQUIT; and not where it is the only one, and none serves in its place until it is gone.
        """
        process = self._process
        return not self._is_hurried and (process.cfg.workers > 1 or process.nr < process.max_requests)

    def begin(self) -> None:
        """Ask every client to come back."""
        if not self._begun:
            self._begun = time.monotonic()
            self._worker.drain(self.window_seconds)

    def finish(self) -> None:
        """Wait until the clients have gone to others, end the connections that are left, and let go of everything."""
        self._clock.stop()
        self.begin()
        if self._may_stay:
            self._wait(self._begun + self.window_seconds + _LAST_SECONDS)
        for record in list(self._worker.roster):
            for connection in record.connections:
                connection.end(Close(DRAIN, "the server restarts"))
        self._wait(time.monotonic() + _LAST_SECONDS)
        self._worker.close()

    def _wait(self, until: float) -> None:
        """Wait until every connection has ended, or until a moment of the monotonic clock."""
        while len(self._worker.poller) and time.monotonic() < until:
            gevent.sleep(0.05)
