"""What a Roster keeps of each client, and what it can be asked."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple, Protocol

from cometware.core.entry import EVERYBODY, Position
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
    will be told; `transport` and `dialect` are those by which it last came, `why` tells the cause of that; `connections` are
    those of this process, the newest last; `doubtful`: none of its requests so far was surely from a page that
    may use the channel; `inbox`, `early` and `queued` belong to whoever runs its handlers, `away_tick` and
    `is_queued` to whoever watches over its grace. `address` is where it last came from (empty: nobody knows), `has_returned`
    whether it came at all after it was opened. `position` is what was put down for it (`Roster.put_down`). `cookie` and
    `site` are all that is kept of its requests, and only if there are hooks.

    `departure` is what it has in the worker's wheel once it said goodbye (`Clients.leave`).

    With several workers (`SharedRecord`), `is_home` tells whether its home is here, `moved_until` how long the worker from
    which it came may have an older connection of it, by `time.monotonic()`.
    """

    is_home = True
    moved_until = 0.0

    __slots__ = (
        "accepted",
        "address",
        "away_tick",
        "close",
        "connections",
        "cookie",
        "data",
        "departure",
        "dialect",
        "doubtful",
        "early",
        "has_returned",
        "id",
        "inbox",
        "is_queued",
        "key",
        "opened_at",
        "plan",
        "position",
        "queued",
        "rooms",
        "running",
        "settled",
        "since",
        "site",
        "state",
        "transport",
        "user",
        "why",
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
        self.why = ""
        self.doubtful = False
        self.close: Close | None = None
        self.state = State.OPENING
        self.opened_at = 0
        self.settled: Any = None
        self.departure: Any = None
        self.connections: tuple[Any, ...] = ()
        self.cookie: str | None = None
        self.site: Any = None
        self.plan: bytes | None = None
        self.position: Position | None = None
        self.inbox: deque[Any] | None = None
        self.early: dict[int, Any] | None = None
        self.queued = 0
        self.running = False
        self.address = ""
        self.has_returned = False
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
    """One client that is here, as `channel.presence()` tells it. `since` is a time in seconds since 1970.

    `why` tells in words why it has this transport: a fixed list of causes (`core.cause`), and what its way here shows.
    """

    id: str
    user: str | None
    transport: str
    dialect: str
    since: float
    data: dict[str, Any]
    why: str = ""


class Arrival(NamedTuple):
    """A client at the door. `request` is what hooks keep of its request; `comes` is false for who only says something.

    `doubtful`: a foreign page may have sent it (`core.origin.Verdict`).
    """

    id: str
    key: str | None
    user: str | None
    transport: str
    dialect: str
    now: float
    request: dict[str, str] = {}
    why: str = ""
    doubtful: bool = False

    @property
    def comes(self) -> bool:
        return self.transport != "post"


class Opening(NamedTuple):
    """What the roster has for a client at the door. `is_first`: the caller opened it, so it must run `on_open` and settle it.

    `former` is the client that its key was until now, under another user. `is_fresh`: the store has just been asked, and
    `catch_up` would learn nothing.
    """

    record: Record
    is_first: bool
    former: str | None = None
    is_fresh: bool = False

    @property
    def was_other(self) -> bool:
        return self.former is not None


class Turn(Enum):
    """May a worker handle a message now? `REPEAT`: it is done; `BUSY`: another worker is at it; `EARLY`: others come first."""

    GO = "go"
    REPEAT = "repeat"
    BUSY = "busy"
    EARLY = "early"


class Idle(Enum):
    """Is a client's grace over? `BUSY`: it was heard of elsewhere since; `ELSEWHERE`: another worker looks after it."""

    YES = "yes"
    BUSY = "busy"
    ELSEWHERE = "elsewhere"


class RosterFull(Exception):
    """There are as many clients as `Limits.max_clients` allows."""


class Roster(Protocol):
    """Every method may be called from any native thread, or greenlet.

    `is_shared`: several workers have it together. Then those methods that say so wait for its store, and raise
    `LogUnavailable` if it is away; a memory never waits. Which of a client's messages are accepted is kept in its record by
    whoever runs its handlers; a shared roster is asked `turn` before each, and told `accept` behind it.
    """

    is_shared: bool

    def open(self, arrival: Arrival) -> Opening:
        """Find a client, or open it. Waits.

        A record that is `OPENING` and has nothing in `settled` is being opened by another worker: ask again soon.

        Raises:
            RosterFull: There is no room for another client.
        """
        ...

    def settle(self, record: Record) -> None:
        """Its `on_open` wants this client. Waits."""
        ...

    def get(self, id: str) -> Record | None:
        """Return the record of a client that is known in this process."""
        ...

    def forget(self, record: Record) -> None:
        """Let go of a record in this process; once it is dropped, too, the next request with its key opens it anew."""
        ...

    def drop(self, record: Record) -> None:
        """Have the other workers let go of it, too. Waits."""
        ...

    def is_idle(self, record: Record) -> Idle:
        """May a client without a connection here be ended, its grace being over? Waits."""
        ...

    def leaves(self, record: Record) -> Idle:
        """May a client be ended that said goodbye and did not come back here? Not if it came to another worker. Waits."""
        ...

    def bury(self, record: Record) -> None:
        """A client that was about to be opened here said goodbye before: it has ended, as `record.close` says. Waits."""
        ...

    def may_close(self, record: Record) -> bool:
        """A client has ended: is it upon the caller to run `on_close`? Once for each client. Waits."""
        ...

    def closed(self, record: Record) -> None:
        """`on_close` has run."""
        ...

    def of_user(self, user: str) -> list[Record]:
        """Return the records of a user's clients that are known in this process."""
        ...

    def join(self, id: str, audience: str) -> bool:
        """Let a client hear a room. Is it here? Waits."""
        ...

    def leave(self, id: str, audience: str) -> bool: ...

    def moved(self, record: Record, kind: str, audience: str) -> None:
        """The log says that a client has joined or left a room: known to who did it, news to the other workers."""
        ...

    def close(self, id: str, close: Close) -> bool:
        """Note that a client is to end, before its control is in the log. Is it here? Waits."""
        ...

    def revoke(self, user: str, close: Close) -> None:
        """Note the same of all clients of a user. Waits."""
        ...

    def keep(self, record: Record, data: str) -> None:
        """Keep what a handler changed in a client's data. Waits."""
        ...

    def turn(self, record: Record, number: int) -> Turn:
        """May this message be handled here and now? Waits."""
        ...

    def accept(self, record: Record, number: int) -> None:
        """A message is handled. Waits; until it has returned, the sender must not be told, for no other worker knows.

        Raises:
            LogUnavailable: Ask again: it does no harm.
        """
        ...

    def catch_up(self, record: Record) -> None:
        """Learn what others have accepted of this client: a greeting that tells less would say that it is forgotten. Waits."""
        ...

    def is_new(self, record: Record) -> bool:
        """Was this client opened here a moment ago, by the only request that it ever made here? Then the store has just said
        that no message of it is known."""
        ...

    def put_down(self, record: Record, position: Position) -> None:
        """Keep where a client reads on that carries no position itself: it has no connection just now. Waits."""
        ...

    def pick_up(self, record: Record) -> Position | None:
        """Return what was put down, to whoever asks first: the client has a connection here from now on. Waits."""
        ...

    def away(self, record: Record) -> None:
        """A client has no connection here: another worker may take it back. Waits."""
        ...

    def take_back(self, record: Record) -> bool:
        """May a connection that is here serve a client that went elsewhere since? It may, if it has none there. Waits."""
        ...

    def newest_of(self, key: str) -> str | None:
        """Return the id of the client that was last opened with a key, under whichever user. Waits."""
        ...

    def find(self, id: str) -> Record | None:
        """Return the record of a client that is here, on whichever worker; nobody is opened by this. Waits."""
        ...

    def presence(self, audience: str) -> list[Presence]:
        """Return who is here and hears an audience, in the order of arrival. Waits."""
        ...

    def __iter__(self) -> Iterator[Record]: ...

    def __len__(self) -> int: ...


def present(record: Record) -> Presence:
    """Tell of a client that is here."""
    data = json.loads(record.data)
    return Presence(record.id, record.user, record.transport, record.dialect, record.since, data, record.why)
