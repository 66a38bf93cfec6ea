from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
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
