from __future__ import annotations

from cometware.core.patience import Patience


def test_who_loses_its_history_once_need_not_wait() -> None:
    assert Patience().lost("a") == 0


def test_who_loses_it_again_waits_a_second_and_then_twice_as_long_each_time() -> None:
    patience = Patience()
    assert [patience.lost("a") for _ in range(9)] == [0, 1, 2, 4, 8, 16, 32, 32, 32]
    assert patience.lost("b") == 0


def test_who_went_on_begins_anew() -> None:
    patience = Patience()
    for _ in range(3):
        patience.lost("a")
    patience.found("a")
    assert [patience.lost("a"), patience.lost("a")] == [0, 1]


def test_what_is_kept_does_not_grow_with_those_who_ask() -> None:
    patience = Patience()
    for number in range(30_000):
        patience.lost(str(number))
    assert len(patience._losses) <= 10_000
