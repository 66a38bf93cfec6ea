"""When to ping a peer, and when its silence means that it is gone. Ticks go in and come out; a peer is never given less time
than it was promised."""

from __future__ import annotations

from typing import NamedTuple


class Beat(NamedTuple):
    """What to do at a tick.

    `pings`: send a ping now. `first_tick` is that of the first ping since anything was heard (0: none), to be handed to
    the next `beat`, which is wanted at `next_tick`.
    """

    pings: bool
    first_tick: int
    next_tick: int


def beat(tick: int, first_tick: int, *, heard: bool, every: int, patience: int) -> Beat | None:
    """Decide what to do about a peer that is pinged `every` so many ticks; None: it is gone.

    It is gone if nothing was heard for at least `patience` whole ticks after a ping. That may be longer than several
    intervals between pings, or shorter than one. `heard`: has anything come since the ping at `first_tick`?
    """
    if first_tick and not heard and tick > first_tick + patience:
        return None
    pings = not first_tick or (tick - first_tick) % every == 0
    next_ping = tick + every - (tick - first_tick) % every if first_tick else tick + every
    if pings and (heard or not first_tick):
        first_tick = tick
    elif heard:
        return Beat(False, 0, next_ping)
    return Beat(pings, first_tick, min(next_ping, first_tick + patience + 1))
