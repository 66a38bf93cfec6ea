"""Python clients that hop between workers which are killed hear everything once, and each question is answered."""

from __future__ import annotations

import json
import random
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.cluster.chaos import LIMITS, Publisher, Worker
from tests.cluster.crowd import Crowd
from tests.cluster.survivors import Report
from tests.cluster.workers import haproxy
from tests.proxies.foreground import listening


@pytest.mark.parametrize(("seconds", "count"), [(6, 16), pytest.param(60, 100, marks=pytest.mark.full)])
def test_who_hops_between_workers_that_are_killed_hears_all_and_is_answered(
    tmp_path: Path, seconds: float, count: int
) -> None:
    store, report, dice = f"sqlite:///{tmp_path}/channel.db", Report(), random.Random(2)
    (tmp_path / "journal").mkdir()
    environ = {"CHANNEL": store, "JOURNAL": str(tmp_path / "journal"), "LIMITS": json.dumps(LIMITS)}
    with ExitStack() as stack:
        crew = [Worker(environ, tmp_path / "errors") for _ in range(3)]
        for worker in crew:
            stack.callback(worker.close)
            worker.await_start()
        ports = [worker.port for worker in crew]
        proxy = stack.enter_context(listening(lambda port, folder: haproxy(port, folder, ports)))
        crowd = stack.enter_context(Crowd(f"http://127.0.0.1:{proxy}/comet", count))
        publisher, ended = Publisher(store, 50, report), threading.Event()
        publisher.start()
        answers: list[int] = []

        def ask() -> None:
            while not ended.is_set():
                number = len(answers)
                answers.append(crowd.listeners[number % count].connection.ask("echo", number, timeout=60))

        asker = threading.Thread(target=ask, daemon=True)
        asker.start()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            time.sleep(1)  # the pace of the murders, not a wait
            worker = dice.choice(crew)
            worker.kill()
            worker.start()
            worker.await_start()
        publisher.ended.set()
        publisher.join(120)
        crowd.rest()
        everybody = crowd.await_number(report.published, 120)
        ended.set()
        asker.join(120)
        assert not crowd.mistakes()
        assert everybody, [repr(one.connection) for one in crowd.listeners if one.last < report.published]
        assert crowd.heard >= report.published * count * 0.5 and crowd.hops > seconds
        assert not asker.is_alive() and answers == list(range(len(answers))) and answers
        assert sum((one.resets for one in crowd.listeners), start=type(crowd.listeners[0].resets)()) == {}
