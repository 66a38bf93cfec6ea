from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cometware import Limits
from cometware.roster.shared import SharedRoster
from cometware.roster.sqlite import SqliteFacts
from cometware.stores.sqlite import SqliteStore
from tests.roster.roster_contract import RosterContract
from tests.roster.shared_contract import SharedRosterContract


class TestSqliteRoster(SharedRosterContract, RosterContract):
    @pytest.fixture(autouse=True)
    def stores(self, tmp_path: Path) -> Iterator[None]:
        self.file = tmp_path / "channel.db"
        self.made: list[SqliteStore] = []
        yield
        for store in self.made:
            store.close()

    def make(self, limits: Limits) -> SharedRoster:
        store = SqliteStore(f"sqlite:///{self.file}", "comet", limits)
        self.made.append(store)
        return SharedRoster(limits, SqliteFacts(store))

    def write(self, id: str, text: str) -> None:
        query = "UPDATE clients SET facts = ? WHERE id = ?"
        self.made[0].do(lambda database: database.execute(query, (text, id)).rowcount)

    def forget_all(self, roster: SharedRoster) -> None:
        for table in ("clients", "workers", "moved"):
            self.made[0].do(lambda database, table=table: database.execute(f"DELETE FROM {table}"))
