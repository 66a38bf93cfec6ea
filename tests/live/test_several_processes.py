"""One log in each of several processes: said at the first request, since nobody would see it."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from werkzeug.test import Client

from cometware import Channel, Cometware


def no_app(environ: object, start_response: object) -> list[bytes]:
    raise AssertionError("only the channel is asked")


@pytest.mark.parametrize(("several", "lines"), [(True, 1), (False, 0)])
def test_a_log_in_memory_under_several_workers_is_told_once(
    several: bool, lines: int, caplog: pytest.LogCaptureFixture
) -> None:
    client = Client(Cometware(no_app, Channel()))
    with caplog.at_level(logging.WARNING, "cometware"):
        for _ in range(2):
            client.get("/comet", environ_overrides={"wsgi.multiprocess": several})
    told = [record.getMessage() for record in caplog.records if "several processes" in record.getMessage()]
    assert len(told) == lines


def test_of_many_threads_one_tells_it(caplog: pytest.LogCaptureFixture) -> None:
    app, together = Cometware(no_app, Channel()), threading.Barrier(16)

    def ask(_: int) -> None:
        client = Client(app)
        together.wait()
        client.get("/comet", environ_overrides={"wsgi.multiprocess": True, "wsgi.multithread": True})

    with caplog.at_level(logging.WARNING, "cometware"), ThreadPoolExecutor(16) as pool:
        list(pool.map(ask, range(16)))
    told = [record.getMessage() for record in caplog.records if "several processes" in record.getMessage()]
    assert len(told) == 1
