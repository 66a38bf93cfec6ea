"""What every protocol of the channel can say and understand. A dialect performs no I/O and knows no clock."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from cometware.core.entry import Entry, Position
from cometware.core.events import Close, Event
from cometware.core.framing import Frame
from cometware.errors import BadFrame

ANY_NUMBER = sys.maxsize


class Greeting(NamedTuple):
    """What a connection is told first. `position` is where it begins to read, settled before `on_open`."""

    client: str
    position: Position
    accepted: int
    heartbeat_seconds: float
    limits: Mapping[str, Any]
    server: Mapping[str, Any]
    recovered: bool


class Wire(Protocol):
    """The way in of one connection. A dialect without a memory of its own is its own wire."""

    def receive(self, body: str | bytes, most: int = ANY_NUMBER) -> list[Event]:
        """Understand one frame, which may hold `most` messages.

        Raises:
            BadFrame: It is not what the protocol allows, or holds more (`many`). Nothing of it was taken.
        """
        ...


def check_number(count: int, most: int) -> None:
    """Raise a `BadFrame` if a body or frame holds more messages than one may; ask before they are looked at."""
    if count > most:
        message = f"{count} messages in one; Limits.max_waiting_messages allows {most}"
        raise BadFrame("many", message, limit=most, count=count)


class Dialect(Wire, Protocol):
    """The way out: each method returns the frames that say it, or (`Silent`) none where the protocol has no word for it."""

    name: str

    def entries(self, entries: Iterable[Entry]) -> list[Frame]: ...

    def greeting(self, greeting: Greeting) -> list[Frame]: ...

    def heartbeat(self, position: Position) -> list[Frame]: ...

    def accepted(self, number: int) -> list[Frame]: ...

    def error(self, code: str, message: str, details: Mapping[str, object]) -> list[Frame]: ...

    def reset(self, reason: str, position: Position) -> list[Frame]: ...

    def reconnect(self, wait_seconds: float) -> list[Frame]: ...

    def close(self, close: Close) -> list[Frame]: ...


class Silent:
    """What a dialect says by default of all that its protocol may have no word for: nothing."""

    def greeting(self, greeting: Greeting) -> list[Frame]:
        return []

    def heartbeat(self, position: Position) -> list[Frame]:
        return []

    def accepted(self, number: int) -> list[Frame]:
        return []

    def error(self, code: str, message: str, details: Mapping[str, object]) -> list[Frame]:
        return []

    def reset(self, reason: str, position: Position) -> list[Frame]:
        return []

    def reconnect(self, wait_seconds: float) -> list[Frame]:
        return []

    def close(self, close: Close) -> list[Frame]:
        return []


class Shape:
    """How a dialect is written on one transport. All connections that share a shape share its bytes.

    `is_poll`: what is written is a whole answer, behind which the connection is heard of no more until it asks again.
    """

    __slots__ = ("dialect", "is_poll", "name", "write")

    def __init__(self, name: str, dialect: Dialect, write: Callable[[Iterable[Frame]], bytes]) -> None:
        self.name = name
        self.dialect = dialect
        self.write = write
        self.is_poll = name == "poll"

    def __repr__(self) -> str:
        return f"<Shape {self.dialect.name} {self.name}>"

    def share(self, entries: Sequence[Entry]) -> bytes:
        """Write a batch of entries as the bytes that all connections of this shape send."""
        return self.write(self.dialect.entries(entries))

    def heartbeat(self, position: Position) -> bytes:
        """Write what keeps an idle connection alive and tells it its position."""
        return self.write(self.dialect.heartbeat(position))
