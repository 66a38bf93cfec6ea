"""What a test's transaction is spared: Django closes old connections when a request begins and ends, and would close that."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def kept_transactions() -> Iterator[None]:
    """Let requests run in the transaction of the test, as Django's own test client does; nothing, where Django is not used."""
    if "django.db" not in sys.modules:
        yield
        return
    from django.core.signals import request_finished, request_started
    from django.db import close_old_connections

    signals = [signal for signal in (request_started, request_finished) if signal.disconnect(close_old_connections)]
    try:
        yield
    finally:
        for signal in signals:
            signal.connect(close_old_connections)
