from __future__ import annotations

from cometware import Limits
from cometware.roster.base import Roster
from cometware.roster.memory import MemoryRoster
from tests.roster.roster_contract import RosterContract


class TestMemoryRoster(RosterContract):
    def make(self, limits: Limits) -> Roster:
        return MemoryRoster(limits)
