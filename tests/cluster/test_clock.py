"""The clock of a host is set back by an hour under live workers: nothing is lost or forgotten, and nobody is reset.

The store is SQLite, since redis-server does not come up under libfaketime.
"""

from __future__ import annotations

import json
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from tests.cluster.chaos import Worker
from tests.cluster.test_store_away import At
from tests.live.clients import LongPoll, WebSocket
from tests.live.server import LIMIT_SECONDS, PATIENT

LIMITS = PATIENT | {"lease_seconds": 4, "grace_seconds": 8, "poll_seconds": 55, "store_seconds": 20}
HOUR = 3600


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file that says by how many seconds the clock of every process started from here on is wrong."""
    (library,) = Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")
    clock = tmp_path / "clock"
    clock.write_text("+0\n")
    monkeypatch.setenv("FAKETIME_TIMESTAMP_FILE", str(clock))
    monkeypatch.setenv("FAKETIME_NO_CACHE", "1")
    monkeypatch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    monkeypatch.setenv("LD_PRELOAD", str(library))
    return clock


def leases(file: Path) -> list[float]:
    """Return until when each worker's lease runs, in seconds since 1970."""
    with closing(sqlite3.connect(file, timeout=LIMIT_SECONDS)) as database:
        return [row[0] for row in database.execute("SELECT until FROM workers WHERE buried IS NULL")]


@contextmanager
def two_workers(folder: Path) -> Iterator[tuple[list[Worker], ExitStack]]:
    """Run two workers of the channel in `folder / "channel.db"`; end them behind what is put on the stack."""
    (folder / "journal").mkdir()
    environ = {"CHANNEL": f"sqlite:///{folder}/channel.db", "JOURNAL": str(folder / "journal"), "LIMITS": json.dumps(LIMITS)}
    with ExitStack() as stack:
        workers = [Worker(environ, folder / "errors") for _ in range(2)]
        for worker in workers:
            stack.callback(worker.close)
            worker.await_start()
        yield workers, stack


@pytest.mark.full
def test_a_clock_that_is_set_back_by_an_hour_is_noticed_by_nobody(clock: Path, tmp_path: Path) -> None:
    file = tmp_path / "channel.db"
    with two_workers(tmp_path) as (workers, stack):
        one, two = (At(worker) for worker in workers)
        dying = stack.enter_context(WebSocket(one))
        socket, poll = stack.enter_context(WebSocket(two)), stack.enter_context(LongPoll(two))
        place = one.publish("before", once="before")
        clock.write_text(f"-{HOUR}\n")
        assert two.publish("before", once="before") == place
        for number in range(10):
            (one, two)[number % 2].publish(number)
        assert two.publish("before", once="before") == place
        for client in (dying, socket, poll):
            assert client.data(11) == ["before", *range(10)]
        deadline = time.monotonic() + LIMIT_SECONDS
        while len(found := leases(file)) != 2 or max(found) > time.time() - HOUR / 2:
            assert time.monotonic() < deadline, f"the leases are not renewed by the new clock: {found}"
            assert [client.waiting(1) for client in (dying, socket, poll)] == [[], [], []]
        poll.listen()  # it is here while the other one's end is awaited
        workers[0].kill()
        (line,) = two.journal(1, kind="close")
        assert (line["client"], line["reason"]) == (dying.id, "timeout")
        two.publish("after")
        for client in (socket, poll):
            assert client.data(1) == ["after"]
        assert two.get("/history/100")[0][1] == "before"


@pytest.mark.full
def test_a_worker_that_dies_just_as_the_clock_is_set_back_is_missed_as_any_other(clock: Path, tmp_path: Path) -> None:
    with two_workers(tmp_path) as (workers, stack):
        one, two = (At(worker) for worker in workers)
        dying = stack.enter_context(WebSocket(one))
        stack.enter_context(WebSocket(two))  # a worker holds a lease from its first request on
        workers[0].process.send_signal(signal.SIGSTOP)  # so its lease is not renewed by the new clock
        clock.write_text(f"-{HOUR}\n")
        workers[0].process.kill()
        (line,) = two.journal(1, kind="close")
        assert (line["client"], line["reason"]) == (dying.id, "timeout")
