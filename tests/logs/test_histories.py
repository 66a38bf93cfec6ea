"""Each log against a naive model, a list, over histories of appends, readers, keys of once, trims and restarts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from cometware import Limits, Position
from cometware.core.entry import Message
from cometware.errors import Gap
from cometware.logs.base import Log
from cometware.logs.memory import MemoryLog
from tests.logs.test_redis_log import open_log as open_redis
from tests.logs.test_sqlite_log import open_log as open_sqlite
from tests.logs.waiting import SECONDS, until
from tests.redis_server import RedisServer

KEPT = 6
LIMITS = Limits(window_entries=KEPT, store_seconds=SECONDS)
AUDIENCES = ["*", "room:a", "room:b", "user:ann"]
NUMBERS = count()

audiences = st.lists(st.sampled_from(AUDIENCES), min_size=1, max_size=2, unique=True).map(tuple)


class History(RuleBasedStateMachine):
    """One process, or two, at a log. The model: all entries that were ever appended, by their places."""

    make: ClassVar[Callable[[str], Log]]
    """Make a log of this name, or a second one at the same place."""
    is_shared: ClassVar[bool]

    @initialize()
    def begin(self) -> None:
        self.name = f"history{next(NUMBERS)}"
        self.logs = [type(self).make(self.name)]
        if self.is_shared:
            self.logs.append(type(self).make(self.name))
        self.epoch = self.logs[0].head.epoch
        self.model: list[Message] = []
        self.once: dict[str, int] = {}
        self.readers: list[tuple[tuple[str, ...], Position]] = []

    def teardown(self) -> None:
        for log in getattr(self, "logs", []):
            log.close()

    @rule(who=st.integers(0, 1), to=audiences, many=st.integers(1, 4))
    def append(self, who: int, to: tuple[str, ...], many: int) -> None:
        for _ in range(many):
            message = Message("m", str(len(self.model)), to)
            self.model.append(message)
            assert self.logs[who % len(self.logs)].append(message) == Position(self.epoch, len(self.model))

    @rule(who=st.integers(0, 1), key=st.sampled_from("xyz"))
    def append_once(self, who: int, key: str) -> None:
        message = Message("m", str(len(self.model)))
        if key not in self.once:
            self.model.append(message)
            self.once[key] = len(self.model)
        assert self.logs[who % len(self.logs)].append(message, once=key) == Position(self.epoch, self.once[key])

    @rule(hears=audiences, back=st.integers(0, 10))
    def come(self, hears: tuple[str, ...], back: int) -> None:
        self.readers.append((hears, Position(self.epoch, max(0, len(self.model) - back))))

    @precondition(lambda self: self.readers)
    @rule(data=st.data(), who=st.integers(0, 1))
    def read(self, data: st.DataObject, who: int) -> None:
        index = data.draw(st.integers(0, len(self.readers) - 1))
        hears, position = self.readers[index]
        log = self.logs[who % len(self.logs)]
        self.caught_up(log)
        owed = [
            (offset, message)
            for offset, message in enumerate(self.model, 1)
            if offset > position.offset and set(message.to) & set(hears)
        ]
        first = max(1, len(self.model) - KEPT + 1)
        try:
            entries, after = log.read(position, hears, "me", 100, len(self.model))
        except Gap as gap:
            assert gap.reason == "forgotten"
            # A log that was opened later may not know for whom the forgotten ones were: then any of them counts
            assert position.offset < first - 1 or (owed and owed[0][0] < first)
            self.readers[index] = (hears, log.head)
            return
        assert [(entry.position.offset, entry.message.json) for entry in entries] == [(o, m.json) for o, m in owed]
        assert after == log.head
        self.readers[index] = (hears, after)

    @precondition(lambda self: self.is_shared)
    @rule(who=st.integers(0, 1))
    def restart(self, who: int) -> None:
        self.logs[who].close()
        self.logs[who] = type(self).make(self.name)

    @invariant()
    def the_window_is_the_tail_of_the_model(self) -> None:
        for log in getattr(self, "logs", []):
            self.caught_up(log)
            tail = self.model[-KEPT:]
            entries = log.since(len(self.model) - len(tail))
            assert [entry.message.json for entry in entries] == [message.json for message in tail]
            assert [entry.message.to for entry in entries] == [message.to for message in tail]

    def caught_up(self, log: Log) -> None:
        wanted = Position(self.epoch, len(self.model))
        until(log, lambda: log.head == wanted)


def run(make_log: Callable[[str], Log], examples: int, *, shared: bool) -> None:
    class Run(History):
        make = staticmethod(make_log)
        is_shared = shared

    bounds: Any = settings(
        max_examples=examples, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
    )
    run_state_machine_as_test(Run, settings=bounds)  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


def test_memory() -> None:
    run(lambda name: MemoryLog(LIMITS), 50, shared=False)


def test_sqlite(tmp_path: Path) -> None:
    run(lambda name: open_sqlite(tmp_path / "channel.db", LIMITS, name), 12, shared=True)


def test_redis(server: RedisServer) -> None:
    run(lambda name: open_redis(server.url, LIMITS, name), 12, shared=True)


@pytest.mark.full
def test_long_histories(tmp_path: Path, server: RedisServer) -> None:
    run(lambda name: open_sqlite(tmp_path / "channel.db", LIMITS, name), 150, shared=True)
    run(lambda name: open_redis(server.url, LIMITS, name), 150, shared=True)
