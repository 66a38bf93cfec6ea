"""A channel's one connection, in this process, to where its facts live; its Log and its Roster share it.

Rule: one native thread alone touches the connection. It takes all operations that wait and runs them as one group, so that
no event loop ever waits for a disk or a network, and many callers share the price of one commit or round trip.
"""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Collection
from typing import Any, Generic, TypeVar
from weakref import WeakSet

from cometware.core.logger import logger
from cometware.core.masking import masked_url
from cometware.errors import LogUnavailable
from cometware.limits import Limits
from cometware.logs.base import real_lock
from cometware.stores.native import Bell, Waiter, start_thread, thread_id, waiter

Connection = TypeVar("Connection")
Group = TypeVar("Group")
Result = TypeVar("Result")

GROUP = 1000
"""Operations that are run as one group at most."""
_ENOUGH = 32
"""So many wait for no more: a busy loop's turn may be long."""
_RETRY_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
CLOSE_SECONDS = 2.0
"""How long `close` waits for a native thread to end."""
_FORK_SECONDS = 1.0


class Call(Generic[Group]):
    """One operation on its way: `result` or `error` is there when its caller is woken."""

    __slots__ = ("deadline", "error", "operation", "result", "waiter")

    def __init__(self, operation: Callable[[Group], Any], deadline: float, waiter: Waiter | None) -> None:
        self.operation = operation
        self.deadline = deadline
        self.waiter = waiter
        self.result: Any = None
        self.error: BaseException | None = None


class Away(Exception):
    """The store cannot be reached. `untouched` are the calls that were certainly not run, to be run when it is back; all
    others of the group failed, unless `others_done`. `hopeless`: it will not be back by itself, so nobody waits for it.
    """

    def __init__(
        self, trouble: str, untouched: Collection[Call[Any]] = (), *, others_done: bool = False, hopeless: bool = False
    ) -> None:
        super().__init__(trouble)
        self.hopeless = hopeless
        self.trouble = trouble
        self.untouched = untouched
        self.others_done = others_done


