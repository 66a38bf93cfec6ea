"""The log of one process: its Window is all there is."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable

from cometware.core import cursor
from cometware.core.entry import Entry, Message, Position
from cometware.core.window import Window
from cometware.limits import Limits
from cometware.logs.base import real_lock


class MemoryLog:
    """Entries in memory; gone with the process, which every client is told by a `reset`."""

    def __init__(self, limits: Limits) -> None:
        self._window = Window(secrets.token_hex(4), limits.window_entries, limits.window_bytes)
        self._lock = real_lock()
        self._wakers: tuple[Callable[[], None], ...] = ()

    @property
    def head(self) -> Position:
        return self._window.head

    def append(self, message: Message) -> Position:
        window = self._window
        with self._lock:
            epoch, offset = window.head
            position = Position(epoch, offset + 1)
            window.add(Entry(position, message))
        for wake in self._wakers:
            wake()
        return position

    def since(self, offset: int) -> list[Entry]:
        with self._lock:
            return self._window.since(offset)

    def read(
        self, position: Position, audiences: Iterable[str], client: str, limit: int, until: int
    ) -> tuple[list[Entry], Position]:
        with self._lock:
            return cursor.read(self._window, position, audiences, client, limit, until)

    def check(self, position: Position, audiences: Iterable[str]) -> None:
        with self._lock:
            self._window.check(position, audiences)

    def last(self, count: int, audiences: Iterable[str], until: int) -> list[Entry]:
        with self._lock:
            return self._window.last(count, audiences, until)

    def subscribe(self, wake: Callable[[], None]) -> Callable[[], None]:
        self._wakers += (wake,)

        def stop() -> None:
            self._wakers = tuple(other for other in self._wakers if other is not wake)

        return stop

    def close(self) -> None:
        self._wakers = ()
