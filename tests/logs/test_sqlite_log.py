from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest

from cometware import Limits
from cometware.logs.base import Log
from cometware.logs.sqlite import SqliteLog
from cometware.stores.sqlite import SqliteStore
from tests.logs.log_contract import LogContract

NUMBERS = count()


def open_log(path: Path, limits: Limits | None = None, name: str = "comet") -> SqliteLog:
    limits = limits or Limits()
    log = SqliteLog(SqliteStore(f"sqlite:///{path}", name, limits), limits)
    log.open()
    return log


class TestSqliteLog(LogContract):
    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def make(self, limits: Limits) -> Log:
        return open_log(self.folder / f"{next(NUMBERS)}.db", limits)
