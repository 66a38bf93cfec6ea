"""A message as the bytes that a store keeps: a line that says whose it is, and its data as it came."""

from __future__ import annotations

import json
from functools import lru_cache

from cometware.core.entry import Message

_BUT = "but:"
"""So begins an audience that nobody hears, and that names who is left out beside the first: a worker of a version that knows
only one leaves that one out, and takes these for audiences."""


def pack(message: Message) -> bytes:
    """Write a message."""
    to, but = message.to, message.but
    if isinstance(but, tuple):
        to, but = (*to, *(_BUT + id for id in but[1:])), but[0]
    line = json.dumps([message.event, to, but, message.kind, message.number], ensure_ascii=True, separators=(",", ":"))
    return f"{line}\n{message.json}".encode("utf-8", "surrogatepass")


def unpack(packed: bytes) -> Message:
    """Read what `pack` wrote."""
    line, _, data = packed.partition(b"\n")
    event, to, but, kind, number = _line(line)
    return Message(event, data.decode("utf-8", "surrogatepass"), to, but, kind, number)


@lru_cache(1024)  # most messages are for the same few audiences
def _line(line: bytes) -> tuple[str, tuple[str, ...], str | tuple[str, ...] | None, str, int]:
    event, to, but, kind, number = json.loads(line)
    others = [audience.removeprefix(_BUT) for audience in to if audience.startswith(_BUT)]
    if others:
        to, but = [audience for audience in to if not audience.startswith(_BUT)], (but, *others)
    return event, tuple(to), but, kind, number
