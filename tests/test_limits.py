"""Every bound is checked where it is set."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from cometware import Limits, Refused


@pytest.mark.parametrize("name", [field.name for field in fields(Limits)])
def test_a_limit_below_zero_is_refused_by_name(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Limits(**{name: -1})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [field.name for field in fields(Limits)])
def test_a_limit_that_can_not_be_kept_is_refused_by_name(name: str) -> None:
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match=name):
            Limits(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [field.name for field in fields(Limits) if field.name.startswith(("max_", "window_"))])
def test_a_limit_that_would_stop_everything_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Limits(**{name: 0})  # type: ignore[arg-type]


def test_a_heartbeat_that_proxies_would_not_live_to_see_is_refused() -> None:
    assert Limits(heartbeat_seconds=55).heartbeat_seconds == 55
    with pytest.raises(ValueError, match="proxies cut connections"):
        Limits(heartbeat_seconds=56)


def test_limits_never_change() -> None:
    with pytest.raises(AttributeError):
        Limits().max_clients = 1  # type: ignore[misc]


@pytest.mark.parametrize("status", [200, 302, 399, 600, 0])
def test_only_an_http_error_can_refuse(status: int) -> None:
    with pytest.raises(ValueError, match="400 to 599"):
        Refused(status)


@pytest.mark.parametrize(("error", "text"), [(Refused(), "403"), (Refused(401, "log in"), "401: log in")])
def test_a_refusal_says_why(error: Any, text: str) -> None:
    assert str(error) == text
