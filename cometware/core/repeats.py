"""Which of many like messages are told: the first at once, the others once in a while, as a number.

Rule: whatever strangers do, no more than `TEXTS` texts of a kind are kept, and each is told at most once in `SECONDS`.
"""

from __future__ import annotations

from collections import Counter
from itertools import takewhile
from typing import NamedTuple

SECONDS = 60.0
TEXTS = 32
"""Different texts of a kind that are told apart; any more are told as one."""


class Line(NamedTuple):
    """What is to be told now: a text, and how many like it were passed over since the last one."""

    text: str
    untold: int

    def __str__(self) -> str:
        return self.text if not self.untold else f"{self.text} (and {self.untold} more like it since this was last told)"


class _Told:
    __slots__ = ("at", "text", "untold")

    def __init__(self, at: float, text: str) -> None:
        self.at = at
        self.text = text
        self.untold = 0


class Repeats:
    """Counts what is passed over. `kind` is one of the few that our code names; `text` may be a stranger's."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, str], _Told] = {}
        """By kind and text, that which was told longest ago first."""
        self._texts: Counter[str] = Counter()

    def told(self, kind: str, text: str, now: float) -> list[Line]:
        """Somebody wants to tell this, at this time in seconds: return what is to be told instead.

        What was passed over and did not come again is told with whatever comes next.
        """
        over = self._forget_before(now - SECONDS)
        key = (kind, text) if (kind, text) in self._told or self._texts[kind] < TEXTS else (kind, "")
        lines = [Line(old.text, old.untold) for name, old in over.items() if old.untold and name != key]
        told = self._told.get(key)
        if told is not None:
            told.untold, told.text = told.untold + 1, text
            return lines
        self._told[key] = _Told(now, text)
        self._texts[kind] += 1
        return [*lines, Line(text, over[key].untold if key in over else 0)]

    def _forget_before(self, time: float) -> dict[tuple[str, str], _Told]:
        """Take out what was told before this time."""
        over = dict(takewhile(lambda item: item[1].at <= time, self._told.items()))
        for name in over:
            del self._told[name]
            self._texts[name[0]] -= 1
        return over
