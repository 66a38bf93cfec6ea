"""A goodbye is said to any worker: the one at which its client is at home waits for the client, and nobody is left over."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

import pytest

from tests.cluster.workers import Cluster, cluster
from tests.live.clients import LongPoll, Stream, WebSocket, new_key
from tests.live.server import LIMIT_SECONDS, PATIENT, Server

FULL = pytest.mark.full
KINDS = pytest.mark.parametrize("kind", [pytest.param(WebSocket, marks=FULL), Stream, pytest.param(LongPoll, marks=FULL)])


@pytest.fixture(scope="module")
def pair(channel_url: str) -> Iterator[Cluster]:
    with cluster(channel_url, PATIENT | {"lease_seconds": 3}, name="goodbyes") as running:
        yield running


def say(server: Server, key: str, shape: object) -> tuple[int, object]:
    headers = {"Comet-Key": key, "Content-Type": "application/json"}
    status, _, body = server.request("POST", "/comet", json.dumps(shape).encode(), headers)
    return status, json.loads(body)


def present(pair: Cluster) -> list[str]:
    return [one["id"] for one in pair.workers[0].get("/presence/*")]


def until(look: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_SECONDS
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@KINDS
def test_who_does_not_come_back_has_left_though_another_worker_was_told(pair: Cluster, kind: type[Stream]) -> None:
    home, other = pair.workers
    with kind(home) as page:
        page.listen()
    began = time.monotonic()
    assert say(other, page.key, {"close": {"wait": 2}}) == (200, {"accepted": 0})
    assert page.id in present(pair)
    (line,) = pair.journal(1, kind="close", client=page.id)
    assert line["reason"] == "left"
    assert time.monotonic() - began > 1.9
    until(lambda: page.id not in present(pair))


@KINDS
def test_who_comes_back_to_whichever_worker_has_never_left(pair: Cluster, kind: type[Stream]) -> None:
    home, other = pair.workers
    for told in (home, other):
        for back in (home, other):
            key = new_key()
            with kind(home, key=key):
                pass
            say(told, key, {"close": {"wait": 0.5}})
            with WebSocket(home) as clock:
                pass
            with kind(back, key=key) as page:
                page.listen()
                say(other, clock.key, {"close": {"wait": 1.5}})
                pair.journal(1, kind="close", client=clock.id)  # so long it takes
                assert page.id in present(pair)
                assert pair.journal(kind="close", client=page.id) == []
                assert len(pair.journal(kind="open", client=page.id)) == 1


def test_a_request_on_its_way_opens_nobody_anew_at_any_worker(pair: Cluster) -> None:
    home, other = pair.workers
    with Stream(home) as page:
        say(other, page.key, {"close": {}})
    pair.journal(1, kind="close", client=page.id)
    for server in (home, other, home, other):
        late = Stream(server, key=page.key)
        late.begin()
        assert late.receive() == {"close": {"code": 4006, "reason": "this client said goodbye a moment ago"}}
        late.drop()
    assert len(pair.journal(kind="open", client=page.id)) == 1


def test_the_goodbye_of_one_that_never_came_is_known_to_all(pair: Cluster) -> None:
    home, other = pair.workers
    key = new_key()
    assert say(home, key, {"close": {}}) == (200, {"accepted": 0})
    late = Stream(other, key=key)
    late.begin()
    assert late.receive()["close"]["code"] == 4006
    late.drop()
