from __future__ import annotations

import pytest

from cometware.core import cursor
from cometware.core.entry import Entry, Message, Position
from cometware.core.window import Window
from cometware.errors import Gap


def window(*messages: Message) -> Window:
    view = Window("e", 1000, 10**9)
    for offset, message in enumerate(messages, start=1):
        view.add(Entry(Position("e", offset), message))
    return view


def read(view: Window, offset: int, *to: str, limit: int = 10, until: int = 1000) -> tuple[list[int], int]:
    mail, position = cursor.read(view, Position("e", offset), to or ("*",), "me", limit, until)
    assert position.epoch == "e"
    return [entry.position.offset for entry in mail], position.offset


def test_it_steps_over_other_peoples_mail() -> None:
    view = window(Message("m", "1", ("room:a",)), Message("m", "2"), Message("m", "3", ("room:a",)))
    assert read(view, 0) == ([2], 3)


def test_it_steps_over_controls() -> None:
    view = window(Message("join", "{}", ("client:me",), kind="join"), Message("m", "1", ("client:me",)))
    assert read(view, 0, "client:me") == ([2], 2)


def test_it_steps_over_what_is_not_for_this_client() -> None:
    view = window(Message("m", "1", but="me"), Message("m", "2", but="you"))
    assert read(view, 0) == ([2], 2)


def test_an_entry_for_two_of_its_audiences_is_read_once() -> None:
    view = window(Message("m", "1", ("room:a", "room:b")))
    assert read(view, 0, "room:a", "room:b") == ([1], 1)


def test_a_full_batch_ends_at_its_last_entry() -> None:
    view = window(*[Message("m", "1") for _ in range(5)])
    assert read(view, 0, limit=2) == ([1, 2], 2)
    assert read(view, 2, limit=3) == ([3, 4, 5], 5)


def test_a_full_batch_of_controls_still_gets_on() -> None:
    view = window(*[Message("join", "{}", kind="join") for _ in range(3)], Message("m", "1"))
    assert read(view, 0, limit=2) == ([], 2)
    assert read(view, 2, limit=2) == ([4], 4)


def test_it_reads_no_further_than_the_dispatcher_has_come() -> None:
    view = window(*[Message("m", "1") for _ in range(5)])
    assert read(view, 1, until=3) == ([2, 3], 3)


def test_it_never_goes_backwards() -> None:
    view = window(*[Message("m", "1") for _ in range(5)])
    assert read(view, 4, until=2) == ([], 4)


def test_a_batch_ends_with_the_entry_that_makes_it_too_large() -> None:
    view = window(*[Message("m", "1" * 100_000) for _ in range(5)])
    assert read(view, 0) == ([1, 2, 3], 3)


def test_a_gap_is_told() -> None:
    with pytest.raises(Gap) as caught:
        cursor.read(window(), Position("other", 0), ("*",), "me", 10, 10)
    assert caught.value.reason == "epoch"
