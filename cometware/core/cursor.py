"""A cursor's one move: what a reader at a position is owed. It holds no messages."""

from __future__ import annotations

from collections.abc import Iterable

from cometware.core.entry import Entry, Position
from cometware.core.window import Window

BATCH_BYTES = 256 * 1024
"""A batch ends with the entry that takes it beyond this, so that one slow reader holds little."""


def read(
    window: Window, position: Position, audiences: Iterable[str], client: str, limit: int, until: int
) -> tuple[list[Entry], Position]:
    """Return the mail behind a position and the position behind it, at most up to the offset `until`.

    Steps over other people's mail, over controls and over what is not for this client (`but`); never goes backwards.

    Raises:
        Gap: Mail for these audiences may have been forgotten.
    """
    entries = window.after(position, audiences, limit)
    full = len(entries) == limit
    entries, cut = within(entries, BATCH_BYTES)
    full = full or cut
    while entries and entries[-1].position.offset > until:
        entries.pop()
        full = False
    reached = entries[-1].position.offset if full else max(position.offset, min(until, window.head.offset))
    mail = [entry for entry in entries if is_mail(entry, client)]
    return mail, Position(window.epoch, reached)


def within(entries: list[Entry], limit_bytes: int) -> tuple[list[Entry], bool]:
    """Cut a list behind the entry that takes it beyond a size. Was anything cut off?"""
    size = 0
    for index, entry in enumerate(entries):
        size += entry.message.cost_bytes
        if size > limit_bytes:
            return entries[: index + 1], index + 1 < len(entries)
    return entries, False


def is_mail(entry: Entry, client: str) -> bool:
    """Is an entry that is addressed to this client's audiences to be shown to it?"""
    message = entry.message
    return not message.is_control and (message.but is None or client not in message.left_out)
