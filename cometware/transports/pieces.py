"""A body in pieces, so that who sends one in the smallest chunks, and fast, does not hold the loop of whatever server."""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter
from typing import Any

from cometware.transports.turns import turns_here

_LEAST_BYTES = 1024
"""At first: a server that reads chunks of one byte in Python takes some 10 ms for so much."""
_MOST_BYTES = 64 * 1024
_QUICK_SECONDS = 0.001


def read_pieces(stream: Any, size: int | None = None) -> Iterator[bytes]:
    """Read a request's body in this greenlet, giving way when the turn is over; all of it, or `size` bytes if it has them.

    A piece is the larger, the quicker the last one came.
    """
    turns, wanted, left = turns_here(), _LEAST_BYTES, size
    while left is None or left > 0:
        began = perf_counter()
        data = stream.read(wanted if left is None else min(wanted, left))
        if not data:
            return
        yield data
        if left is not None:
            left -= len(data)
        is_quick = perf_counter() - began < _QUICK_SECONDS
        wanted = min(2 * wanted, _MOST_BYTES) if is_quick else max(wanted // 2, _LEAST_BYTES)
        if turns.is_over():
            turns.give_way()
