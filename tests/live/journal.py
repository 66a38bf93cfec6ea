"""What the handlers of the application under test saw, and the gates at which they wait for a test.

In one process both are in memory; with a folder (`JOURNAL`), several workers of one channel share them.
"""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, Protocol

_LOOK_SECONDS = 0.01

Line = dict[str, Any]


def matches(line: Line, wanted: dict[str, str]) -> bool:
    return all(line.get(name) == value for name, value in wanted.items())


class Journal(Protocol):
    def write(self, kind: str, **details: Any) -> None: ...

    def wait(self, count: int, seconds: float, wanted: dict[str, str]) -> list[Line]:
        """Return the lines that match, as soon as there are so many of them or the time is over."""
        ...

    def open_gate(self, name: str) -> None: ...

    def pass_gate(self, name: str, seconds: float) -> bool:
        """Wait until somebody opens a gate. Was that in time?"""
        ...


class MemoryJournal:
    def __init__(self) -> None:
        self._lines: list[Line] = []
        self._written = threading.Condition()
        self._gates: dict[str, threading.Event] = defaultdict(threading.Event)

    def write(self, kind: str, **details: Any) -> None:
        with self._written:
            self._lines.append({"kind": kind, **details})
            self._written.notify_all()

    def wait(self, count: int, seconds: float, wanted: dict[str, str]) -> list[Line]:
        found: list[Line] = []
        seen = 0

        def enough() -> bool:
            nonlocal seen
            new, seen = self._lines[seen:], len(self._lines)
            found.extend(line for line in new if matches(line, wanted))
            return len(found) >= count

        with self._written:
            self._written.wait_for(enough, seconds)
        return found

    def open_gate(self, name: str) -> None:
        self._gates[name].set()

    def pass_gate(self, name: str, seconds: float) -> bool:
        return self._gates[name].wait(seconds)


class SharedJournal:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / "journal"
        self._file.touch()

    def write(self, kind: str, **details: Any) -> None:
        line = json.dumps({"kind": kind, **details}) + "\n"
        with self._file.open("ab", buffering=0) as file:
            file.write(line.encode())  # one write at the end of a file is whole, whoever else writes

    def wait(self, count: int, seconds: float, wanted: dict[str, str]) -> list[Line]:
        deadline = time.monotonic() + seconds
        while True:
            lines = [json.loads(line) for line in self._file.read_bytes().split(b"\n")[:-1]]
            found = [line for line in lines if matches(line, wanted)]
            if len(found) >= count or time.monotonic() >= deadline:
                return found
            time.sleep(_LOOK_SECONDS)

    def open_gate(self, name: str) -> None:
        (self._folder / f"gate-{name}").touch()

    def pass_gate(self, name: str, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not (self._folder / f"gate-{name}").exists():
            if time.monotonic() >= deadline:
                return False
            time.sleep(_LOOK_SECONDS)
        return True
