"""What wrappers hold is found, whatever kind of wrapper it is; what is not there is given up soon."""

from __future__ import annotations

import io
from functools import partial, wraps
from typing import Any

import pytest

from cometware.servers.behind import behind


class Wanted:
    def start(self, *head: Any) -> None: ...


class Slotted:
    __slots__ = ("inner",)

    def __init__(self, inner: Any) -> None:
        self.inner = inner


class Hostile:
    """Refuses to be looked at, as a proxy outside of its context does."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("working outside of request context")


def decorated(call: Any) -> Any:
    @wraps(call)
    def inner(*arguments: Any) -> Any:
        return call(*arguments)

    return inner


def default(call: Any) -> Any:
    def inner(*arguments: Any, call: Any = call) -> Any:
        return call(*arguments)

    return inner


WAYS = {
    "bound method": lambda wanted: wanted.start,
    "closure": lambda wanted: lambda *head: wanted.start(*head),
    "partial": lambda wanted: partial(partial, wanted.start),
    "keyword": lambda wanted: partial(print, file=wanted),
    "attribute": lambda wanted: _with(wanted),
    "slot": Slotted,
    "decorator": lambda wanted: decorated(decorated(wanted.start)),
    "default": lambda wanted: default(wanted.start),
    "beside one that refuses": lambda wanted: partial(print, Hostile(), wanted),
    "deep": lambda wanted: Slotted(partial(decorated(lambda: Slotted(wanted)))),
}


def _with(wanted: Any) -> Any:
    holder = Wanted()
    holder.__dict__["held"] = wanted
    return holder.start


@pytest.mark.parametrize("way", WAYS)
def test_it_is_found(way: str) -> None:
    wanted = Wanted()
    wrapper: Any = WAYS[way](wanted)  # type: ignore[no-untyped-call]
    assert behind(wrapper, lambda one: one is wanted) is wanted


def test_what_a_builtin_method_belongs_to_is_found() -> None:
    stream = io.BytesIO(b"x")
    assert behind(partial(stream.read), lambda one: isinstance(one, io.BytesIO)) is stream


def test_what_is_not_there_is_given_up_after_a_bounded_look() -> None:
    seen = []
    chain: Any = None
    for _ in range(10_000):
        chain = Slotted(chain)
    assert behind(chain, lambda one: seen.append(one)) is None  # type: ignore[func-returns-value]
    assert len(seen) == 200
