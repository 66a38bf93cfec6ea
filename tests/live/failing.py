"""A connection that must fail for one reason: with more time at each try, since a busy machine fails for want of time."""

from __future__ import annotations

import re
from typing import Any

import pytest

from cometware import Refused, Unreachable, connect


def failure_of(url: str, *transports: str, told: str, **options: Any) -> Unreachable | Refused:
    """Return the error that tells this, a regular expression."""
    for timeout in (0.1, 1, 10, 60):
        with pytest.raises((Unreachable, Refused)) as failed:
            connect(url, *transports, timeout=timeout, **options)
        if re.search(told, str(failed.value)):
            break
    assert re.search(told, str(failed.value)), failed.value
    return failed.value
