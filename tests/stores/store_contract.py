"""What every Store keeps. `write` and `read` make operations that set and tell a number by its name."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cometware import Limits, LogUnavailable
from cometware.stores.base import Store

SECONDS = 60


def unavailable(ask: Callable[[], Any]) -> LogUnavailable:
    """Ask a store that is away; return what it says as soon as it knows more than that nothing has answered yet."""
    deadline = time.monotonic() + SECONDS
    while True:
        with pytest.raises(LogUnavailable) as caught:
            ask()
        if "it has not answered" not in str(caught.value):
            return caught.value
        assert time.monotonic() < deadline


class StoreContract(ABC):
    @abstractmethod
    def make(self, limits: Limits) -> Store[Any, Any]:
        """Make a store, the second time one to the same place."""

    @abstractmethod
    def write(self, name: str, number: int) -> Callable[[Any], Any]: ...

    @abstractmethod
    def read(self, name: str) -> Callable[[Any], Any]: ...

    def number(self, found: Any) -> int | None:
        return None if found is None else int(found)

    @pytest.fixture
    def store(self) -> Iterator[Store[Any, Any]]:
        store = self.make(Limits(store_seconds=SECONDS))
        yield store
        store.close()

    def test_an_operation_is_done_when_do_returns(self, store: Store[Any, Any]) -> None:
        store.do(self.write("a", 7))
        assert self.number(store.do(self.read("a"))) == 7

    def test_what_one_process_wrote_another_reads(self, store: Store[Any, Any]) -> None:
        store.do(self.write("a", 7))
        other = self.make(Limits(store_seconds=SECONDS))
        assert self.number(other.do(self.read("a"))) == 7
        other.close()

    def test_what_an_operation_raises_is_raised_at_its_caller_alone(self, store: Store[Any, Any]) -> None:
        def wrong(_: Any) -> None:
            raise KeyError("mine")

        with pytest.raises(KeyError, match="mine"):
            store.do(wrong)
        store.do(self.write("a", 1))
        assert self.number(store.do(self.read("a"))) == 1

    def test_what_was_posted_is_done_before_what_is_asked_later(self, store: Store[Any, Any]) -> None:
        for number in range(50):
            store.post(self.write("a", number))
        assert self.number(store.do(self.read("a"))) == 49

    def test_many_threads_share_it(self, store: Store[Any, Any]) -> None:
        def work(me: int) -> None:
            for number in range(100):
                store.do(self.write(f"n{me}", number))

        threads = [threading.Thread(target=work, args=(me,)) for me in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SECONDS)
        assert [self.number(store.do(self.read(f"n{me}"))) for me in range(8)] == [99] * 8

    def test_subscribers_are_called_after_each_group_before_its_callers_go_on(self, store: Store[Any, Any]) -> None:
        calls: list[int] = []
        store.subscribe(lambda connection: calls.append(1))
        store.do(self.write("a", 1))
        assert calls

    def test_an_operation_must_not_ask_the_store_again(self, store: Store[Any, Any]) -> None:
        with pytest.raises(RuntimeError, match="must not ask"):
            store.do(lambda _: store.do(self.read("a")))

    def test_it_may_be_closed_in_its_own_thread(self, store: Store[Any, Any]) -> None:
        store.subscribe(lambda _: store.close())
        store.do(self.write("a", 1))
        with pytest.raises(LogUnavailable, match="closed"):
            store.do(self.write("a", 2))

    def test_close_finishes_what_was_posted(self, store: Store[Any, Any]) -> None:
        for number in range(100):
            store.post(self.write("a", number))
        store.close()
        other = self.make(Limits(store_seconds=SECONDS))
        assert self.number(other.do(self.read("a"))) == 99
        other.close()
