"""What a Log is: appends, keeps a Window, wakes its readers. Works with and without gevent."""

from __future__ import annotations

import sys
from _thread import allocate_lock
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from cometware.core.entry import Entry, Message, Position


class Log(Protocol):
    """One ordered list of entries. Every method may be called from any native thread and never waits for a reader."""

    def open(self) -> None:
        """Wait until the newest entries are mirrored here; nothing else may be called before. Again is harmless.

        Raises:
            LogUnavailable: The store cannot be reached.
        """
        ...

    @property
    def head(self) -> Position:
        """Return the position of the newest entry that this process knows."""
        ...

    def sync(self) -> None:
        """Wait until all that the store has by now is mirrored here.

        Raises:
            LogUnavailable: The store cannot be reached.
        """
        ...

    def append(self, message: Message, once: str | None = None) -> Position:
        """Add a message and return its place. Order is settled here: two appends never share a place.

        Own readers see it when this returns, those of other processes a moment later. A message with a key `once` that is
        remembered from before is not added again: its first place is returned.

        Raises:
            LogUnavailable: The store cannot be reached; the message may or may not be in the log.
        """
        ...

    def since(self, offset: int) -> list[Entry]:
        """Return all entries behind an offset, whoever they are for.

        Raises:
            Gap: Some are forgotten.
        """
        ...

    def read(
        self, position: Position, audiences: Iterable[str], client: str, limit: int, until: int
    ) -> tuple[list[Entry], Position]:
        """Return a reader's mail and its new position (`core.cursor.read`).

        Raises:
            Gap: Mail for it may be forgotten.
        """
        ...

    def check(self, position: Position, audiences: Iterable[str]) -> None:
        """Raise a `Gap` unless a reader of these audiences misses nothing when it reads on from this position."""
        ...

    def last(
        self, count: int, audiences: Iterable[str], until: int, max_entries: int = 1000, max_bytes: int = 1024 * 1024
    ) -> list[Entry]:
        """Return the newest messages up to an offset for these audiences, oldest first: as many as were asked for, and
        as a reader may be shown (`core.window.Window.last`)."""
        ...

    def subscribe(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Have `wake` called after each arrival, from any thread; it must not block. Returns how to stop that."""
        ...

    def forget_old(self, now: float) -> None:
        """Forget what is older than `Limits.history_seconds`, but the newest entry. To be called every few seconds by a
        process that serves, with seconds that never go back; a store forgets by itself, and its mirrors with it.
        """
        ...

    def close(self) -> None:
        """Let go of the store."""
        ...


def real_lock() -> AbstractContextManager[Any]:
    """Make a lock of the operating system, also where gevent has replaced the one of `threading`.

    Duty of the caller: hold it only for a few lines that never switch greenlets.
    """
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None:
        return allocate_lock()
    lock: AbstractContextManager[Any] = monkey.get_original("_thread", "allocate_lock")()
    return lock
