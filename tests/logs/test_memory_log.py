from __future__ import annotations

from cometware import Limits
from cometware.logs.base import Log
from cometware.logs.memory import MemoryLog
from tests.logs.log_contract import LogContract


class TestMemoryLog(LogContract):
    def make(self, limits: Limits) -> Log:
        return MemoryLog(limits)
