"""What all workers share of one client, and how it changes. Pure: each change is a function of the facts as they stand.

Rule: a store only swaps old facts for new ones if the old ones still stand (`SharedRoster`), so that whatever two workers do
at once, one of them did it first.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from cometware.core.entry import EVERYBODY
from cometware.core.events import Close
from cometware.roster.base import Arrival

OPENING, OPEN, ENDED = "opening", "open", "ended"

_ENCODER = json.JSONEncoder(separators=(",", ":"))


@dataclass(frozen=True)
class Facts:
    """One client. `birth` tells it from a later one with the same id.

    `home` is the worker that looks after its grace: the one to which it came last, at the time `arrived` by that worker's
    clock. `taken` is the number of the message that `taker` handles, or handled last; `ender` the worker that runs its
    `on_close` just now. `position` is where it reads on, if it carries none itself and has no connection. `request`
    is what hooks need of its requests. `away`: it came to its home from another worker, and has no connection there any more.
    `aside`: it has ended, its `on_close` is not over, and a later one has its id. `doubtful`: see `Record`.
    """

    id: str
    birth: str
    key: str | None
    user: str | None
    since: float
    home: str
    state: str = OPENING
    arrived: float = 0
    transport: str = ""
    dialect: str = ""
    why: str = ""
    rooms: tuple[str, ...] = ()
    data: str = "{}"
    accepted: int = 0
    taken: int = 0
    taker: str = ""
    close: Close | None = None
    ender: str = ""
    position: str = ""
    request: dict[str, str] = field(default_factory=dict)
    aside: bool = False
    doubtful: bool = False
    away: bool = False

    @property
    def name(self) -> str:
        """By which it is found in a store."""
        return f"{self.id}.{self.birth}" if self.aside else self.id

    def hears(self, audience: str) -> bool:
        """Is it among those whom an audience means?"""
        own = (EVERYBODY, f"client:{self.id}", *self.rooms)
        return audience in own or (self.user is not None and audience == f"user:{self.user}")

    def written(self) -> str:
        """Write the facts as text; equal facts are equal text."""
        return _ENCODER.encode(vars(self))

    @classmethod
    def read(cls, text: str) -> Facts:
        """Read what was written, also by another version of this: what is new to us is let go."""
        fields = {name: value for name, value in json.loads(text).items() if name in cls.__dataclass_fields__}
        fields["rooms"] = tuple(fields["rooms"])
        fields["close"] = None if fields["close"] is None else Close(*fields["close"])
        return cls(**fields)


def born(arrival: Arrival, birth: str, home: str) -> Facts:
    """A client that is about to be opened."""
    return Facts(
        arrival.id,
        birth,
        arrival.key,
        arrival.user,
        arrival.now,
        home,
        arrived=arrival.now,
        transport=arrival.transport,
        dialect=arrival.dialect,
        request=arrival.request,
        why=arrival.why,
        doubtful=arrival.doubtful,
    )


Change: TypeAlias = Callable[["Facts | None"], "Facts | None"]
"""From the facts that stand (None: there are none) to those that shall: the very same object if nothing is to change."""


def arrive(new: Facts) -> Change:
    """A client has come to the worker `new.home`: it is opened, or found and at home there from now on.

    Found while it is being opened by another worker, it stays that one's. One that has ended and has not been told why is
    found as it is; any other end makes room for a new client.
    """

    def change(facts: Facts | None) -> Facts:
        if facts is None or (facts.state == ENDED and facts.close is None):
            return new
        if facts.state != OPEN:
            return facts
        return replace(
            facts,
            home=new.home,
            arrived=new.arrived,
            transport=new.transport,
            dialect=new.dialect,
            why=new.why,
            request=facts.request if new.doubtful else new.request or facts.request,
            doubtful=facts.doubtful and new.doubtful,
            away=False,
        )

    return change


def visit(new: Facts) -> Change:
    """A client says something here, and does not come to stay: it is opened, or found as it is."""
    return lambda facts: new if facts is None or (facts.state == ENDED and facts.close is None) else facts


def of(birth: str, then: Callable[[Facts], Facts | None]) -> Change:
    """Change this very client, not a later one with its id."""
    return lambda facts: facts if facts is None or facts.birth != birth else then(facts)


def settle(facts: Facts) -> Facts:
    """Its `on_open` wants it."""
    return replace(facts, state=OPEN) if facts.state == OPENING else facts


def join(room: str) -> Change:
    def change(facts: Facts | None) -> Facts | None:
        if facts is None or facts.state == ENDED or room in facts.rooms:
            return facts
        return replace(facts, rooms=(*facts.rooms, room))

    return change


def leave(room: str) -> Change:
    def change(facts: Facts | None) -> Facts | None:
        if facts is None or room not in facts.rooms:
            return facts
        return replace(facts, rooms=tuple(other for other in facts.rooms if other != room))

    return change


def close(why: Close) -> Change:
    """It is to end; the first reason counts."""

    def change(facts: Facts | None) -> Facts | None:
        if facts is None or facts.state == ENDED or facts.close is not None:
            return facts
        return replace(facts, close=why)

    return change


def is_owed(facts: Facts, then: Facts | None) -> bool:
    """Does a new client take the place of one whose `on_close` is not over?"""
    return then is not None and facts.birth != then.birth and facts.ender != ""


def aside(facts: Facts) -> Facts:
    """What is kept of a client that has ended beside the one that took its place, until its `on_close` is over."""
    return replace(facts, key=None, home="", aside=True)


def keep(data: str, number: int, worker: str) -> Callable[[Facts], Facts]:
    """A handler has changed its data. If that handled a message which another worker has taken since, it came too late."""

    def change(facts: Facts) -> Facts:
        is_late = number and (facts.taken, facts.taker) != (number, worker)
        return facts if is_late else replace(facts, data=data)

    return change


def put_down(position: str, worker: str, seen: float) -> Callable[[Facts], Facts]:
    """It has no connection any more, and will read on from here; unless it has come to another worker since."""

    def change(facts: Facts) -> Facts:
        has_moved = facts.home != worker and facts.arrived > seen
        return facts if facts.state != OPEN or has_moved else replace(facts, position=position)

    return change


def pick_up(worker: str, seen: float) -> Callable[[Facts], Facts]:
    """It has a connection at this worker, if it had none: of two that come at once, one finds the position."""

    def change(facts: Facts) -> Facts:
        if facts.state != OPEN or not facts.position:
            return facts
        return replace(facts, position="", home=worker, arrived=max(facts.arrived, seen))

    return change


def away(worker: str) -> Callable[[Facts], Facts]:
    """It has no connection at its home, to which it came from another worker: that one may take it back."""
    return lambda facts: replace(facts, away=True) if facts.state == OPEN and facts.home == worker else facts


def take_back(worker: str, seen: float) -> Callable[[Facts], Facts]:
    """A worker has a connection of a client that went elsewhere since: it is at home there again, if it has none."""

    def change(facts: Facts) -> Facts:
        if facts.state != OPEN or not facts.away:
            return facts
        return replace(facts, home=worker, arrived=max(facts.arrived, seen), away=False)

    return change


def take(number: int, worker: str, done: int, *, alone: bool) -> Callable[[Facts], Facts]:
    """A worker wants to handle a message: the next one. With `alone`, whoever has taken it before is dead.

    `done` is the last one that this worker has handled, in case that the store has not heard of it.
    """

    def change(facts: Facts) -> Facts:
        if facts.taker == worker and facts.accepted < facts.taken <= done:
            facts = replace(facts, accepted=facts.taken)
        free = facts.taken == facts.accepted or alone or facts.taker == worker
        if facts.state == OPEN and number == facts.accepted + 1 and free:
            return replace(facts, taken=number, taker=worker)
        return facts

    return change


def accept(number: int, worker: str) -> Callable[[Facts], Facts]:
    """A worker has handled what it took."""

    def change(facts: Facts) -> Facts:
        mine = facts.taken == number and facts.taker == worker and facts.accepted < number
        return replace(facts, accepted=number) if mine else facts

    return change


def end(worker: str, why: Close | None) -> Callable[[Facts], Facts]:
    """A worker decides that it is over, if nobody has before: it will run `on_close`."""

    def change(facts: Facts) -> Facts:
        if facts.state != OPEN:
            return facts
        return replace(facts, state=ENDED, ender=worker, close=facts.close or why)

    return change


def expire(known: Facts | None, worker: str) -> Callable[[Facts], Facts]:
    """The same for one that was not seen for its grace: if its home is here, and nobody has touched it since."""

    def change(facts: Facts) -> Facts:
        if facts.home == worker and facts.state == OPEN and facts == known:
            return replace(facts, state=ENDED, ender=worker)
        return facts

    return change


def depart(worker: str) -> Callable[[Facts], Facts]:
    """It said goodbye: it ends if its home is here, whatever else others know of it."""

    def change(facts: Facts) -> Facts:
        is_here = facts.home == worker and facts.state == OPEN
        return replace(facts, state=ENDED, ender=worker) if is_here else facts

    return change


def bury(why: Close) -> Callable[[Facts], Facts]:
    """It said goodbye before it came: it never was here, and is told why if it comes after all."""
    return lambda facts: replace(facts, state=ENDED, close=why) if facts.state == OPENING else facts


def reprieve(facts: Facts, worker: str) -> Facts:
    """This worker has ended it without being told so, and nobody has acted on it: it goes on."""
    mine = facts.state == ENDED and facts.ender == worker
    return replace(facts, state=OPEN, ender="") if mine else facts


def return_home(known: Facts, worker: str, seen: float) -> Change:
    """A worker whose client has moved says that it came back since; or that the store has forgotten it (`known`)."""

    def change(facts: Facts | None) -> Facts | None:
        if facts is None:
            return known if known.state == OPEN and known.home == worker else None
        if facts.birth != known.birth or facts.state != OPEN or facts.home == worker or seen <= facts.arrived:
            return facts
        return replace(facts, home=worker, arrived=seen)

    return change


def adopt(dead: Collection[str], worker: str) -> Callable[[Facts], Facts | None]:
    """Its home has died, or who ran its `on_close`: a worker steps in. One that was being opened never was here."""

    def change(facts: Facts) -> Facts | None:
        if facts.state == OPENING and facts.home in dead:
            return None
        home = worker if facts.home in dead else facts.home
        ender = worker if facts.ender in dead else facts.ender
        return facts if (home, ender) == (facts.home, facts.ender) else replace(facts, home=home, ender=ender)

    return change


def finish(worker: str, *, keep: bool) -> Callable[[Facts], Facts | None]:
    """`on_close` has run. `keep`: its next request is to be told why it ended; nobody needs its cookies any more."""

    def change(facts: Facts) -> Facts | None:
        if facts.state != ENDED or facts.ender != worker:
            return facts
        return replace(facts, ender="", request={}) if keep and facts.close is not None else None

    return change


def drop(facts: Facts) -> Facts | None:
    """It was refused, or is told why it ended: nothing more is known of it, once its `on_close` is over."""
    return None if facts.state == OPENING or (facts.state == ENDED and not facts.ender) else facts
