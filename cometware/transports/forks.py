"""A process that serves was forked, by a view or by a handler: the child goes on with the one greenlet that forked, and with
nothing else that its parent had begun.

Rule: what the parent watches is the parent's. A child would take from the same epoll what comes for its parent, and accept its
connections; and a socket ends only when its last copy is closed.
"""

from __future__ import annotations

import gc
import os
import sys
from typing import Any

from gevent._hub_local import get_hub_if_exists

from cometware.transports.poller import pollers

_FRAMES = 8
"""How far up it is looked who forks."""


class Forks:
    """Of this process. `is_serving`: has a request come? Before that it is servers who fork their workers, which own all."""

    def __init__(self) -> None:
        self.is_serving = False
        self._kept: list[object] = []
        """What never runs again: were it collected, its greenlets would be ended, and they end what is the parent's."""

    def in_child(self) -> None:
        """Leave the parent's to the parent; nothing is to be done where the child is another program in a moment."""
        if not self.is_serving or _will_execute():
            return
        self.is_serving = False
        hub = get_hub_if_exists()
        if hub is not None:
            hub.loop.reinit()  # so does gevent's `os.fork`; but not everybody has patched it
        loops = {poller.loop for poller in pollers} | ({hub.loop} if hub is not None else set())
        for loop in loops:
            self._still(loop)
        for poller in list(pollers):
            self._kept.append(poller)
            poller.abandon()

    def _still(self, loop: Any) -> None:
        """Stop all that this loop watches or was to call. gevent has no list of it; the collector of garbage has, and looking
        there writes nothing, so that no page of memory is copied."""
        is_frozen = bool(gc.get_freeze_count())
        if is_frozen:
            gc.unfreeze()
        for found in gc.get_referrers(loop):
            if getattr(found, "active", False) and type(found).__name__ != "fork":  # those mend gevent's own threads
                self._kept.append((found.callback, found.args))
                found.stop()
        if is_frozen:
            gc.freeze()
        for callback in list(loop._callbacks):
            self._kept.append((callback.callback, callback.args))
            callback.stop()


def _will_execute() -> bool:
    """Is it `subprocess` that forks, also gevent's?"""
    frame = sys._getframe()
    for _ in range(_FRAMES):
        if frame.f_back is None:
            return False
        frame = frame.f_back
        if frame.f_code.co_name == "_execute_child":
            return True
    return False


forks = Forks()
os.register_at_fork(after_in_child=forks.in_child)
