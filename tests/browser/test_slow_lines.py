"""A page behind a long line: it finds its WebSocket and stays on it, whatever it began meanwhile."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from foreground import listening
from playwright.sync_api import Page
from test_client import wait
from test_lifecycle import transports
from website import Site

OpenPage = Callable[..., Page]
SLOW_LINE = Path(__file__).resolve().parents[1] / "proxies" / "slow_line.py"
AS_THEY_ARE = {"race": 300, "silent": 2000, "giveUp": 10_000, "margin": 10_000, "check": 3000}
IN_SAMPLE = (0.12, 0.6)


@contextmanager
def slow_line(round_trip: float, upstream: int) -> Iterator[str]:
    with listening(lambda port, folder: [sys.executable, SLOW_LINE, str(round_trip), str(port), str(upstream)]) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.mark.parametrize(
    "round_trip", [pytest.param(s, marks=[pytest.mark.full] * (s not in IN_SAMPLE)) for s in (0.05, 0.12, 0.3, 0.6, 1, 2)]
)
def test_a_page_stays_on_the_websocket_that_it_found(round_trip: float, open_page: OpenPage) -> None:
    with Site(limits={"overlap_seconds": 3}, origins="*") as site, slow_line(round_trip, site.port) as url:
        page = open_page(site.page(times=AS_THEY_ARE).replace(site.url, url))
        client = wait(page, "comet.transport === 'websocket' && comet.client")
        site.get("/publish", n=20, rate=4, to=f"client:{client}")
        wait(page, "seen.length >= 20")
        assert page.evaluate("seen") == list(range(20))
        names = [name for name, _ in transports(page)]
        assert names[-1] == "websocket"
        assert None not in names
        assert len(names) <= 2
        assert site.get("/opened") == [client]
        assert site.get("/said", client="left") == []
