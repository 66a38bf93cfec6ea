"""Two workers of one channel, and a proxy that sends each request to either: no test of the contract may notice."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.workers import Cluster, cluster
from tests.live.server import LIMIT_SECONDS, PATIENT, Server
from tests.redis_server import RedisServer


@pytest.fixture(scope="package", params=["sqlite", "redis"])
def channel_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("channel")
    if request.param == "sqlite":
        yield f"sqlite:///{folder}/channel.db"
        return
    redis = RedisServer(folder)
    try:
        yield redis.url
    finally:
        redis.stop()


@pytest.fixture(scope="package")
def server(channel_url: str) -> Iterator[Server]:
    """Workers on which nothing happens by a clock."""
    with cluster(channel_url, PATIENT | {"max_message_bytes": 65536, "order_seconds": 60}) as server:
        yield server


@pytest.fixture(scope="package")
def hasty_server(channel_url: str) -> Iterator[Server]:
    """Workers whose clocks are fast."""
    with cluster(channel_url, {"heartbeat_seconds": 0.5, "poll_seconds": 0.5, "order_seconds": 0.25}, name="hasty") as server:
        yield server


_SAMPLED = ("TestWebSocket", "TestLongPoll")
_SAMPLE = (
    "test_a_broadcast_reaches_everybody_in_one_order",
    "test_a_message_is_handled_acknowledged_and_heard_by_all",
    "test_a_late_number_is_waited_for",
    "test_a_reply_survives_a_change_of_connection",
)
"""What is enough to see that workers are one; the rest is part of the whole matrix."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what only one process can promise: each worker asks the application itself whom it refuses."""
    ours = "tests/cluster/test_contract.py"
    items[:] = [item for item in items if not (ours in str(item.path) and "test_racing_connections_are_refused" in item.name)]
    for item in items:
        if ours in str(item.path) and not (item.name.startswith(_SAMPLE) and item.cls.__name__ in _SAMPLED):  # type: ignore[attr-defined]
            item.add_marker(pytest.mark.full)


@pytest.fixture(autouse=True)
def one_end(request: pytest.FixtureRequest) -> None:
    """Begin when all workers know of what went before: who connects to one that does not hears the end of it."""
    for name in ("server", "hasty_server"):
        if name in request.fixturenames:
            found: Cluster = request.getfixturevalue(name)
            deadline = time.monotonic() + LIMIT_SECONDS
            while len({worker.get("/position") for worker in found.workers}) > 1:
                assert time.monotonic() < deadline, "the workers do not come to one end"
