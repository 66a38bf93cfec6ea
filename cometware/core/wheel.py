"""One timer for everything that waits: a wheel of slots, turned by a worker's single ticking clock."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

Item = TypeVar("Item", bound=Hashable)


class Wheel(Generic[Item]):
    """Items wait in the slot of their tick. An item stands in one slot, which its owner remembers."""

    def __init__(self, slots: int) -> None:
        self._slots: list[set[Item]] = [set() for _ in range(slots)]
        self.tick = 0

    def add(self, item: Item, ticks: int) -> int:
        """Let an item come up after this many ticks (at least one, at most the wheel's size less one); return its slot."""
        slot = (self.tick + max(1, min(ticks, len(self._slots) - 1))) % len(self._slots)
        self._slots[slot].add(item)
        return slot

    def discard(self, item: Item, slot: int) -> None:
        """Take an item off its slot."""
        self._slots[slot].discard(item)

    def turn(self) -> set[Item]:
        """Go one tick on and return what comes up now."""
        self.tick += 1
        slot = self.tick % len(self._slots)
        due, self._slots[slot] = self._slots[slot], set()
        return due


def ticks(seconds: float, tick_seconds: float) -> int:
    """How many ticks cover this many seconds."""
    return max(1, -int(-seconds // tick_seconds))
