from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from cometware import Limits
from cometware.stores.base import Store
from cometware.stores.redis import RedisStore
from tests.redis_server import RedisServer
from tests.stores.store_contract import StoreContract

NUMBERS = count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


class TestRedisStore(StoreContract):
    @pytest.fixture(autouse=True)
    def place(self, server: RedisServer) -> None:
        self.url, self.name = server.url, f"store{next(NUMBERS)}"

    def make(self, limits: Limits) -> Store[Any, Any]:
        return RedisStore(self.url, self.name, limits)

    def write(self, name: str, number: int) -> Callable[[Any], Any]:
        return lambda pipeline: pipeline.set(f"{self.name}:{name}", number)

    def read(self, name: str) -> Callable[[Any], Any]:
        return lambda pipeline: pipeline.get(f"{self.name}:{name}")


LOOPS = """
from gevent import monkey; monkey.patch_all()
import gc, sys, gevent, gevent.hub
from cometware import Channel

one, two = Channel(sys.argv[1], name=sys.argv[2]), Channel(sys.argv[1], name=sys.argv[2])
with gevent.Timeout(60):
    assert one.recent() == []
    two.publish("by the tailer")
    while one.recent() != ["by the tailer"]:
        gevent.sleep(0.01)
assert [found for found in gc.get_objects() if isinstance(found, gevent.hub.Hub)] == [gevent.get_hub()]
"""


@pytest.mark.parametrize("kind", ["redis", "unix"])
def test_under_gevent_no_thread_of_a_store_begins_an_event_loop(kind: str, tmp_path: Path) -> None:
    server = RedisServer(tmp_path, "--unixsocket", f"{tmp_path}/socket")
    url = server.url if kind == "redis" else f"unix://{tmp_path}/socket"
    try:
        subprocess.run([sys.executable, "-W", "error", "-c", LOOPS, url, "loops"], check=True, timeout=90)
    finally:
        server.stop()
