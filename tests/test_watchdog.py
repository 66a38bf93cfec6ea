"""What the watchdog tells of a frame. That it barks, and where, is seen in `tests/live/test_threads.py`."""

from __future__ import annotations

import sys
from types import FrameType, FunctionType

from cometware.watchdog import _line


def here() -> FrameType:
    return sys._getframe()


def test_a_frame_is_at_its_line() -> None:
    assert _line(here()) == here.__code__.co_firstlineno + 1


def test_a_frame_that_is_at_no_line_is_where_its_function_begins() -> None:
    without_lines = FunctionType(here.__code__.replace(co_linetable=b""), globals())
    frame = without_lines()
    assert frame.f_lineno is None
    assert _line(frame) == here.__code__.co_firstlineno
