from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from cometware import Limits
from cometware.roster.redis import RedisFacts
from cometware.roster.shared import SharedRoster
from cometware.stores.redis import RedisStore
from tests.redis_server import RedisServer
from tests.roster.roster_contract import RosterContract
from tests.roster.shared_contract import SharedRosterContract

NUMBERS = count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


class TestRedisRoster(SharedRosterContract, RosterContract):
    @pytest.fixture(autouse=True)
    def stores(self, server: RedisServer) -> Iterator[None]:
        self.url, self.name = server.url, f"channel{next(NUMBERS)}"
        self.made: list[RedisStore] = []
        yield
        for store in self.made:
            store.close()

    def make(self, limits: Limits) -> SharedRoster:
        store = RedisStore(self.url, self.name, limits)
        self.made.append(store)
        return SharedRoster(limits, RedisFacts(store))

    def write(self, id: str, text: str) -> None:
        key = self.made[0].key("facts")
        self.made[0].do(lambda pipeline: pipeline.execute_command("HSET", key, id, text))

    def forget_all(self, roster: SharedRoster) -> None:
        self.made[0].do(lambda pipeline: pipeline.execute_command("FLUSHALL"))
