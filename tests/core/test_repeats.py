from __future__ import annotations

from cometware.core.repeats import SECONDS, TEXTS, Repeats


def told(repeats: Repeats, text: str, now: float, kind: str = "a") -> list[str]:
    return [str(line) for line in repeats.told(kind, text, now)]


def test_the_first_is_told_and_the_like_are_counted_until_it_is_time_again() -> None:
    repeats = Repeats()
    assert told(repeats, "x", 0) == ["x"]
    assert [told(repeats, "x", now) for now in range(1, 1 + 59)] == [[]] * 59
    assert told(repeats, "x", SECONDS) == ["x (and 59 more like it since this was last told)"]
    assert told(repeats, "x", SECONDS + 1) == []
    assert told(repeats, "x", 3 * SECONDS) == ["x (and 1 more like it since this was last told)"]
    assert told(repeats, "x", 5 * SECONDS) == ["x"]


def test_what_did_not_come_again_is_told_with_whatever_comes_next() -> None:
    repeats = Repeats()
    told(repeats, "x", 0)
    told(repeats, "x", 1)
    assert told(repeats, "y", 2) == ["y"]
    assert told(repeats, "z", 2 * SECONDS, kind="b") == ["x (and 1 more like it since this was last told)", "z"]
    assert told(repeats, "z", 4 * SECONDS, kind="b") == ["z"]


def test_however_many_texts_strangers_bring_few_are_told_and_kept() -> None:
    repeats = Repeats()
    lines = [line for number in range(10_000) for line in told(repeats, str(number), number / 1000)]
    assert lines == [str(number) for number in range(TEXTS + 1)]
    assert len(repeats._told) == TEXTS + 1
    assert told(repeats, "other", 10, kind="b") == ["other"]
    assert told(repeats, "z", 2 * SECONDS) == [f"9999 (and {10_000 - TEXTS - 1} more like it since this was last told)", "z"]
    assert len(repeats._told) == 1
