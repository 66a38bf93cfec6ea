"""One timer for everything that waits: a wheel of slots, turned by a worker's single ticking clock."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

Item = TypeVar("Item", bound=Hashable)


class Wheel(Generic[Item]):
    """Items wait for their tick. An item waits for one tick at a time, which its owner remembers."""

    def __init__(self, slots: int) -> None:
        self._slots: list[set[Item]] = [set() for _ in range(slots)]
        self.tick = 0

    def add(self, item: Item, tick: int) -> int:
        """Let an item come up at a tick; if that is past or beyond the wheel, at the nearest one that is not.

        Returns the tick at which it will come up.
        """
        tick = max(self.tick + 1, min(tick, self.tick + len(self._slots) - 1))
        self._slots[tick % len(self._slots)].add(item)
        return tick

    def discard(self, item: Item, tick: int) -> None:
        """Let an item not come up at the tick that `add` returned."""
        self._slots[tick % len(self._slots)].discard(item)

    def turn(self) -> set[Item]:
        """Go one tick on and return what comes up now."""
        self.tick += 1
        slot = self.tick % len(self._slots)
        due, self._slots[slot] = self._slots[slot], set()
        return due


def ticks(seconds: float, tick_seconds: float) -> int:
    """How many ticks cover this many seconds."""
    return max(1, -int(-seconds // tick_seconds))
