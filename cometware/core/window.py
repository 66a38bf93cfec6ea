"""The newest entries of the log, indexed by audience.

Rule: a reader pays only for its own mail, and meets a `Gap` only if mail of its own may have been forgotten.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice

from cometware.core.entry import Entry, Position, shown_bytes
from cometware.errors import Gap

_FORGOTTEN_AUDIENCES = 10_000
"""How many audiences' last forgotten offsets are kept apart; older ones are united in one floor."""


class _Offsets:
    """Ascending offsets: append at the end, forget at the start, find by bisection."""

    __slots__ = ("_items", "_start")

    def __init__(self) -> None:
        self._items: list[int] = []
        self._start = 0

    def __len__(self) -> int:
        return len(self._items) - self._start

    def append(self, offset: int) -> None:
        self._items.append(offset)

    def forget_first(self) -> None:
        self._start += 1
        if self._start > 32 and self._start * 2 > len(self._items):
            del self._items[: self._start]
            self._start = 0

    def after(self, offset: int, limit: int) -> list[int]:
        first = bisect_right(self._items, offset, self._start)
        return self._items[first : first + limit]

    def newest_first(self, until: int) -> Iterator[int]:
        end = bisect_right(self._items, until, self._start)
        size = len(self._items)
        return islice(reversed(self._items), size - end, size - self._start)


class Window:
    """A bounded tail of one log. Not safe for threads: its Log guards it."""

    def __init__(self, epoch: str, max_entries: int, max_bytes: int, offset: int = 0) -> None:
        """Begin empty behind `offset`, the last entry that is known to have been before."""
        self.epoch = epoch
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._begin(offset)

    def _begin(self, offset: int) -> None:
        self._entries: deque[Entry] = deque()
        self._bytes = 0
        self._head = offset
        self._by_audience: dict[str, _Offsets] = {}
        self._forgotten: dict[str, int] = {}
        self._floor = offset

    @property
    def head(self) -> Position:
        """Where the next reader who wants only what is new begins."""
        return Position(self.epoch, self._head)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size_bytes(self) -> int:
        return self._bytes

    def add(self, entry: Entry) -> bool:
        """Put an entry at the end. Does it follow the last one? If not, history was lost: start again at it."""
        epoch, offset = entry.position
        follows = epoch == self.epoch and offset == self._head + 1
        if not follows:
            self.epoch = epoch
            self._begin(offset - 1)
        self._head = offset
        self._entries.append(entry)
        self._bytes += entry.message.cost_bytes
        for audience in entry.message.to:
            offsets = self._by_audience.get(audience)
            if offsets is None:
                offsets = self._by_audience[audience] = _Offsets()
            offsets.append(offset)
        while len(self._entries) > self._max_entries or (self._bytes > self._max_bytes and len(self._entries) > 1):
            self._forget_first()
        return follows

    def forget(self, until: int) -> None:
        """Forget all entries up to an offset, but the newest."""
        while len(self._entries) > 1 and self._entries[0].position.offset <= until:
            self._forget_first()

    def _forget_first(self) -> None:
        entry = self._entries.popleft()
        self._bytes -= entry.message.cost_bytes
        offset = entry.position.offset
        for audience in entry.message.to:
            offsets = self._by_audience[audience]
            offsets.forget_first()
            if not offsets:
                del self._by_audience[audience]
            if not entry.message.is_control:
                self._forgotten.pop(audience, None)  # so that the dict stays in the order of forgetting
                self._forgotten[audience] = offset
        while len(self._forgotten) > _FORGOTTEN_AUDIENCES:
            oldest = next(iter(self._forgotten))
            self._floor = max(self._floor, self._forgotten.pop(oldest))

    def after(self, position: Position, audiences: Iterable[str], limit: int) -> list[Entry]:
        """Return up to `limit` entries behind a position that are addressed to any of these audiences, oldest first.

        Fewer than `limit` means that there is nothing else up to `head`.

        Raises:
            Gap: Mail for these audiences may have been forgotten (`forgotten`), the position is of another log
                (`epoch`), or it lies ahead of this one (`ahead`).
        """
        self.check(position, audiences)
        offset = position.offset
        if offset == self._head:
            return []
        first = self._head - len(self._entries) + 1
        found: list[int] = []
        sources = 0
        for audience in audiences:
            offsets = self._by_audience.get(audience)
            if offsets is not None:
                more = offsets.after(offset, limit)
                if more:
                    sources += 1
                    found += more
        if sources > 1:
            found = sorted(set(found))[:limit]
        entries = self._entries
        return [entries[wanted - first] for wanted in found]

    def check(self, position: Position, audiences: Iterable[str]) -> None:
        """Raise a `Gap` unless a reader of these audiences misses nothing when it reads on from this position."""
        if position.epoch != self.epoch:
            raise Gap("epoch")
        offset = position.offset
        if offset > self._head:
            raise Gap("ahead")
        if offset < self._floor:
            raise Gap("forgotten")
        for audience in audiences:
            if self._forgotten.get(audience, 0) > offset:
                raise Gap("forgotten")

    def since(self, offset: int) -> list[Entry]:
        """Return every entry behind an offset, whoever it is for.

        Raises:
            Gap: Some of them are forgotten.
        """
        count = self._head - offset
        if count > len(self._entries):
            raise Gap("forgotten")
        size = len(self._entries)
        return [self._entries[size - count + index] for index in range(count)]

    def last(self, count: int, audiences: Iterable[str], until: int, max_entries: int, max_bytes: int) -> list[Entry]:
        """Return the newest `count` messages up to an offset for these audiences, oldest first.

        This is history, so neither controls nor replies. It begins where a reader from there on is shown no more than so
        many entries and bytes, replies and all; but the newest entry always comes.
        """
        entries = self._entries
        first = self._head - len(entries) + 1
        mail = [offsets.newest_first(until) for audience in audiences if (offsets := self._by_audience.get(audience))]
        found: list[Entry] = []
        looked = size = before = 0
        for offset in mail[0] if len(mail) == 1 else heapq.merge(*mail, reverse=True):
            if offset == before:
                continue
            if len(found) == count or looked == max_entries:
                break
            before = offset
            entry = entries[offset - first]
            looked += 1
            size += shown_bytes(entry.message)
            if size > max_bytes and looked > 1:
                break
            if not entry.message.kind:
                found.append(entry)
        found.reverse()
        return found
