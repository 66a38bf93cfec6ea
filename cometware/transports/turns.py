"""Nobody holds the event loop: what has more to do than a turn allows goes on when all the others were asked.

A round is what the loop does between two looks at its sockets. All that works on without having waited shares one turn in
each round; when it is over they stand in one line, and one of them goes on in each round, however many there are. There are
two such turns and lines: one for what strangers send, one for the handlers of what was understood of it, which serve all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

from gevent import get_hub
from gevent.hub import Waiter
from gevent.lock import BoundedSemaphore

from cometware.core.pacing import PACE
from cometware.core.pieces import LARGE
from cometware.transports.report import report

Result = TypeVar("Result")

TURN_SECONDS = 0.005
"""How long what does not wait may work in one round."""

_ONE_BYTES = 64 * 1024
"""What is larger is understood one by one."""


class Turns:
    """The turns of one event loop. Ask `is_over` between two pieces of work of which the second did not have to be waited
    for, never for the first: what waits costs nothing.
    """

    def __init__(self, loop: Any) -> None:
        self._loop = loop
        self._round = -1
        self._began = 0.0
        self._line: deque[Callable[[], object]] = deque()
        self._timer = loop.timer(0)

    def is_over(self) -> bool:
        """Has this round's turn been used up? A round begins with the first who asks in it."""
        now = perf_counter()
        if self._round != self._loop.iteration:
            self._round, self._began = self._loop.iteration, now
            return False
        return now - self._began > TURN_SECONDS

    def pace(self) -> None:
        """Between two pieces of a greenlet's work: give way, if this round's turn has been used up."""
        if self.is_over():
            self.give_way()

    @property
    def is_waited_for(self) -> bool:
        """Does anybody stand in the line?"""
        return bool(self._line)

    def later(self, go_on: Callable[[], object]) -> None:
        """Call this in the loop, in a later round, behind all others that wait for that. It may not switch greenlets."""
        self._line.append(go_on)
        if len(self._line) == 1:
            self._timer.start(self._next)

    def give_way(self) -> None:
        """Let this greenlet wait for a turn in a later round."""
        waiter = Waiter()
        self.later(partial(waiter.switch, None))
        waiter.get()

    def _next(self) -> None:
        go_on = self._line[0]
        try:
            go_on()
        except Exception:
            report("work that was put off")
        finally:
            self._line.popleft()
            if self._line:
                self._timer.start(self._next)


class LoopTurns(NamedTuple):
    """The turns of one event loop: for reading what strangers send, and for handling it. Who understands what is very large
    holds `large`: nobody is served sooner by several at once, but all that they make is looked through by Python's collector.
    """

    reading: Turns
    handling: Turns
    large: BoundedSemaphore


_turns: WeakKeyDictionary[Any, LoopTurns] = WeakKeyDictionary()


def all_turns_here() -> LoopTurns:
    """Return the turns of this thread's event loop."""
    hub = get_hub()
    found = _turns.get(hub)
    if found is None:
        found = _turns[hub] = LoopTurns(Turns(hub.loop), Turns(hub.loop), BoundedSemaphore())
    return found


def in_turns(size: int, call: Callable[..., Result], *arguments: Any) -> Result:
    """Compute something of so many bytes in this greenlet; what is large gives way to what others send.

    Only what does not wait for anything else: what is very large is computed one by one.
    """
    if size <= _ONE_BYTES:
        return at_a_pace(size, call, *arguments)
    with all_turns_here().large:
        return at_a_pace(size, call, *arguments)


def at_a_pace(size: int, call: Callable[..., Result], *arguments: Any) -> Result:
    """The same for what may wait, as a handler may."""
    if size <= LARGE:
        return call(*arguments)
    token = PACE.set(turns_here().pace)
    try:
        return call(*arguments)
    finally:
        PACE.reset(token)


def turns_here() -> Turns:
    """Return the turns in which this thread's event loop reads."""
    return all_turns_here().reading
