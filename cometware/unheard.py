"""A publish that nobody can hear: into a log in the memory of a process that serves nobody. It is said once.

Rule: a server that is being loaded may publish, too, and who comes later reads it; so where a `Cometware` was made, it is said
when the process ends, or goes on so for a while.
"""

from __future__ import annotations

import atexit
import time

from cometware.core.logger import logger

_PATIENCE_SECONDS = 10.0


class Unheard:
    """Of this process."""

    def __init__(self) -> None:
        self.is_told = False
        self.is_serving = False
        """Has this process answered a request?"""
        self._names: dict[str, float] = {}

    def note(self, name: str, *, is_wrapped: bool) -> None:
        """Something was published into a channel of this name, for which no request has come yet."""
        if self.is_told or self.is_serving:
            return
        if not self._names:
            atexit.register(self._at_end)
        since = self._names.setdefault(name, time.monotonic())
        if not is_wrapped or time.monotonic() - since > _PATIENCE_SECONDS:
            self._tell(name)

    def _at_end(self) -> None:
        if not self.is_told and not self.is_serving:
            self._tell(next(iter(self._names)))

    def _tell(self, name: str) -> None:
        self.is_told = True
        logger.warning(
            "nobody can hear what was published here: the channel %r is at 'memory:', and so in this process alone, which "
            "serves nobody. What reaches the server is one log for both: Channel('sqlite:////srv/shop.db') on one host, "
            "Channel('redis://host/0') on several; or a POST to <path>/publish (Cometware(publish_token=…))",
            name,
        )


unheard = Unheard()
