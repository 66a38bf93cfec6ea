"""Where the library tells the operator what happened.

Rule: what strangers can bring about is told once for each kind, and then once in a while with a number.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from traceback import walk_tb

from cometware.core.logger import logger
from cometware.core.repeats import Repeats
from cometware.logs.base import real_lock

__all__ = ["begin_anew", "listeners", "logger", "report", "tell"]

listeners: list[Callable[[BaseException], None]] = []
"""Who hears of each exception that is reported, also of one that is not told again: a test kit."""

_lock = real_lock()
_repeats = Repeats()


def begin_anew() -> None:
    """Forget what was told: the operator, or a test, begins anew."""
    global _repeats
    with _lock:
        _repeats = Repeats()


def tell(kind: str, text: str) -> None:
    """Warn of what a stranger has brought about. `kind` is a fixed name of ours, the text may have words of theirs."""
    with _lock:
        lines = _repeats.told(kind, text, time.monotonic())
    for line in lines:
        logger.warning("%s", line)


def report(where: str) -> None:
    """Log the running exception with its traceback; the same one again is only counted."""
    kind, error, trace = sys.exc_info()
    assert kind is not None and error is not None
    for listener in listeners:
        listener(error)
    frame, line = list(walk_tb(trace))[-1]
    what = f"{kind.__name__} at {frame.f_code.co_filename}:{line}"
    with _lock:
        lines = _repeats.told("traceback", what, time.monotonic())
    for told in lines:
        if told.text == what:
            logger.exception("error in %s", told._replace(text=where))
        else:
            logger.warning("%s", told)


def _after_fork() -> None:
    global _lock
    _lock = real_lock()  # another thread may have held it just then


os.register_at_fork(after_in_child=_after_fork)