class Store(ABC, Generic[Connection, Group]):
    """Operations are called with the group that they join, subscribers with the connection.

    `name` keeps the channels in one store apart. Nothing is opened before the first operation.

    Duty of the caller: after a fork, the child makes a new one and never touches its parent's.
    """

    safety_seconds = 5.0
    """What subscribers are called after at the latest, though nobody has woken us."""
    troubles: tuple[type[Exception], ...] = ()
    """What the connection raises when it is the store's fault."""

    def __init__(self, url: str, name: str, limits: Limits) -> None:
        self.url = masked_url(url)
        self.name = name
        self.limits = limits
        self._guard = real_lock()
        self._calls: deque[Call[Group]] = deque()
        self._subscribers: tuple[Callable[[Connection], None], ...] = ()
        self._preparations: tuple[Callable[[Group], Any], ...] = ()
        self._connection: Connection | None = None
        self._trouble = "it has not answered"
        self._told = False
        self._failures = 0
        self._retry_at = 0.0
        self._bell: Bell | None = None
        self._thread = 0
        self._closing = False
        self._closed: Waiter | None = None
        self._working = real_lock()
        _stores.add(self)

    # From any thread or greenlet

    def do(self, operation: Callable[[Group], Result]) -> Result:
        """Run an operation in the store's thread and return its result; what it raises is raised here, and undone.

        The caller's event loop goes on meanwhile. Other operations that wait are run in the same group.

        Raises:
            LogUnavailable: The store was away for `Limits.store_seconds`; the operation may or may not be done.
        """
        mine = waiter()
        call = Call(operation, time.monotonic() + self.limits.store_seconds, mine)
        if self._put(call) < _ENOUGH:
            mine.before(self._ring)  # at the end of a loop's turn: what its clients ask within it is one group
        else:
            self._ring()
        if not mine.wait(self.limits.store_seconds):
            call.deadline = 0.0
            raise LogUnavailable(self.url, self._trouble)
        if call.error is not None:
            raise call.error
        return call.result  # type: ignore[no-any-return]

    def post(self, operation: Callable[[Group], Any]) -> None:
        """Have an operation run soon, and do not wait for it. Its failure is logged.

        Raises:
            LogUnavailable: Too many operations wait already (`Limits.max_waiting_operations`).
        """
        self._put(Call(operation, time.monotonic() + self.limits.store_seconds, None))
        self._ring()

    def subscribe(self, wake: Callable[[Connection], None]) -> None:
        """Have `wake` called in the store's thread after each group, before its callers go on; when another process has
        announced something; when the store was opened; and every few seconds. It must not call `do`.
        """
        self._subscribers += (wake,)

    def prepare(self, operation: Callable[[Group], Any]) -> None:
        """Have an operation run whenever the store is opened, before any other: to make a table. Call it before `do`."""
        self._preparations += (operation,)

    def close(self) -> None:
        """Finish what waits, if the store is there, and let go of it."""
        with self._guard:
            if self._closing or self._bell is None:
                self._closing = True
                return
            self._closing = True
            if thread_id() == self._thread:
                return  # the collector of garbage runs where it likes
            self._closed = waiter()
            self._bell.ring()
        self._closed.wait(CLOSE_SECONDS)

    def _put(self, call: Call[Group]) -> int:
        """Let a call wait for the thread; return how many do."""
        if thread_id() == self._thread:
            raise RuntimeError("an operation or subscriber of a store must not ask the store again")
        with self._guard:
            if self._closing:
                raise LogUnavailable(self.url, "this process has closed it")
            if len(self._calls) >= self.limits.max_waiting_operations:
                raise LogUnavailable(
                    self.url,
                    f"{len(self._calls)} operations wait already (Limits.max_waiting_operations); last seen: {self._trouble}",
                )
            self._calls.append(call)
            return len(self._calls)

    def _ring(self) -> None:
        """Let the thread see what was put; it begins with the first."""
        with self._guard:
            if self._closing:
                return  # which has rung
            if self._bell is None:
                self._bell = Bell()
                start_thread(self._run)
            self._bell.ring()

    # What each kind of store does in its own way, in its thread

    @abstractmethod
    def _open(self) -> Connection:
        """Reach the store.

        Raises:
            Away: It cannot be reached.
        """

    @abstractmethod
    def _group(self, connection: Connection, calls: list[Call[Group]]) -> None:
        """Run calls as one group, each for itself, and note each one's result or error.

        Raises:
            Away: The store was lost on the way.
        """

    @abstractmethod
    def _leave(self, connection: Connection) -> None:
        """Close a connection, also one that is broken. Raises nothing."""

    def _explained(self, error: Exception) -> str:
        """Tell a trouble of the store in words."""
        return str(error)

    def _hear(self) -> None:
        """Take note of what other processes have announced."""

    def _vanished(self, connection: Connection) -> bool:
        """Is what we are connected to no longer what the URL says?"""
        return False

    # The thread

    def _run(self) -> None:
        self._thread = thread_id()
        assert self._bell is not None
        while not (self._closing and not self._calls):
            self._bell.wait(self._pause())
            try:
                with self._working:
                    self._hear()
                    self._turn()
            except Exception:
                logger.exception("cometware: a fault in the store's thread")
                self._lost("a fault in the store's thread; see the log")
            self._expire()
        if self._connection is not None:
            self._leave(self._connection)
            self._connection = None
        self._bell.close()
        if self._closed is not None:
            self._closed.wake()

    def _pause(self) -> float:
        """Return for how many seconds there is nothing to do, unless somebody rings."""
        if self._connection is not None:
            return self.safety_seconds
        return max(0.0, self._retry_at - time.monotonic())

    def _turn(self) -> None:
        if self._connection is not None and self._vanished(self._connection):
            self._lost("it was replaced", away=False)
        if self._connection is None and not self._reach():
            return
        connection = self._connection
        assert connection is not None
        calls = self._take()
        try:
            if calls:
                self._group(connection, calls)
            self._wake(connection)
            self._works()
        except Away as away:
            self._lost(away.trouble)
            again = [] if away.hopeless else [call for call in calls if call in away.untouched]
            calls = [call for call in calls if call not in away.untouched]
            with self._guard:
                self._calls.extendleft(reversed(again))
            for call in calls:
                if call.error is None and not away.others_done:
                    call.error = LogUnavailable(self.url, away.trouble)
        except BaseException as error:
            for call in calls:
                call.error = call.error or error
            self._finish(calls)
            raise
        self._finish(calls)

    def _wake(self, connection: Connection) -> None:
        try:
            for wake in self._subscribers:
                wake(connection)
        except self.troubles as error:
            raise Away(self._explained(error)) from error

    def _take(self) -> list[Call[Group]]:
        now = time.monotonic()
        calls: list[Call[Group]] = []
        with self._guard:
            while self._calls and len(calls) < GROUP:
                call = self._calls.popleft()
                if call.deadline > now:  # or its caller has given up
                    calls.append(call)
            if self._calls and self._bell is not None:
                self._bell.ring()  # the rest is the next group
        return calls

    def _finish(self, calls: list[Call[Group]]) -> None:
        for call in calls:
            if call.waiter is not None:
                call.waiter.wake()
            elif call.error is not None:
                self._tell(f"nobody waited for an operation that failed: {call.error!r}")

    def _expire(self) -> None:
        """Let go of what has waited too long for a store that is away; callers have their own clock."""
        now = time.monotonic()
        with self._guard:
            if self._connection is not None or not self._calls:
                return
            waiting = [call for call in self._calls if call.deadline > now]
            dropped = [call for call in self._calls if call.deadline <= now and call.waiter is None]
            self._calls = deque(waiting)
            if self._closing:
                self._calls.clear()
        if dropped:
            self._tell(f"{len(dropped)} operations for which nobody waited were dropped: {self._trouble}")

    def _reach(self) -> bool:
        if time.monotonic() < self._retry_at:
            return False
        try:
            connection = self._open()
            self._connection = connection
            for operation in self._preparations:
                call = Call(operation, 0.0, None)
                self._group(connection, [call])
                if call.error is not None:
                    raise call.error
        except Exception as error:
            self._lost(error.trouble if isinstance(error, Away) else str(error))
            if isinstance(error, Away) and error.hopeless:
                self._fail(error.trouble)
            if not isinstance(error, Away):
                logger.error("cometware: the store %s cannot be made ready: %r", self.url, error)
            return False
        return True

    def _fail(self, trouble: str) -> None:
        """Let nobody wait for what cannot come."""
        with self._guard:
            calls, self._calls = list(self._calls), deque()
        for call in calls:
            call.error = LogUnavailable(self.url, trouble)
        self._finish(calls)

    def _works(self) -> None:
        """Forget past troubles: it has not only answered, it does what it is asked."""
        if self._failures:
            logger.warning("cometware: the store %s is back", self.url)
        self._told, self._failures = False, 0

    def _lost(self, trouble: str, *, away: bool = True) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._leave(connection)
        if away:
            self._trouble = trouble
            self._retry_at = time.monotonic() + _RETRY_SECONDS[min(self._failures, len(_RETRY_SECONDS) - 1)]
            self._failures += 1
            self._tell(f"away: {trouble}")

    def _tell(self, what: str) -> None:
        """Log a trouble once, until the store is there again."""
        if not self._told:
            self._told = True
            logger.warning("cometware: the store %s: %s", self.url, what)


_stores: WeakSet[Store[Any, Any]] = WeakSet()
_held: list[Any] = []


def _before_fork() -> None:
    """Let no store be at work at that moment: the child would inherit the locks of SQLite's library as they are then."""
    for store in list(_stores):
        lock: Any = store._working
        if lock.acquire(timeout=_FORK_SECONDS):
            _held.append(lock)


def _after_fork_in_parent() -> None:
    while _held:
        _held.pop().release()


def _after_fork_in_child() -> None:
    _stores.clear()
    _held.clear()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
