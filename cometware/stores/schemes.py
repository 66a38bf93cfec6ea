"""Which log and roster a URL names. What a kind of store needs is imported only when one is named."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeAlias
from urllib.parse import quote

from cometware.core.masking import masked_url
from cometware.limits import Limits
from cometware.logs.base import Log
from cometware.logs.memory import MemoryLog
from cometware.roster.base import Roster
from cometware.roster.memory import MemoryRoster
from cometware.roster.shared import SharedRoster

Open: TypeAlias = Callable[[], tuple[Log, Roster]]
"""Make a channel's log and roster for this process. It waits for nothing: `Log.open` does."""


def named(url: str, name: str, limits: Limits) -> Open:
    """Return how to make what a URL names.

    Raises:
        ValueError: Its scheme is unknown, or it cannot be used; says what was expected.
    """
    scheme = url.partition(":")[0]
    try:
        kind = _KINDS[scheme]
    except KeyError:
        known = ", ".join(f"{scheme}:" for scheme in _KINDS)
        raise ValueError(f"Channel({masked_url(url)!r}): unknown scheme {scheme!r}, expected one of {known}") from None
    return kind(url, name, limits)


def _memory(url: str, name: str, limits: Limits) -> Open:
    return lambda: (MemoryLog(limits), MemoryRoster(limits))


def _sqlite(url: str, name: str, limits: Limits) -> Open:
    from cometware.logs.sqlite import SqliteLog
    from cometware.roster.sqlite import SqliteFacts
    from cometware.stores.sqlite import SqliteStore, place_of

    path, mode = place_of(url)
    here = "sqlite:///" + quote(os.path.abspath(path))  # as seen from here, wherever the process goes
    place = here if mode is None else f"{here}?mode={mode:04o}"
    SqliteStore(place, name, limits)  # which opens nothing, and refuses what cannot be used

    def open() -> tuple[Log, Roster]:
        store = SqliteStore(place, name, limits)
        return SqliteLog(store, limits), SharedRoster(limits, SqliteFacts(store))

    return open


def _redis(url: str, name: str, limits: Limits) -> Open:
    from cometware.logs.redis import RedisLog
    from cometware.roster.redis import RedisFacts
    from cometware.stores.redis import RedisStore

    RedisStore(url, name, limits)  # which opens nothing, and refuses what cannot be used

    def open() -> tuple[Log, Roster]:
        store = RedisStore(url, name, limits)
        return RedisLog(store, limits), SharedRoster(limits, RedisFacts(store))

    return open


_KINDS: dict[str, Callable[[str, str, Limits], Open]] = {"memory": _memory, "sqlite": _sqlite}
_REDIS = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster")
_KINDS |= dict.fromkeys(_REDIS, _redis)
