"""The Window that a log keeps in each process, and its readers: what they ask never touches a store."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from cometware.core import cursor
from cometware.core.entry import Entry, Position
from cometware.core.window import Window
from cometware.limits import Limits
from cometware.logs.base import real_lock


class Mirror:
    """The reading half of a Log; how entries come in is for those who derive from it."""

    def __init__(self, epoch: str, limits: Limits) -> None:
        self._limits = limits
        self._window = self._empty(epoch, 0)
        self._lock = real_lock()
        self._wakers: tuple[Callable[[], None], ...] = ()

    def _empty(self, epoch: str, offset: int) -> Window:
        return Window(epoch, self._limits.window_entries, self._limits.window_bytes, offset)

    def _replace(self, epoch: str, offset: int, entries: Iterable[Entry]) -> None:
        """History was lost: begin again behind an offset. The caller wakes everybody."""
        window = self._empty(epoch, offset)
        for entry in entries:
            window.add(entry)
        with self._lock:
            self._window = window

    def _forget(self, epoch: str, until: int) -> None:
        """The log has forgotten its entries up to an offset."""
        with self._lock:
            if epoch == self._window.epoch:
                self._window.forget(until)

    def _wake(self) -> None:
        for wake in self._wakers:
            wake()

    @property
    def head(self) -> Position:
        return self._window.head

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

    def last(
        self, count: int, audiences: Iterable[str], until: int, max_entries: int = 1000, max_bytes: int = 1024 * 1024
    ) -> list[Entry]:
        with self._lock:
            return self._window.last(count, audiences, until, max_entries, max_bytes)

    def forget_old(self, now: float) -> None:
        """The store forgets, and tells."""

    def subscribe(self, wake: Callable[[], None]) -> Callable[[], None]:
        self._wakers += (wake,)

        def stop() -> None:
            self._wakers = tuple(other for other in self._wakers if other is not wake)

        return stop
