"""What an application's views saw, in order; a view of its own lets a test wait until it is enough."""

from __future__ import annotations

import threading
from typing import Any


class Journal:
    """Lines are dicts with a `kind`."""

    def __init__(self) -> None:
        self._lines: list[dict[str, Any]] = []
        self._written = threading.Condition()

    def write(self, kind: str, **details: Any) -> None:
        with self._written:
            self._lines.append({"kind": kind, **details})
            self._written.notify_all()

    def read(self, asked: dict[str, str]) -> list[dict[str, Any]]:
        """Wait for `count` lines with these values, at most `seconds`, and return them."""
        count, seconds = int(asked.pop("count", 0)), float(asked.pop("seconds", 0))
        with self._written:
            self._written.wait_for(lambda: len(self._matching(asked)) >= count, seconds)
            return self._matching(asked)

    def _matching(self, wanted: dict[str, str]) -> list[dict[str, Any]]:
        return [line for line in self._lines if all(line.get(name) == value for name, value in wanted.items())]
