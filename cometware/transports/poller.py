"""One epoll for all parked connections of a worker: no greenlet and no watcher waits on any of them.

Rule: each is asked once before any is asked again, and in one round of the loop they are asked for no longer than a turn.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from contextlib import suppress
from time import perf_counter
from typing import Any, Protocol
from weakref import WeakSet

import gevent
from gevent import monkey

from cometware.core.rates import Crowd
from cometware.transports.report import report
from cometware.transports.turns import TURN_SECONDS

_epoll: Callable[[], Any] = monkey.get_original("select", "epoll") if monkey.is_module_patched("select") else select.epoll

READ = select.EPOLLIN | select.EPOLLRDHUP
WRITE = select.EPOLLOUT
_BATCH = 512
_FEW = 4
"""Connections that are told between two looks at the clock."""


class Watched(Protocol):
    """What a poller calls, in the hub: neither may switch greenlets."""

    def on_readable(self) -> None: ...

    def on_writable(self) -> None: ...

    def lost(self, reason: str) -> None:
        """Let go of the socket: one of the two above has failed."""


class Poller:
    """Calls `on_readable` and `on_writable` of what it watches."""

    def __init__(self) -> None:
        self._epoll = _epoll()
        self._watched: dict[int, Watched] = {}
        self._ready: list[tuple[int, int]] = []
        self.crowd = Crowd()
        """How many sockets are watched of each address; whoever brings one says whose it is."""
        self.loop = gevent.get_hub().loop
        self._watcher = self.loop.io(self._epoll.fileno(), 1)
        self._watcher.start(self._on_ready)
        pollers.add(self)

    def __len__(self) -> int:
        return len(self._watched)

    def add(self, fd: int, watched: Watched) -> None:
        """Watch a socket for arrivals and for its end."""
        self._watched[fd] = watched
        self._epoll.register(fd, READ)

    def watch(self, fd: int, events: int) -> None:
        """Choose between `READ`, `WRITE`, both and 0; errors and hang-ups are always told, as readable."""
        self._epoll.modify(fd, events)

    def remove(self, fd: int) -> None:
        if self._watched.pop(fd, None) is not None:
            self._epoll.unregister(fd)
            if self._ready:  # a new socket may have its number next
                self._ready = [ready for ready in self._ready if ready[0] != fd]
            if fd in self.crowd.places:
                self.crowd.leave(fd)

    def close(self) -> None:
        self._watcher.stop()
        self._watcher.close()
        self._epoll.close()

    def abandon(self) -> None:
        """Close a child's copies of all this; what was its parent's is not told, nor used again."""
        self._epoll.close()
        for fd in self._watched:
            with suppress(OSError):
                os.close(fd)

    def _on_ready(self) -> None:
        """Tell those who are ready. For whom there is no time in this round, the epoll is ready in the next one, too."""
        watched, end = self._watched, 0.0
        ready = self._ready or self._epoll.poll(0, _BATCH)
        self._ready = []
        for index, (fd, events) in enumerate(ready):
            if index % _FEW == _FEW - 1:
                now = perf_counter()
                end = end or now + TURN_SECONDS
                if now > end:
                    self._ready = ready[index:]
                    break
            connection = watched.get(fd)
            if connection is None:
                continue  # an earlier one of this batch has ended it
            try:
                if events & WRITE:
                    connection.on_writable()
                if events & ~WRITE and watched.get(fd) is connection:
                    connection.on_readable()
            except Exception:
                report("a parked connection")
                connection.lost("error")


pollers: WeakSet[Poller] = WeakSet()
"""Those of this process."""
