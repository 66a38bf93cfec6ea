from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from cometware import Limits
from cometware.logs.base import Log
from cometware.logs.redis import RedisLog
from cometware.stores.redis import RedisStore
from tests.logs.log_contract import LogContract
from tests.redis_server import RedisServer

NUMBERS = count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


def open_log(url: str, limits: Limits | None = None, name: str = "comet") -> RedisLog:
    limits = limits or Limits()
    log = RedisLog(RedisStore(url, name, limits), limits)
    log.open()
    return log


class TestRedisLog(LogContract):
    @pytest.fixture(autouse=True)
    def place(self, server: RedisServer) -> None:
        self.url = server.url

    def make(self, limits: Limits) -> Log:
        return open_log(self.url, limits, f"log{next(NUMBERS)}")
