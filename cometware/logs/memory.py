"""The log of one process: its Window is all there is."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict, deque

from cometware.core.entry import Entry, Message, Position
from cometware.limits import Limits
from cometware.logs.mirror import Mirror

_MARKS = 100
"""Moments at which is noted where the log ended: an entry is forgotten too late by one of as many parts of its time."""


class MemoryLog(Mirror):
    """Entries in memory; gone with the process, which every client is told by a `reset`."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(secrets.token_hex(4), limits)
        self._once: OrderedDict[str, tuple[Position, float]] = OrderedDict()
        self._marks: deque[tuple[float, int]] = deque()
        """When the log ended at which offset: what is before it is at least as old."""

    def open(self) -> None:
        """There is nothing to wait for."""

    def append(self, message: Message, once: str | None = None) -> Position:
        window = self._window
        with self._lock:
            if once is not None:
                known = self._published(once)
                if known is not None:
                    return known
            epoch, offset = window.head
            position = Position(epoch, offset + 1)
            window.add(Entry(position, message))
            if once is not None:
                self._once[once] = (position, time.monotonic())
        for wake in self._wakers:
            wake()
        return position

    def forget_old(self, now: float) -> None:
        history_seconds = self._limits.history_seconds
        epoch, head = self._window.head
        if not self._marks or (head > self._marks[-1][1] and now - self._marks[-1][0] >= history_seconds / _MARKS):
            self._marks.append((now, head))
        while self._marks and self._marks[0][0] <= now - history_seconds:
            self._forget(epoch, self._marks.popleft()[1])

    def _published(self, key: str) -> Position | None:
        """Return where the message with this key is, and forget keys that are too old or too many."""
        oldest = time.monotonic() - self._limits.once_seconds
        while self._once:
            first = next(iter(self._once))
            if self._once[first][1] > oldest and len(self._once) < self._limits.once_keys:
                break
            if first == key and self._once[first][1] > oldest:
                break
            del self._once[first]
        return self._once[key][0] if key in self._once else None

    def sync(self) -> None:
        """Nobody else has it."""

    def close(self) -> None:
        self._wakers = ()
