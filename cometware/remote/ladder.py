"""Which transport to try, and when to try a better one. Pure: it is told the time, and what became of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cometware.remote.links import LINKS

AUTO = ("websocket", "stream", "poll")
UPGRADE_SECONDS = (10.0, 60.0, 300.0, 1800.0)
"""When a better transport is tried again; one that has worked before, after `AGAIN_SECONDS`."""
AGAIN_SECONDS = 1.0
YOUNG_SECONDS = 30.0
BANNED_SECONDS = 600.0
"""How long a transport is left alone that dies young and useless, again and again."""
LEAST_HOLD_SECONDS = 0.5


class Hop(NamedTuple):
    """Another connection beside the one that serves: at a time, by a transport, and why."""

    at: float
    name: str
    why: str


class Ladder:
    """The transports that may be used, the best first.

    `is_forced`: there is but one. `hold_seconds` is how long a poll may be held; None is as long as the server likes.

    Raises:
        ValueError: There is no such transport.
    """

    def __init__(self, transport: str) -> None:
        if transport != "auto" and transport not in LINKS:
            raise ValueError(f"transport={transport!r}: expected auto, {', '.join(LINKS)}")
        self.is_forced = transport != "auto"
        self.names: Sequence[str] = (transport,) if self.is_forced else AUTO
        self.hold_seconds: float | None = None
        self._first = 0
        self._worked: set[str] = set()
        self._upgrades = 0
        self._deaths = dict.fromkeys(LINKS, 0)
        self._banned_until = dict.fromkeys(LINKS, 0.0)
        self._cut_seconds = 0.0

    def candidates(self, now: float) -> Sequence[str]:
        """Return the transports to try, beginning with the one that worked."""
        names = [name for name in self.names[self._first :] if self._banned_until[name] <= now]
        return names or self.names[-1:]

    def all_failed(self) -> None:
        """Nothing worked: begin at the top again."""
        self._first = 0

    def serves(self, name: str, now: float) -> Hop | None:
        """A transport serves from now on. Return the hop that should follow, if one should."""
        self._worked.add(name)
        if name in self.names:
            self._first = self.names.index(name)
        return Hop(now, self.names[0], "by hand") if self.is_forced and name not in self.names else self.upgrade(name, now)

    def upgrade(self, name: str, now: float) -> Hop | None:
        """Return when to try a better transport than this one, and which."""
        rank = self.names.index(name) if name in self.names else 0
        if not rank:
            return None
        better = self.names[self._upgrades % rank]
        pause = AGAIN_SECONDS if better in self._worked else UPGRADE_SECONDS[min(self._upgrades, len(UPGRADE_SECONDS) - 1)]
        self._worked.discard(better)
        self._upgrades += 1
        return Hop(now + pause, better, "upgrade")

    def lost(self, name: str, lived_seconds: float, now: float, *, useful: bool) -> None:
        """A transport that served has died. `useful`: it brought something."""
        if useful or lived_seconds > YOUNG_SECONDS:
            self._deaths[name] = 0
            return
        self._deaths[name] += 1
        if name != self.names[-1] and self._deaths[name] > (1 if name == "websocket" else 2):
            self._banned_until[name] = now + BANNED_SECONDS
            self._deaths[name] = 0

    def poll_lost(self, held_seconds: float) -> None:
        """A held poll was cut. Who cuts what is idle does so after the same time each time: ask for half of it."""
        if held_seconds > 1 and abs(held_seconds - self._cut_seconds) < held_seconds / 5:
            self.hold_seconds = max(LEAST_HOLD_SECONDS, held_seconds / 2)
        self._cut_seconds = held_seconds
