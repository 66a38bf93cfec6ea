"""The log of one process: its Window is all there is."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict

from cometware.core.entry import Entry, Message, Position
from cometware.limits import Limits
from cometware.logs.mirror import Mirror


class MemoryLog(Mirror):
    """Entries in memory; gone with the process, which every client is told by a `reset`."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(secrets.token_hex(4), limits)
        self._once: OrderedDict[str, tuple[Position, float]] = OrderedDict()

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

    def close(self) -> None:
        self._wakers = ()
