"""A clock that stands still until the test moves it. Nobody sleeps: what is due happens at once, in its order."""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable
from typing import Any

from cometware.transports import clock


class Clock(clock.Clock):
    """The time of the channel in a test: heartbeats, waits of polls, grace, log in anew.

    `calm_down` lets happen what is under way. Not moved: the app's own time (`time.time()` in a view), and what bounds code
    that waits (`Limits.answer_seconds`, `open_seconds`, `hook_seconds`, `body_seconds`).
    """

    def __init__(self, calm_down: Callable[[], None]) -> None:
        self._calm_down = calm_down
        self._began = time.time()
        self._now = 0.0
        self._timers: list[tuple[float, int, _Timer]] = []
        self._order = itertools.count()
        self.monotonic = self._monotonic

    def advance(self, seconds: float) -> None:
        """Let so many seconds pass at once; all that is due in them has happened when this returns.

        Raises:
            ValueError: Time does not go back.
        """
        if seconds < 0:
            raise ValueError(f"advance({seconds}): expected a number of seconds, 0 or more")
        self._calm_down()
        end = self._now + seconds
        while self._timers and self._timers[0][0] <= end:
            due, _, timer = heapq.heappop(self._timers)
            if timer.due != due:
                continue  # it was stopped since, or begun anew
            self._now = due
            timer.fire()
            self._calm_down()
        self._now = end

    def time(self) -> float:
        """Return the seconds since 1970, as the channel sees them."""
        return self._began + self._now

    def _monotonic(self) -> float:
        """Return the seconds that the test has let pass."""
        return self._now

    def timer(self, after_seconds: float, every_seconds: float = 0.0) -> clock.Timer:
        """Make a timer that comes when this clock is moved past it."""
        return _Timer(self, after_seconds, every_seconds)

    def _wake(self, timer: _Timer, seconds: float) -> None:
        timer.due = self._now + seconds
        heapq.heappush(self._timers, (timer.due, next(self._order), timer))


class _Timer:
    def __init__(self, clock: Clock, after_seconds: float, every_seconds: float) -> None:
        self._clock = clock
        self._after = after_seconds
        self._every = every_seconds
        self._call: Callable[[], Any] = lambda: None
        self.due: float | None = None

    def start(self, callback: Callable[..., Any], *arguments: Any) -> None:
        self._call = lambda: callback(*arguments)
        self._clock._wake(self, self._after)

    def stop(self) -> None:
        self.due = None

    def fire(self) -> None:
        self.due = None
        if self._every:
            self._clock._wake(self, self._every)
        self._call()
