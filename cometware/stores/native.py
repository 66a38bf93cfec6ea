"""Native threads beside event loops: started, rung and waited for, whether or not gevent has replaced those of Python.

Rule: nothing here imports gevent; a program that has it finds it among the modules.
"""

from __future__ import annotations

import os
import select
import sys
from collections import deque
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any, Protocol
from weakref import WeakKeyDictionary


@cache
def original(module: str, name: str) -> Any:
    """Return what the standard library has under this name, also where gevent has replaced it."""
    monkey = sys.modules.get("gevent.monkey")
    return getattr(import_module(module), name) if monkey is None else monkey.get_original(module, name)


def start_thread(run: Callable[[], None]) -> None:
    """Run a function in a thread of the operating system."""
    original("_thread", "start_new_thread")(run, ())


def thread_id() -> int:
    """Name the thread that runs, not the greenlet."""
    number: int = original("_thread", "get_ident")()
    return number


class Bell:
    """Wakes one native thread, from any thread. It may wait for sockets at the same time.

    Whoever rings has put down before what the thread is to see; rung twice before it wakes is rung once.
    """

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._poll = original("select", "poll")()
        self._poll.register(self._reader, select.POLLIN)
        self._rung = False

    def watch(self, descriptor: int) -> None:
        """Let whatever can be read here wake the thread, too; it is for the caller to read it."""
        self._poll.register(descriptor, select.POLLIN)

    def forget(self, descriptor: int) -> None:
        self._poll.unregister(descriptor)

    def ring(self) -> None:
        if not self._rung:
            self._rung = True
            os.write(self._writer, b"\0")

    def wait(self, seconds: float) -> None:
        """Return when it has been rung, a socket can be read, or the time is over."""
        if self._poll.poll(max(0, int(seconds * 1000) + 1)):
            try:
                os.read(self._reader, 4096)
            except BlockingIOError:
                pass
            self._rung = False  # not sooner: a ring in between is seen by who returns now

    def close(self) -> None:
        os.close(self._reader)
        os.close(self._writer)


class Waiter(Protocol):
    """One wait of one caller. `wake` may be called before, from any thread; it is remembered."""

    def wake(self) -> None: ...

    def before(self, call: Callable[[], None]) -> None:
        """Have this called before the caller waits: by an event loop once at the end of its turn, however many ask for it."""
        ...

    def wait(self, seconds: float) -> bool:
        """Wait until woken. Was it, within this time?"""
        ...


def waiter() -> Waiter:
    """Return what the caller can wait with: its event loop goes on, if it has one and is not the loop itself."""
    local = sys.modules.get("gevent._hub_local")
    hub = local.get_hub_if_exists() if local is not None else None
    if hub is None or sys.modules["greenlet"].getcurrent() is hub:
        return _ThreadWaiter()
    return _GreenletWaiter(hub)


class _ThreadWaiter:
    def __init__(self) -> None:
        self._lock: Any = original("_thread", "allocate_lock")()
        self._lock.acquire()

    def wake(self) -> None:
        self._lock.release()

    def before(self, call: Callable[[], None]) -> None:
        call()

    def wait(self, seconds: float) -> bool:
        woken: bool = self._lock.acquire(timeout=seconds)
        return woken


class _GreenletWaiter:
    def __init__(self, hub: Any) -> None:
        self._waiter = sys.modules["gevent.hub"].Waiter(hub)
        bell = _hub_bells.get(hub)
        if bell is None:
            bell = _hub_bells[hub] = _HubBell(hub)
        self._bell = bell

    def wake(self) -> None:
        self._bell.ring(self._waiter)

    def before(self, call: Callable[[], None]) -> None:
        self._bell.at_end(call)

    def wait(self, seconds: float) -> bool:
        with sys.modules["gevent"].Timeout(seconds, False):
            self._waiter.get()
            return True
        return False


class _HubBell:
    """Wakes greenlets of one event loop from other threads: many with one signal, so that what they do next is one group."""

    def __init__(self, hub: Any) -> None:
        self._ready: deque[Any] = deque()
        self._rung = False
        self._loop = hub.loop
        self._due: list[Callable[[], None]] = []
        self._watcher: Any = hub.loop.async_(ref=False)
        self._watcher.start(self._answer)

    def ring(self, waiter: Any) -> None:
        self._ready.append(waiter)
        if not self._rung:
            self._rung = True
            self._watcher.send()

    def _answer(self) -> None:
        self._rung = False  # before the first is taken: who comes later rings again
        while self._ready:
            self._ready.popleft().switch(True)

    def at_end(self, call: Callable[[], None]) -> None:
        """In the loop's own thread: have this called at the end of this turn, once."""
        if not self._due:
            self._loop.run_callback(self._end)
        if call not in self._due:
            self._due.append(call)

    def _end(self) -> None:
        due, self._due = self._due, []
        for call in due:
            call()


_hub_bells: WeakKeyDictionary[Any, _HubBell] = WeakKeyDictionary()

os.register_at_fork(after_in_child=_hub_bells.clear)  # a bell may have been rung just then, by a thread that is no more
