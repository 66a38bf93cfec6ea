"""What a stranger says who is not known to anybody costs the store no more than a look."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.cluster.test_store_away import At, Server, running
from tests.live.clients import new_key
from tests.live.raw import Line, request
from tests.redis_server import RedisServer

STRANGERS = 20
_BESIDE = frozenset({"info", "xread", "ping"})
"""What is asked all the time."""


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    redis = RedisServer(tmp_path_factory.mktemp("redis"))
    yield redis
    redis.stop()


@pytest.fixture(scope="module")
def servers(redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Server]]:
    with running(redis.url, tmp_path_factory.mktemp("workers")) as both:
        yield both


def commands(redis: RedisServer, call: Callable[[], None]) -> float:
    """Return how many commands Redis ran meanwhile, those inside of scripts too, for each stranger."""

    def total() -> int:
        with redis.client() as client:
            ran = client.info("commandstats")
        return sum(one["calls"] for name, one in ran.items() if name.partition("_")[2] not in _BESIDE)

    before = total()
    call()
    return (total() - before) / STRANGERS


def ask_all(server: At | Server, requests: list[bytes]) -> list[int]:
    """Ask all at once, each on a line of its own."""
    with ExitStack() as stack:
        lines = [stack.enter_context(Line(server.port)) for _ in requests]
        for line, data in zip(lines, requests, strict=True):
            line.send(data)
        return [line.answer().status for line in lines]


def post(number: int) -> bytes:
    return request("POST", "/comet?v=1", json.dumps({"n": number, "event": "echo"}).encode(), comet_key=new_key())


def test_a_number_of_a_client_that_nobody_knows_costs_one_look(redis: RedisServer, servers: tuple[Server, Server]) -> None:
    server = servers[0]
    known = commands(redis, lambda: check(ask_all(server, [post(1) for _ in range(STRANGERS)]), 200))
    unknown = commands(redis, lambda: check(ask_all(server, [post(2) for _ in range(STRANGERS)]), 409))
    assert unknown <= known, (known, unknown)


def test_a_position_that_nobody_has_reached_costs_one_look(redis: RedisServer, servers: tuple[Server, Server]) -> None:
    server = servers[1]
    epoch = server.get("/position").partition("-")[0]

    def poll(query: str) -> bytes:
        return request("GET", f"/comet?wait=0{query}", comet_key=new_key())

    known = commands(redis, lambda: check(ask_all(server, [poll("") for _ in range(STRANGERS)]), 200))
    far = [poll(f"&after={epoch}-999999") for _ in range(STRANGERS)]
    unknown = commands(redis, lambda: check(ask_all(server, far), 200))
    assert unknown <= known + 6, (known, unknown)  # a script, and what that asks


def check(statuses: list[int], expected: int) -> None:
    assert set(statuses) == {expected}
