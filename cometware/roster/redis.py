"""The facts of a channel's clients in Redis, for the workers of many hosts."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from importlib.resources import files
from typing import Any

from cometware.roster.facts import Facts
from cometware.roster.factstore import FAR_SECONDS, Lease
from cometware.stores.redis import Pipeline, RedisStore

_SCRIPT = files("cometware.roster").joinpath("facts.lua").read_text()
_NEWEST = 2
"""The number of this one among the script's keys."""


class RedisFacts:
    """Each method is one command: a script (`facts.lua`), or a plain one."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store
        self._prefix = store.key("")
        self._facts, self._newest = store.key("facts"), store.key("newest")
        self._keys = [self._facts, self._newest, store.key("leases"), store.key("buried")]
        self._script = store.script(_SCRIPT)

    def _call(self, what: str, *arguments: Any, sets: Sequence[str] = ()) -> Any:
        keys = [*self._keys, *(self._prefix + name for name in sets)]
        return self._store.do(lambda pipeline: self._script.queue(pipeline, keys, what, *arguments))

    def _command(self, *command: Any) -> Any:
        def operation(pipeline: Pipeline) -> None:
            pipeline.execute_command(*command)

        return self._store.do(operation)

    def load(self, id: str) -> Facts | None:
        found = self._command("HGET", self._facts, id)
        return None if found is None else Facts.read(found.decode())

    def swap(self, id: str, old: Facts | None, new: Facts | None) -> Facts | None:
        before, after = _written(old), _written(new)
        released = old.key or "" if old is not None and new is None else ""
        commands = list(_changes(id, old, new))
        sets = sorted({name for _, name, *_ in commands})
        numbered = [[command, len(self._keys) + 1 + sets.index(name), *rest] for command, name, *rest in commands]
        if new is not None and new.key is not None and (old is None or old.birth != new.birth):
            numbered.append(["HSET", _NEWEST, new.key, id])
        how = (after, json.dumps(numbered), released)
        stands = self._call("swap", id, before, *how, sets=sets).decode()
        if stands not in (before, after) and _read(stands) == old:  # in the words of another version
            stands = self._call("swap", id, stands, *how, sets=sets).decode()
        return new if stands == after else _read(stands)

    def newest_of(self, key: str) -> str | None:
        found = self._command("HGET", self._newest, key)
        return None if found is None else str(found.decode())

    def of_user(self, user: str) -> list[Facts]:
        return self._of([f"user:{user}"])

    def of_workers(self, workers: Collection[str]) -> list[Facts]:
        return self._of([f"worker:{worker}" for worker in workers])

    def _of(self, sets: list[str]) -> list[Facts]:
        found = {text: Facts.read(text.decode()) for text in self._call("of", sets=sets)}
        return list(found.values())

    def all(self) -> list[Facts]:
        return [Facts.read(text.decode()) for text in self._command("HVALS", self._facts)]

    def renew(self, worker: str, seconds: float) -> Lease:
        standing, moved, dead = self._call("renew", worker, seconds, FAR_SECONDS, sets=[f"moved:{worker}"])
        return Lease(standing.decode(), [id.decode() for id in moved], [other.decode() for other in dead])

    def is_alive(self, worker: str) -> bool:
        return bool(self._call("alive", worker))

    def bury(self, worker: str, seconds: float) -> None:
        self._call("bury", worker, seconds, sets=[f"moved:{worker}"])


def _changes(id: str, old: Facts | None, new: Facts | None) -> Iterator[list[str]]:
    """Tell the commands that keep the sets as the facts are."""
    was, now = _sets(old), _sets(new)
    for name in was - now:
        yield ["SREM", name, id]
    for name in now - was:
        yield ["SADD", name, id]
    if old is not None and new is not None and old.home != new.home:
        yield ["SADD", f"moved:{old.home}", id]


def _sets(facts: Facts | None) -> set[str]:
    """Name the sets that a client is in."""
    if facts is None:
        return set()
    names = {f"worker:{worker}" for worker in (facts.home, facts.ender) if worker}
    return names if facts.user is None else names | {f"user:{facts.user}"}


def _written(facts: Facts | None) -> str:
    return "" if facts is None else facts.written()


def _read(text: str) -> Facts | None:
    return Facts.read(text) if text else None
