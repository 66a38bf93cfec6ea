"""One epoll for all parked connections of a worker: no greenlet and no watcher waits on any of them."""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import Any, Protocol

import gevent
from gevent import monkey

from cometware.transports.report import report

_epoll: Callable[[], Any] = monkey.get_original("select", "epoll") if monkey.is_module_patched("select") else select.epoll

READ = select.EPOLLIN | select.EPOLLRDHUP
WRITE = select.EPOLLOUT
_BATCH = 512


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
        self._watcher = gevent.get_hub().loop.io(self._epoll.fileno(), 1)
        self._watcher.start(self._on_ready)

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

    def close(self) -> None:
        self._watcher.stop()
        self._watcher.close()
        self._epoll.close()

    def _on_ready(self) -> None:
        watched = self._watched
        for fd, events in self._epoll.poll(0, _BATCH):
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
