"""Names the line of code that held the event loop: while it runs, nobody gets a message."""

from __future__ import annotations

import os
import sys
import time
from types import FrameType
from typing import Any

import gevent
from gevent._monitor import PeriodicMonitoringThread

from cometware.transports.report import logger

BLOCKED_SECONDS = 0.2
"""What holds the loop for longer than this is told."""
_AGAIN_SECONDS = 30.0
"""How long the same line is not told again."""


class Watchdog:
    """gevent's own monitor, which looks from a native thread whether the loop still turns, with a report of one line."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, int], float] = {}
        self._monitor: Any = None

    def start(self) -> None:
        """Watch the event loop of this thread from now on. For programs; a library leaves gevent's settings alone."""
        gevent.config.max_blocking_time = BLOCKED_SECONDS
        gevent.config.print_blocking_reports = False
        # Not by `gevent.config.monitor_thread`: whatever thread began a loop of its own just then would get a monitor, too
        hub = gevent.get_hub()
        self._monitor = monitor = hub.periodic_monitoring_thread or PeriodicMonitoringThread(hub)
        hub.periodic_monitoring_thread = monitor
        # In the place of gevent's own look, whose report walks through all greenlets: seconds where thousands are served
        monitor.add_monitoring_function(self._look, BLOCKED_SECONDS)
        monitor.add_monitoring_function(monitor.monitor_blocking, None)
        os.register_at_fork(after_in_child=self._leave)  # a child serves nobody: it may compute

    def _leave(self) -> None:
        monitor, self._monitor = self._monitor, None
        if monitor is not None:
            gevent.get_hub().periodic_monitoring_thread = None
            monitor.kill()

    def _look(self, hub: Any) -> None:
        """Has the loop not turned since the last look? In the monitor's thread."""
        if not self._monitor._greenlet_tracer.did_block_hub(hub):
            return
        frame = _innermost(sys._current_frames().get(hub.thread_ident))
        if frame is None:
            return
        place = (frame.f_code.co_filename, _line(frame))
        now = time.monotonic()
        if now - self._told.get(place, -_AGAIN_SECONDS) >= _AGAIN_SECONDS:
            self._told[place] = now
            logger.warning(
                "the event loop was held for more than %g ms by %s:%d in %s; while it is, nobody gets a message. "
                "Use what gevent makes cooperative, or Cometware(…, threads=N)",
                1000 * BLOCKED_SECONDS,
                *place,
                frame.f_code.co_name,
            )


def _innermost(frame: FrameType | None) -> FrameType | None:
    """Return the innermost frame that is not gevent's own."""
    while frame is not None and frame.f_globals.get("__name__", "").startswith("gevent."):
        frame = frame.f_back
    return frame


def _line(frame: FrameType) -> int:
    """Return where a frame is; where its function begins, if it is at an instruction of no line (PEP 626)."""
    line: int | None = frame.f_lineno
    return frame.f_code.co_firstlineno if line is None else line
