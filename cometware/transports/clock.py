"""The time of a worker: what it waits for by itself. A test brings a clock that it moves; nothing else may tell the time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

import gevent

TICK_SECONDS = 0.25
"""What a worker's wheel turns by: its heartbeats, ends and waits are as exact as this."""


class Timer(Protocol):
    def start(self, callback: Callable[..., Any], *arguments: Any) -> None:
        """Call this when the time has come, in the hub, where nothing may wait."""
        ...

    def stop(self) -> None: ...


class Clock:
    """The clock of the event loop. `monotonic` returns seconds that never go back; it is asked for each message."""

    monotonic: Callable[[], float]

    def __init__(self) -> None:
        self.monotonic = time.monotonic

    def time(self) -> float:
        """Return the seconds since 1970."""
        return time.time()

    def timer(self, after_seconds: float, every_seconds: float = 0.0) -> Timer:
        """Make a timer that comes once, or again and again."""
        timer: Timer = gevent.get_hub().loop.timer(after_seconds, every_seconds)
        return timer
