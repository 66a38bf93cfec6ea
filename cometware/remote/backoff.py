"""How long to pause before trying again: full jitter, so that those who lost the same server do not come back together."""

from __future__ import annotations

import random
from collections.abc import Callable

FIRST_SECONDS, MOST_SECONDS = 0.5, 20.0
"""The first pause is 0 to this long, then up to twice as long, up to the most."""


class Backoff:
    """Pauses that grow with each failure in a row. `chance` picks a number between two."""

    def __init__(self, chance: Callable[[float, float], float] = random.uniform) -> None:
        self.failures = 0
        self._chance = chance

    def pause(self) -> float:
        """Count a failure, and return how many seconds to wait."""
        most = min(MOST_SECONDS, FIRST_SECONDS * 2 ** min(self.failures, 10))
        self.failures += 1
        return self._chance(0, most)

    def reset(self) -> None:
        self.failures = 0
