"""The window against a model that keeps everything and scans it."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cometware.core import cursor, window
from cometware.core.entry import Entry, Message, Position, shown_bytes
from cometware.core.window import Window
from cometware.errors import Gap

AUDIENCES = ["*", "room:a", "room:b", "user:x", "client:1", "client:2"]
READERS = st.lists(st.sampled_from(AUDIENCES), min_size=1, max_size=4, unique=True)
KINDS = st.sampled_from(["", "", "", "reply", "error", "join", "close"])


def entry(offset: int, *to: str, kind: str = "", but: str | None = None, size: int = 1, epoch: str = "e") -> Entry:
    return Entry(Position(epoch, offset), Message("message", "1" * size, to or ("*",), but, kind))


class WindowAgainstModel(RuleBasedStateMachine):
    """`log` is all that was ever appended; `first` the offset of the oldest entry that must still be there."""

    max_entries = 12
    max_bytes = 12 * 500

    def __init__(self) -> None:
        super().__init__()
        self.epoch = "e"
        self.window = Window("e", self.max_entries, self.max_bytes)
        self.log: list[Entry] = []
        self.start = 0
        self.aged = 0

    @property
    def head(self) -> int:
        return self.start + len(self.log)

    def kept(self) -> list[Entry]:
        kept: list[Entry] = []
        size = 0
        for item in reversed(self.log):
            size += item.message.cost_bytes
            if kept and (len(kept) == self.max_entries or size > self.max_bytes or item.position.offset <= self.aged):
                break
            kept.insert(0, item)
        return kept

    def forgotten(self) -> list[Entry]:
        return self.log[: len(self.log) - len(self.kept())]

    @rule(to=READERS, kind=KINDS, size=st.sampled_from([1, 1, 1, 600, 20_000]))
    def append(self, to: list[str], kind: str, size: int) -> None:
        item = entry(self.head + 1, *to, kind=kind, size=size, epoch=self.epoch)
        assert self.window.add(item)
        self.log.append(item)

    @rule(back=st.integers(0, 14))
    def forget(self, back: int) -> None:
        self.aged = max(self.aged, min(self.head - back, self.head - 1))
        self.window.forget(self.head - back)

    @precondition(lambda self: len(self.log) > 3)
    @rule(hole=st.integers(1, 5), reborn=st.booleans())
    def lose_history(self, hole: int, reborn: bool) -> None:
        if reborn:
            self.epoch += "e"
            self.start = hole - 1
        else:
            self.start = self.head + hole
        self.log, self.aged = [entry(self.start + 1, epoch=self.epoch)], 0
        assert not self.window.add(self.log[0])

    @rule(offset=st.integers(0, 60), to=READERS, limit=st.integers(1, 20))
    def read(self, offset: int, to: list[str], limit: int) -> None:
        position = Position(self.epoch, offset)
        own = [item for item in self.log if item.position.offset > offset and set(item.message.to) & set(to)]
        lost = [item for item in self.forgotten() if item in own and not item.message.is_control]
        if offset > self.head:
            self.refuses("ahead", position, to)
        elif lost or offset < self.start:
            self.refuses("forgotten", position, to)
        else:
            kept = self.kept()
            expected = [item for item in own if item in kept]
            assert self.window.after(position, to, limit) == expected[:limit]

    def refuses(self, reason: str, position: Position, to: list[str]) -> None:
        with pytest.raises(Gap) as caught:
            self.window.after(position, to, 5)
        assert caught.value.reason == reason

    @rule(to=READERS)
    def another_epoch_is_a_gap(self, to: list[str]) -> None:
        self.refuses("epoch", Position("other", 0), to)

    @rule(offset=st.integers(0, 60))
    def since(self, offset: int) -> None:
        kept = self.kept()
        if offset < self.head - len(kept):
            with pytest.raises(Gap):
                self.window.since(offset)
        else:
            assert self.window.since(offset) == [item for item in kept if item.position.offset > offset]

    @rule(count=st.integers(0, 20), to=READERS)
    def last(self, count: int, to: list[str]) -> None:
        shown = [item for item in self.kept() if set(item.message.to) & set(to) and not item.message.kind]
        assert self.window.last(count, to, self.window.head.offset, 1000, 2**20) == (shown[-count:] if count else [])

    @rule(offset=st.integers(0, 60), to=READERS, limit=st.integers(1, 8), until=st.integers(0, 60))
    def a_cursor_reads_everything_once(self, offset: int, to: list[str], limit: int, until: int) -> None:
        position = Position(self.epoch, offset)
        try:
            self.window.check(position, to)
        except Gap:
            return
        until = min(until, self.head)
        expected = [
            item
            for item in self.kept()
            if offset < item.position.offset <= until and set(item.message.to) & set(to) and not item.message.is_control
        ]
        found: list[Entry] = []
        while position.offset < until:
            mail, reached = cursor.read(self.window, position, to, "me", limit, until)
            assert reached.offset > position.offset, "a read must get on"
            assert all(position.offset < item.position.offset <= reached.offset for item in mail)
            found += mail
            position = reached
        assert found == expected
        assert position.offset == max(offset, until)

    @invariant()
    def is_bounded(self) -> None:
        assert len(self.window) == len(self.kept())
        assert self.window.size_bytes == sum(item.message.cost_bytes for item in self.kept())
        assert self.window.head == Position(self.epoch, self.head)


TestWindowAgainstModel = WindowAgainstModel.TestCase
TestWindowAgainstModel.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)


def test_a_reader_whose_own_mail_is_all_there_meets_no_gap() -> None:
    view = Window("e", 2, 10**6)
    view.add(entry(1, "room:a"))
    for offset in range(2, 10):
        view.add(entry(offset, "room:b"))
    assert view.after(Position("e", 1), ["room:a", "*"], 9) == []
    with pytest.raises(Gap):
        view.after(Position("e", 0), ["room:a"], 9)
    with pytest.raises(Gap):
        view.after(Position("e", 1), ["room:b"], 9)


def test_a_forgotten_control_is_no_gap() -> None:
    view = Window("e", 1, 10**6)
    view.add(entry(1, "client:1", kind="join"))
    view.add(entry(2, "room:b"))
    assert view.after(Position("e", 0), ["client:1"], 9) == []


def test_what_is_remembered_of_the_forgotten_is_bounded_and_errs_towards_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window, "_FORGOTTEN_AUDIENCES", 3)
    view = Window("e", 1, 10**6)
    for offset in range(1, 9):
        view.add(entry(offset, f"user:{offset}"))
    # 7 are forgotten; the last offsets of three audiences (5, 6, 7) are known, older ones are one floor at 4
    assert view.after(Position("e", 4), ["user:1"], 9) == []
    with pytest.raises(Gap):
        view.after(Position("e", 3), ["user:1"], 9)
    with pytest.raises(Gap):
        view.after(Position("e", 4), ["user:5"], 9)
    assert view.after(Position("e", 5), ["user:5"], 9) == []


def test_an_audience_that_is_forgotten_again_is_the_youngest_of_the_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window, "_FORGOTTEN_AUDIENCES", 2)
    view = Window("e", 1, 10**6)
    for offset, audience in enumerate(["user:a", "user:b", "user:a", "user:c", "user:d"], start=1):
        view.add(entry(offset, audience))
    # forgotten: a1 b2 a3 c4; kept apart: a3 c4; the floor: b2
    assert view.after(Position("e", 2), ["user:b"], 9) == []
    with pytest.raises(Gap):
        view.after(Position("e", 1), ["user:b"], 9)


def test_one_entry_that_is_larger_than_the_window_is_still_kept() -> None:
    view = Window("e", 10, 100)
    view.add(entry(1, size=5000))
    assert len(view.after(Position("e", 0), ["*"], 9)) == 1


@given(st.lists(st.sampled_from(AUDIENCES), min_size=1, max_size=300), st.integers(0, 300), st.integers(1, 300))
def test_a_long_history_of_one_audience_is_found_by_its_index(to: list[str], offset: int, limit: int) -> None:
    view = Window("e", 50, 10**9)
    for number, audience in enumerate(to, start=1):
        view.add(entry(number, audience))
    first_kept = max(1, len(to) - 49)
    if first_kept - 1 <= offset <= len(to):
        expected = [n for n, audience in enumerate(to, start=1) if n > offset and audience == "room:a"][:limit]
        assert [found.position.offset for found in view.after(Position("e", offset), ["room:a"], limit)] == expected


def test_history_ends_where_its_reader_would_be_shown_too_much() -> None:
    """Between two messages there may be replies, which a reader from the older one on is shown as well."""
    window = Window("e", 1000, 2**30)
    for offset in range(1, 101):
        window.add(entry(offset, "client:a", kind="" if offset % 10 == 0 else "reply", size=1))
    of = [item.position.offset for item in window.last(50, ["client:a"], 100, 35, 2**20)]
    assert of == [70, 80, 90, 100]
    assert [item.position.offset for item in window.last(2, ["client:a", "*"], 75, 1000, 2**20)] == [60, 70]
    size = shown_bytes(window.last(1, ["client:a"], 100, 1, 1)[0].message)
    assert [item.position.offset for item in window.last(50, ["client:a"], 100, 1000, 11 * size)] == [90, 100]


class Counted(deque[Entry]):
    """Counts the entries that are looked at."""

    looked = 0

    def __getitem__(self, index: Any) -> Any:
        self.looked += 1
        return super().__getitem__(index)


def test_history_costs_no_more_than_it_may_bring() -> None:
    """A stranger asks for all, and of mail that is nearly all replies for one message."""
    window = Window("e", 10_000, 2**30)
    for offset in range(1, 10_001):
        window.add(entry(offset, "client:a", "*", kind="reply" if offset > 1 else "", size=1))
    entries = window._entries = Counted(window._entries)
    assert window.last(10**9, ["client:a", "*"], 10_000, 100, 2**20) == []
    assert entries.looked == 100
