from __future__ import annotations

from cometware.core.patience import Patience


def test_who_loses_its_history_once_need_not_wait() -> None:
    assert Patience().lost("a", 0) == 0


def test_who_loses_it_again_waits_a_second_and_then_twice_as_long_each_time() -> None:
    patience = Patience()
    assert [patience.lost("a", number) for number in range(9)] == [0, 1, 2, 4, 8, 16, 32, 32, 32]
    assert patience.lost("b", 9) == 0


def test_who_loses_it_for_ever_waits_no_longer_than_that() -> None:
    patience = Patience()
    assert {patience.lost("a", number) for number in range(3000)} == {0, 1, 2, 4, 8, 16, 32}


def test_a_loss_of_long_ago_does_not_count() -> None:
    patience = Patience()
    assert [patience.lost("a", now) for now in (0, 1, 65, 66)] == [0, 1, 0, 1]


def test_what_is_kept_does_not_grow_with_those_who_ask() -> None:
    patience = Patience()
    for number in range(30_000):
        patience.lost(str(number), 0)
    assert len(patience._losses) <= 10_000
