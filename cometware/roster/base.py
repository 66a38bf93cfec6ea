"""What a Roster keeps of each client, and what it can be asked."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from cometware.core.entry import EVERYBODY
from cometware.core.events import Close

NO_ROOMS: frozenset[str] = frozenset()


class State(Enum):
    """A client's life: OPENING → OPEN → ENDED; a refused one is forgotten at once."""

    OPENING = "opening"
    OPEN = "open"
    ENDED = "ended"


class Record:
    """One client. Small, since an idle client has one: what it rarely needs is None until it does.

    `key` names the client's key (None: it had none, and lives as long as its connection); `close` is what its next request
    will be told; `transport` and `dialect` are those by which it last came; `connections` are those of this process, the
    newest last; `inbox`, `early` and `queued` belong to whoever runs its handlers, `away_tick` and `is_queued` to whoever
    watches over its grace. `cookie` and `site` are all that is kept of its requests, and only if there are hooks.
    """

    __slots__ = (
        "accepted",
        "away_tick",
        "close",
        "connections",
        "cookie",
        "data",
        "dialect",
        "early",
        "id",
        "inbox",
        "is_queued",
        "key",
        "plan",
        "queued",
        "rooms",
        "running",
        "settled",
        "since",
        "site",
        "state",
        "transport",
        "user",
    )

    def __init__(self, id: str, key: str | None, user: str | None, since: float) -> None:
        self.id = id
        self.key = key
        self.user = user
        self.since = since
        self.rooms = NO_ROOMS
        self.data = "{}"
        self.accepted = 0
        self.transport = ""
        self.dialect = ""
        self.close: Close | None = None
        self.state = State.OPENING
        self.settled: Any = None
        self.connections: tuple[Any, ...] = ()
        self.cookie: str | None = None
        self.site: Any = None
        self.plan: bytes | None = None
        self.inbox: deque[Any] | None = None
        self.early: dict[int, Any] | None = None
        self.queued = 0
        self.running = False
        self.away_tick = 0
        self.is_queued = False

    @property
    def audiences(self) -> tuple[str, ...]:
        """What this client hears now."""
        own = (EVERYBODY, f"client:{self.id}", *self.rooms)
        return own if self.user is None else (*own, f"user:{self.user}")

    def hears(self, audience: str) -> bool:
        return (
            audience == EVERYBODY
            or audience in self.rooms
            or audience == f"client:{self.id}"
            or (self.user is not None and audience == f"user:{self.user}")
        )


@dataclass(frozen=True)
class Presence:
    """One client that is here, as `channel.presence()` tells it. `since` is a time in seconds since 1970."""

    id: str
    user: str | None
    transport: str
    dialect: str
    since: float
    data: dict[str, Any]


class RosterFull(Exception):
    """There are as many clients as `Limits.max_clients` allows."""


class Roster(Protocol):
    """Every method may be called from any native thread and returns at once."""

    def open(self, id: str, key: str | None, user: str | None, now: float) -> tuple[Record, bool]:
        """Return the client's record, and whether the caller made it and so must run `on_open` and settle it.

        Raises:
            RosterFull: There is no room for another client.
        """
        ...

    def get(self, id: str) -> Record | None: ...

    def forget(self, record: Record) -> None:
        """Let go of a record; the next request with this client's key opens it anew."""
        ...

    def is_other_user(self, id: str, key: str) -> bool:
        """Is this key known as another user's client?"""
        ...

    def of_user(self, user: str) -> list[Record]: ...

    def join(self, id: str, audience: str) -> bool:
        """Let a client hear a room. Is it here?"""
        ...

    def leave(self, id: str, audience: str) -> bool: ...

    def close(self, id: str, close: Close) -> bool:
        """Note that a client is to end, before its control is in the log. Is it here?"""
        ...

    def revoke(self, user: str, close: Close) -> None:
        """Note the same of all clients of a user."""
        ...

    def __iter__(self) -> Iterator[Record]: ...

    def __len__(self) -> int: ...
