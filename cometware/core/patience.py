"""How long a client is to wait whose history is lost again and again: workers that do not share one log answer it in turn."""

from __future__ import annotations

_MANY = 10_000
"""Clients whose losses are counted; beyond, all are counted anew."""
_FIRST_SECONDS = 1.0
_LONGEST_SECONDS = 32.0
_DOUBLINGS = 5
"""After so many it is the longest; counted further, it would be a number that no clock takes."""


class Patience:
    """Counts the losses of each client within a minute of each other. A single one, as after a restart, costs no wait."""

    def __init__(self) -> None:
        self._losses: dict[str, tuple[int, float]] = {}

    def lost(self, client: str, now: float) -> float:
        """History is lost, at this time in seconds: return how many seconds the client is to wait before it comes again."""
        if len(self._losses) >= _MANY:
            self._losses.clear()
        losses, before = self._losses.get(client, (0, now))
        losses = losses + 1 if now - before < _LONGEST_SECONDS * 2 else 1
        self._losses[client] = (losses, now)
        return 0.0 if losses == 1 else min(_FIRST_SECONDS * 2 ** min(losses - 2, _DOUBLINGS), _LONGEST_SECONDS)
