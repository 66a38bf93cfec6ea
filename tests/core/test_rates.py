from __future__ import annotations

import re
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cometware.core import rates
from cometware.core.rates import Buckets, Crowd, Heeding, Meters, Rate, Rates, Wait

MESSAGES = "client_messages"


def bucket(per_second: float = 10, at_once: float = 5) -> Buckets:
    return Buckets(MESSAGES, Rate(per_second, at_once))


def seconds(wait: Wait | None) -> float:
    return 0 if wait is None else wait.seconds


# One bucket


def test_so_many_pass_at_once_and_then_one_after_the_other() -> None:
    messages = bucket()
    assert [messages.take("a", 1, 7) is None for _ in range(6)] == [True] * 5 + [False]
    assert messages.take("a", 1, 7.1) is None
    assert messages.take("a", 1, 7.1) is not None
    assert messages.take("a", 1, 7.2) is None


def test_a_bucket_is_full_again_after_a_rest_and_never_fuller() -> None:
    messages = bucket()
    for now in (0, 1_000):
        assert [messages.take("a", 1, now) is None for _ in range(6)] == [True] * 5 + [False]


def test_the_buckets_of_two_names_are_two() -> None:
    messages = bucket()
    assert messages.take("a", 5, 0) is None
    assert messages.take("b", 5, 0) is None
    assert messages.take("a", 1, 0) is not None


def test_nothing_is_taken_from_who_is_told_to_wait() -> None:
    messages = bucket()
    messages.take("a", 3, 0)
    assert seconds(messages.take("a", 4, 0)) > 0
    assert messages.take("a", 2, 0) is None


def test_who_waits_as_told_passes_with_what_was_refused() -> None:
    messages = bucket(per_second=1, at_once=5)
    assert messages.take("a", 5, 0) is None
    wait = seconds(messages.take("a", 3, 0))
    assert wait == 3
    assert messages.take("a", 3, wait) is None


def test_nobody_is_told_to_wait_for_less_than_is_worth_it() -> None:
    assert seconds((many := bucket(1000, 5000)).take("a", 5000, 0)) == 0
    assert seconds(many.take("a", 1, 0)) == 1
    assert seconds((few := bucket(10, 5)).take("a", 5, 0)) == 0
    assert seconds(few.take("a", 1, 0)) == 0.5


def test_what_is_more_than_a_whole_bucket_passes_after_a_rest_and_is_waited_for_afterwards() -> None:
    size = bucket(per_second=10, at_once=5)
    assert size.take("a", 100, 0) is None
    assert seconds(size.take("a", 1, 0)) == pytest.approx(9.6)
    assert size.take("a", 100, 9.9) is not None
    assert size.take("a", 100, 10) is None


def test_without_a_rate_everything_passes_and_nothing_is_kept() -> None:
    messages = Buckets(MESSAGES, None)
    assert all(messages.take("a", 10**9, 0) is None for _ in range(100))
    assert messages.full_at == {}


def test_whom_nobody_knows_is_not_counted() -> None:
    messages = bucket()
    assert all(messages.take(name, 5, 0) is None for name in (None, "") for _ in range(10))


def test_a_wait_says_which_setting_to_change() -> None:
    messages = bucket()
    messages.take("a", 5, 0)
    assert str(messages.take("a", 1, 0)) == (
        "too fast: Rates.client_messages allows 10 each second, 5 at once; wait 0.5 seconds"
    )


def test_what_is_kept_does_not_grow_with_those_who_ask() -> None:
    messages = bucket()
    for number in range(50_000):
        messages.take(str(number), 5, number / 50_000)
        assert len(messages.full_at) <= 8_192


def test_a_crowd_of_others_does_not_fill_the_bucket_of_who_is_far_too_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "_MANY", 100)
    messages = bucket(per_second=1, at_once=5)
    messages.owe("a", 50, 0)
    for number in range(10_000):
        messages.take(str(number), 1, 1)
    assert messages.take("a", 1, 1) is not None


@given(
    st.floats(0.1, 1000),
    st.integers(1, 1000),
    st.lists(st.tuples(st.floats(0, 2), st.integers(1, 50)), max_size=60),
)
def test_never_more_passes_than_a_full_bucket_and_what_flowed_in(per_second: float, at_once: int, asked: Any) -> None:
    messages, now, passed = bucket(per_second, at_once), 0.0, 0
    for pause, amount in asked:
        now += pause
        if messages.take("a", min(amount, at_once), now) is None:
            passed += min(amount, at_once)
        assert passed <= at_once + per_second * now + 1e-3


@given(st.floats(0.1, 1000), st.integers(1, 1000), st.lists(st.integers(1, 2000), max_size=30))
def test_who_waits_as_long_as_told_always_passes(per_second: float, at_once: int, amounts: list[int]) -> None:
    messages, now = bucket(per_second, at_once), 0.0
    for amount in amounts:
        wait = messages.take("a", amount, now)
        if wait is not None:
            now += wait.seconds
            assert messages.take("a", amount, now) is None


# Those of a worker


def few(**changes: Any) -> Meters:
    return Meters(Rates(**{field.name: None for field in fields(Rates)} | changes))


NAMES = ("client", "user", "address")


@pytest.mark.parametrize("index", range(3))
def test_messages_are_counted_for_the_client_the_user_and_the_address(index: int) -> None:
    meters = few(**{f"{NAMES[index]}_messages": Rate(1, 2)})
    assert [meters.take(NAMES, 1, 10, 0) is None for _ in range(3)] == [True, True, False]
    others = tuple("another" if place == index else name for place, name in enumerate(NAMES))
    assert meters.take(others, 1, 10, 0) is None


