"""How many connections an address has at our own handler: also those that have not said anything yet.

Rule: who speaks for others is not counted, neither a proxy that was named (`Cometware(addresses=…)`) nor, where none was,
one that says so in its first request. What the channel has taken over is counted there (`transports.poller`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from weakref import ref

from cometware.core.address import Addresses, counted, is_signed
from cometware.core.rates import Crowd, Rates

REFUSAL = (
    b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 5\r\nConnection: close\r\n"
    b"X-Content-Type-Options: nosniff\r\nContent-Length: 0\r\n\r\n"
)


class Doors:
    """Those of a process. `place` is whatever stands for a connection."""

    def __init__(self) -> None:
        self._known: dict[ref[Addresses], int | None] = {}
        self._crowd = Crowd()
        self._look()

    def know(self, addresses: Addresses, rates: Sequence[Rates | None]) -> None:
        """This process serves channels of these rates, and believes these; of several, the one counts that lets more in."""
        self._known[ref(addresses, self._forget)] = _widest(
            [None if each is None else each.connections_at_once for each in rates]
        )
        self._look()

    def _forget(self, gone: ref[Addresses]) -> None:
        self._known.pop(gone, None)
        self._look()

    def _look(self) -> None:
        self.most = _widest(list(self._known.values()) or [Rates().connections_at_once])
        """How many connections an address may have; None: as many as it likes."""

    def enter(self, place: object, peer: str) -> bool:
        """Let a connection in. May it come?"""
        most, address = self.most, counted(peer)
        if most is None or not address or self._speaks_for_others(peer, signed=False):
            return True
        if self._crowd.count(address) >= most:
            return False
        self._crowd.enter(place, address)
        return True

    def heard(self, place: object, environ: Mapping[str, Any]) -> None:
        """The first request of a connection is here: count it no longer, if it comes from a proxy."""
        if place in self._crowd.places and is_signed(environ) and self._speaks_for_others(environ["REMOTE_ADDR"], signed=True):
            self._crowd.leave(place)

    def leave(self, place: object) -> None:
        """A connection has ended, or the channel has taken it over."""
        self._crowd.leave(place)

    def _speaks_for_others(self, peer: str, *, signed: bool) -> bool:
        for known in self._known:
            addresses = known()
            if addresses is not None and addresses.is_proxy(peer, signed=signed):
                return True
        return signed and not self._known


def _widest(found: Sequence[int | None]) -> int | None:
    return None if None in found else max(most for most in found if most is not None)


doors = Doors()
"""Those of this process."""
