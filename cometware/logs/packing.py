"""A message as the bytes that a store keeps: a line that says whose it is, and its data as it came."""

from __future__ import annotations

import json
from functools import lru_cache

from cometware.core.entry import Message


def pack(message: Message) -> bytes:
    """Write a message."""
    line = json.dumps(
        [message.event, message.to, message.but, message.kind, message.number], ensure_ascii=True, separators=(",", ":")
    )
    return f"{line}\n{message.json}".encode("utf-8", "surrogatepass")


def unpack(packed: bytes) -> Message:
    """Read what `pack` wrote."""
    line, _, data = packed.partition(b"\n")
    event, to, but, kind, number = _line(line)
    return Message(event, data.decode("utf-8", "surrogatepass"), to, but, kind, number)


@lru_cache(1024)  # most messages are for the same few audiences
def _line(line: bytes) -> tuple[str, tuple[str, ...], str | None, str, int]:
    event, to, but, kind, number = json.loads(line)
    return event, tuple(to), but, kind, number