@pytest.mark.parametrize("index", range(3))
def test_bytes_are_counted_for_the_client_the_user_and_the_address(index: int) -> None:
    meters = few(**{f"{NAMES[index]}_bytes": Rate(100, 1000)})
    assert [meters.take(NAMES, 1, 400, 0) is None for _ in range(3)] == [True, True, False]


def test_nothing_is_taken_of_any_if_one_has_too_little() -> None:
    meters = few(client_messages=Rate(1, 10), client_bytes=Rate(1, 10))
    assert meters.take(NAMES, 8, 10, 0) is None
    assert meters.take(NAMES, 2, 1, 0) is not None
    assert meters.take(NAMES, 2, 0, 0) is None


def test_who_can_not_send_again_owes_and_waits_until_that_is_paid() -> None:
    meters = few(client_messages=Rate(10, 5), user_bytes=Rate(10, 100))
    assert meters.owe(NAMES, 5, 100, 0) is None
    wait = meters.owe(NAMES, 20, 0, 0)
    assert wait is not None and (wait.seconds, wait.setting) == (2, "client_messages")
    wait = meters.owe(NAMES, 0, 100, 0)
    assert wait is not None and (wait.seconds, wait.setting) == (10, "user_bytes")
    assert meters.owe(NAMES, 1, 1, 30) is None


def test_new_clients_and_connections_are_counted_apart() -> None:
    meters = few(address_opens=Rate(1, 1), address_connections=Rate(1, 1), user_opens=Rate(1, 5))
    assert meters.open("user", "address", 0) is None
    assert meters.connect("client", "user", "address", 0) is None
    assert meters.open("user", "address", 0) is not None
    assert meters.connect("client", "user", "address", 0) is not None
    assert meters.open("user", None, 0) is None


def test_a_pages_full_outbox_passes_at_once_by_default() -> None:
    meters, size = Meters(Rates()), 3 * 4 * 1024 * 1024 // 1000
    assert all(meters.take(NAMES, 1, size, 0) is None for _ in range(1000))


def test_what_is_asked_for_each_message_calls_nothing() -> None:
    meters, calls = Meters(Rates()), 0
    for _ in range(3):
        meters.take(NAMES, 1, 100, 0)

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    meters.take(NAMES, 1, 100, 0.1)
    sys.setprofile(None)
    assert calls == 1


@pytest.mark.parametrize("name", [field.name for field in fields(Rates)])
def test_a_rate_that_can_not_be_kept_is_refused_by_name(name: str) -> None:
    for value in (0, -1, 1.5, True, Rate(0, 5), Rate(5, 0), Rate(float("nan"), 5), Rate(1, float("inf")), (1, 2), "1/s"):
        with pytest.raises(ValueError, match=name):
            Rates(**{name: value})  # type: ignore[arg-type]
    assert getattr(Rates(**{name: None}), name) is None  # type: ignore[arg-type]


# Who does not listen


def test_who_is_too_fast_again_right_behind_its_wait_has_not_listened_since_the_first() -> None:
    heeding = Heeding()
    assert [heeding.told("a", 1, now) for now in (0, 1, 2.5, 3.5)] == [0, 1, 2.5, 3.5]
    assert heeding.told("b", 1, 3.5) == 0


def test_who_rests_begins_anew() -> None:
    heeding = Heeding()
    assert [heeding.told("a", 1, now) for now in (0, 1, 4, 5)] == [0, 1, 0, 1]


def test_who_does_as_it_was_told_begins_anew() -> None:
    heeding = Heeding()
    heeding.told("a", 1, 0)
    assert heeding.is_waiting("a", 0.9) and not heeding.is_waiting("a", 1)
    heeding.listened("a")
    assert heeding.told("a", 1, 1) == 0


def test_those_who_do_not_listen_are_kept_in_a_table_that_does_not_grow() -> None:
    heeding = Heeding()
    for number in range(20_000):
        heeding.told(str(number), 1, 0)
    assert len(heeding._runs) <= 8_192


# How many there are


def test_connections_are_counted_by_address_until_they_leave() -> None:
    crowd = Crowd()
    crowd.enter(1, "a")
    crowd.enter(2, "a")
    crowd.enter(3, "b")
    assert (crowd.count("a"), crowd.count("b"), crowd.count("c")) == (2, 1, 0)
    crowd.leave(1)
    crowd.leave(1)
    crowd.leave(99)
    assert crowd.count("a") == 1
    crowd.enter(2, "b")
    assert (crowd.count("a"), crowd.count("b")) == (0, 2)
    crowd.leave(2)
    crowd.leave(3)
    assert crowd._counts == crowd.places == {}


def test_the_page_of_the_protocol_tells_the_defaults() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs/protocol.md").read_text()
    table = page.partition("| | client | user | address |")[2].partition("\n\n")[0]
    told = {}
    for row in table.splitlines()[2:]:
        kind, *cells = row.strip("| ").split(" | ")
        (name,) = set(re.findall("messages|bytes|opens|connections_at_once|connections|guesses", kind)) - {"connections"} or {
            "connections"
        }
        told |= {(scope, name): cell for scope, cell in zip(("client", "user", "address"), cells, strict=True)}
    assert told.pop(("address", "connections_at_once")).startswith(f"{Rates().connections_at_once:,};")
    units = {"": 1, " MiB": 1024 * 1024}

    def number(text: str) -> float:
        value, unit = re.fullmatch(r"([\d.,]+)( MiB)?", text.strip()).groups(default="")  # type: ignore[union-attr]
        return float(value.replace(",", "")) * units[unit]

    for (scope, kind), text in told.items():
        rate = getattr(Rates(), f"{scope}_{kind}", None)
        shown = None if text == "–" else Rate(*map(number, text.split(", ")))
        assert rate == shown, (scope, kind)
    assert len(told) == 17
