"""Where the facts of a channel's clients live, and the leases of its workers: what each kind of store does in its own way.

Rule: a store decides nothing. It swaps facts for others if the old ones still stand, and counts time by its own clock.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple, Protocol

from cometware.roster.facts import Facts

HELD, TAKEN, UNKNOWN = "held", "taken", "unknown"

FAR_SECONDS = 60.0
"""No lease is longer than another one by more than this: what ends so late is from before the clock was set back."""


class Lease(NamedTuple):
    """What a worker learns when it renews its lease.

    `standing`: `HELD`, `TAKEN` (it came too late: other workers have taken over) or `UNKNOWN` (the store never heard of it,
    or has forgotten all). `moved` are clients that were at home here and are elsewhere now; `dead` the workers whose lease
    has run out.
    """

    standing: str
    moved: Sequence[str]
    dead: Sequence[str]


class FactStore(Protocol):
    """Where facts live. Every method waits for the store.

    Raises:
        LogUnavailable: The store cannot be reached; what was asked may or may not be done.
    """

    def load(self, id: str) -> Facts | None: ...

    def swap(self, id: str, old: Facts | None, new: Facts | None) -> Facts | None:
        """Put new facts in the place of old ones if those still stand; return what stands then.

        If the client leaves its home by this, the worker it was at learns it by its next lease.
        """
        ...

    def newest_of(self, key: str) -> str | None:
        """Return the client that was last opened with this key."""
        ...

    def of_user(self, user: str) -> list[Facts]: ...

    def of_workers(self, workers: Collection[str]) -> list[Facts]:
        """Return the clients whose home or ender is one of these."""
        ...

    def all(self) -> list[Facts]: ...

    def renew(self, worker: str, seconds: float) -> Lease:
        """Have this worker count as alive for so long; 0: no more. (0 leaves the others alone.)

        Those whose lease ends more than `FAR_SECONDS` later have it for as long as this one from now on: theirs is from
        before the store's clock was set back, and who is dead would keep it until the clock comes there again.
        """
        ...

    def is_alive(self, worker: str) -> bool: ...

    def bury(self, worker: str, seconds: float) -> None:
        """Nothing belongs to a worker any more; for so long it can learn that others have taken over."""
        ...
