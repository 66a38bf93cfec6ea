"""Requests that can be read in two ways, sent through proxies that share their connections: nobody gets another's answer.

A request is smuggled if the proxy takes it for a part of another one, and the server does not: its answer then goes to
whoever asks next.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager

import pytest
from proxies import apache_default, haproxy_default, nginx_pool

from tests.live.doubtful import DOUBTFUL
from tests.live.raw import Line, request
from tests.live.server import Server, serve

POOLS = {"nginx": nginx_pool, "haproxy": haproxy_default, "apache": apache_default}
HANGING_SECONDS = 0.15
"""How long an answer is waited for that may never come: the proxy waits for more."""
NEXT = 4
"""Visitors who come behind a doubtful request."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(application="tests.live.paths:app") as server:
        yield server


@pytest.fixture(scope="module", params=POOLS)
def port(request: pytest.FixtureRequest, server: Server) -> Iterator[int]:
    proxy: AbstractContextManager[int] = POOLS[request.param](server.port)
    with proxy as port:
        yield port


def send(port: int, message: bytes) -> None:
    """Send it, and take what is answered, if something is."""
    with Line(port) as line, contextlib.suppress(OSError):
        line.send(message)
        line.sock.settimeout(HANGING_SECONDS)
        while line.sock.recv(65536):
            pass


QUICK = set(sorted(DOUBTFUL)[::6])
"""What is tried each time; the whole matrix tries all."""


@pytest.mark.parametrize("name", [pytest.param(name, marks=[] if name in QUICK else pytest.mark.full) for name in DOUBTFUL])
def test_whoever_comes_behind_gets_the_own_answer(port: int, name: str) -> None:
    with contextlib.ExitStack() as lines:
        before = [lines.enter_context(Line(port)) for _ in range(NEXT)]
        for number, line in enumerate(before):
            assert line.send(request(target=f"/before/{number}")).answer().body == b"/before/%d" % number
        send(port, DOUBTFUL[name])
        behind = [*before, *(lines.enter_context(Line(port)) for _ in range(NEXT))]
        for number, line in enumerate(behind):
            line.send(request(target=f"/behind/{number}"))
        assert [line.answer().body for line in behind] == [b"/behind/%d" % number for number in range(len(behind))]
