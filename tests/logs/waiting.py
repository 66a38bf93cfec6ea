"""Waiting for a log, with a limit."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from cometware.logs.base import Log

SECONDS = 60


def until(log: Log, is_so: Callable[[], Any]) -> None:
    """Return when something is so; it is looked at whenever the log has woken us."""
    woken = threading.Event()
    stop = log.subscribe(woken.set)
    try:
        while not is_so():
            assert woken.wait(SECONDS), "the log has not woken its readers"
            woken.clear()
    finally:
        stop()
