"""An entry of the log, its position, and the audiences it is addressed to. Values: they never change."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from cometware.core import data as _data

EVERYBODY = "*"

RESERVED = frozenset({"open", "close", "error", "reset", "transport", "ping", "reconnect"})
"""Names that a client's own life-cycle uses: no message may bear them."""

_EPOCH = re.compile(r"[0-9A-Za-z_]{1,32}\Z")
_AUDIENCE = re.compile(r"(?:client|user|room):.", re.DOTALL)


class Position(NamedTuple):
    """A place in one log: `epoch` names the log's birth, `offset` counts its entries from 1 without holes.

    An offset alone would be unsafe: after a restart of the log the same number means another entry.

    >>> str(Position("x7", 12)), Position.parse("x7-12")
    ('x7-12', Position(epoch='x7', offset=12))
    """

    epoch: str
    offset: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.offset}"

    def is_ahead_of(self, end: Position) -> bool:
        """Does it lie behind the end of the same log? Then whoever says that this is the end has not heard all of it."""
        return self.epoch == end.epoch and self.offset > end.offset

    @classmethod
    def parse(cls, text: str) -> Position | None:
        """Read a position; None if the text is none."""
        epoch, _, offset = text.rpartition("-")
        if _EPOCH.match(epoch) and offset.isascii() and offset.isdigit() and len(offset) <= 18:
            return cls(epoch, int(offset))
        return None


class Message:
    """What an application publishes: an event with data for audiences, not yet in the log.

    `json` is the data, encoded once and for all. `but` is the id of a client that is left out, or a tuple of several. `kind`
    is "" for mail; "reply" or "error" for the answer to a client's message `number`; "call" for an event that a client is to
    acknowledge by that number; and "join", "leave", "close", "revoke" for a control (`is_control`), which changes who hears
    what and is never shown to anybody. `cost_bytes` is about what it occupies in memory.
    """

    __slots__ = ("but", "cost_bytes", "event", "is_control", "json", "kind", "number", "to")

    def __init__(
        self,
        event: str,
        json: str,
        to: tuple[str, ...] = (EVERYBODY,),
        but: str | tuple[str, ...] | None = None,
        kind: str = "",
        number: int = 0,
    ) -> None:
        self.event = event
        self.json = json
        self.to = to
        self.but = but
        self.kind = kind
        self.number = number
        self.is_control = kind in CONTROLS
        self.cost_bytes = 400 + len(json) + sum(map(len, to)) + (0 if but is None else sum(map(len, but)))

    @property
    def left_out(self) -> tuple[str, ...]:
        """The ids of all clients that are left out."""
        if self.but is None:
            return ()
        return (self.but,) if isinstance(self.but, str) else self.but


def shown_bytes(message: Message) -> int:
    """About how many bytes a client is sent of a message."""
    text = message.json
    return 60 + len(message.event) + (len(text) if text.isascii() else len(text.encode()))


CONTROLS = frozenset({"join", "leave", "close", "revoke"})


class Entry(NamedTuple):
    """One message at its position."""

    position: Position
    message: Message

    @property
    def data(self) -> _data.Data:
        """The message's data, decoded anew at each call."""
        return _data.decode(self.message.json)


def audiences(to: str | Iterable[str]) -> tuple[str, ...]:
    """Check and unite the audiences of `publish(to=…)`.

    Raises:
        ValueError: One of them is neither `*` nor begins with `client:`, `user:` or `room:`.
    """
    several = (to,) if isinstance(to, str) else tuple(dict.fromkeys(to))
    if not several:
        raise ValueError("to=[]: expected at least one audience, or leave `to` out for everybody")
    for audience in several:
        if audience != EVERYBODY and not (isinstance(audience, str) and _AUDIENCE.match(audience)):
            raise ValueError(f"to={audience!r}: expected '*', 'client:<id>', 'user:<name>' or 'room:<name>'")
    return (EVERYBODY,) if EVERYBODY in several else several


def left_out(but: str | Iterable[str] | None) -> str | tuple[str, ...] | None:
    """Check and unite the clients of `publish(but=…)`; one stays by itself, as most are.

    Raises:
        ValueError: One of them is no client's id.
    """
    if but is None:
        return None
    try:
        several = (but,) if isinstance(but, str) else tuple(dict.fromkeys(but))
    except TypeError:
        several = (but,)  # type: ignore[assignment]
    for id in several:
        if not isinstance(id, str) or not id:
            raise ValueError(f"but={id!r:.100}: expected the id of a client, like client.id, or several")
    return several if len(several) > 1 else several[0] if several else None


def event_name(name: str) -> str:
    """Check the name of an event.

    Raises:
        ValueError: It is empty, over 256 characters, has a line break or NUL (SSE cannot carry it), or is reserved.
    """
    if not isinstance(name, str) or not 0 < len(name) <= 256:
        raise ValueError(f"event={name!r:.100}: expected a name of 1 to 256 characters")
    if any(character in name for character in "\r\n\0"):
        raise ValueError(f"event={name!r}: a name must not contain a line break or NUL")
    if name in RESERVED:
        raise ValueError(f"event={name!r} is reserved for the client's own life-cycle; choose another name")
    return name
