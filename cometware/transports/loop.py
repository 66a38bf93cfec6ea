"""An event loop in a native thread of its own, for processes whose requests are served by threads."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

import gevent
from gevent import monkey
from gevent.event import Event

Result = TypeVar("Result")


class LoopThread:
    """`call` runs a function in a greenlet of the loop and waits for it, from any thread but the loop's own."""

    def __init__(self) -> None:
        self._calls: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._arrival: Any = None
        started: Future[None] = Future()
        thread: Callable[..., threading.Thread] = (
            monkey.get_original("threading", "Thread") if monkey.is_module_patched("threading") else threading.Thread
        )
        thread(target=self._run, args=(started,), name="cometware", daemon=True).start()
        started.result()

    def call(self, function: Callable[[], Result]) -> Result:
        """Run a function in the loop; return what it returns, raise what it raises."""
        future: Future[Result] = Future()
        self._calls.append((function, future))
        self._arrival.send()
        return future.result()

    def _run(self, started: Future[None]) -> None:
        self._arrival = gevent.get_hub().loop.async_()
        self._arrival.start(self._take)
        started.set_result(None)
        Event().wait()

    def _take(self) -> None:
        while self._calls:
            gevent.spawn(self._do, *self._calls.popleft())

    def _do(self, function: Callable[[], Any], future: Future[Any]) -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)
