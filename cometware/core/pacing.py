"""Long computations that give way: whoever runs them in an event loop says how.

Rule: nothing here waits by itself. Without a pace, everything is done in one go, as in a native thread.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar

Pace = Callable[[], None]
"""Called between two pieces of a computation; it may let others run before it returns."""

PACE: ContextVar[Pace | None] = ContextVar("cometware.pace", default=None)
"""The pace of this greenlet."""
