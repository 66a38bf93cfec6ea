"""The log in a Redis Stream, the only truth of it: every process mirrors its newest entries.

Rule: order is settled by one script (`append.lua`). A process takes entries in the stream's order and never twice, whether
its tailer reads them or it has appended them itself; if what it has taken is no longer there, a new epoch begins.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Sequence
from importlib.resources import files
from sys import intern
from typing import Any

from cometware.core.entry import Entry, Message, Position
from cometware.core.logger import logger
from cometware.limits import Limits
from cometware.logs.base import real_lock
from cometware.logs.mirror import Mirror
from cometware.logs.packing import pack, unpack
from cometware.stores.base import CLOSE_SECONDS
from cometware.stores.native import Waiter, original, start_thread, thread_id, waiter
from cometware.stores.redis import Client, NoScriptError, Pipeline, RedisStore, hang_up

_APPEND = files("cometware.logs").joinpath("append.lua").read_text()
_READ = 1000
"""Entries that are read at once."""
_BLOCK_SECONDS = 1.0
"""How long the tailer waits for news before it asks whether the log is still the same, and what it has forgotten."""
_RETRY_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0)

_NEVER = (-1, 0)


class RedisLog(Mirror):
    """Entries in Redis; a Redis that has lost what was seen of it here is a `reset`."""

    def __init__(self, store: RedisStore, limits: Limits) -> None:
        super().__init__("", limits)
        self._store = store
        self._stream = store.key("log")
        self._keys = [self._stream, store.key("once"), store.key("once-offsets"), store.key("epochs")]
        self._script = store.script(_APPEND)
        self._bounds = (limits.window_entries, limits.window_bytes, int(limits.history_seconds * 1000))
        self._taking = real_lock()
        self._taken = _NEVER
        """The id of the newest entry in the window: its offset and token."""
        self._fresh: list[tuple[Entry, int]] = []
        self._end: Position | None = None
        self._group = 0
        self._tailing = self._closed = False
        self._tailer = 0
        self._reading: Client | None = None
        self._ended: Waiter | None = None
        self._check_at = 0.0
        store.subscribe(self._follow)

    def open(self) -> None:
        self._store.do(lambda pipeline: pipeline.execute_command("PING"))  # the window is there before this returns

    def sync(self) -> None:
        def operation(pipeline: Pipeline) -> Any:
            self._script.queue(pipeline, self._keys, *_chances(), *self._seen(), *self._bounds)
            return self._found

        self._store.do(operation)

    def append(self, message: Message, once: str | None = None) -> Position:
        packed = pack(message)

        def operation(pipeline: Pipeline) -> Any:
            limits, settle = self._limits, (*_chances(), *self._seen(), *self._bounds)
            keys = () if once is None else (once, limits.once_keys, int(limits.once_seconds * 1000))
            self._script.queue(pipeline, self._keys, *settle, packed, message.cost_bytes, *keys)
            return lambda reply: self._appended(message, reply)

        position: Position = self._store.do(operation)
        return position

    def close(self) -> None:
        self._wakers = ()
        self._closed, self._ended = True, waiter()
        if self._reading is not None:
            hang_up(self._reading)
        self._store.close()
        if self._tailing and thread_id() != self._tailer:  # the collector of garbage runs where it likes
            self._ended.wait(CLOSE_SECONDS)

    # In the store's thread

    def _seen(self) -> tuple[str, int, int]:
        """Return what the log must still have; the first append of a group asks for all of it."""
        if self._group == self._store.group:
            return "", *_NEVER
        self._group = self._store.group
        return self._known()

    def _appended(self, message: Message, reply: list[bytes]) -> Position:
        epoch, offset, token = intern(reply[0].decode()), int(reply[1]), int(reply[2])
        position = Position(epoch, offset)
        if token:  # not known from before
            self._fresh.append((Entry(position, message), token))
        return position

    def _found(self, reply: list[bytes]) -> None:
        self._end = Position(reply[0].decode(), int(reply[1]))

    def _follow(self, client: Client) -> None:
        """Take what this process has appended, and what others have appended before it; all, if somebody wants to know."""
        (fresh, end), self._fresh, self._end = (self._fresh, self._end), [], None
        if self._taken == _NEVER:
            self._mirror(client)
        elif fresh and not self._take(fresh):
            self._reach(client, fresh[-1][0].position)
        if end is not None and end != self._window.head:
            self._reach(client, end)
        if not (self._tailing or self._closed):
            self._tailing = True
            start_thread(self._tail)

    def _reach(self, client: Client, position: Position) -> None:
        if position.epoch == self._window.epoch:
            self._catch_up(client)
        else:
            self._mirror(client)

    def _catch_up(self, client: Client) -> None:
        while True:
            offset, token = self._taken
            rows = client.execute_command("XRANGE", self._stream, f"{offset}-{token + 1}", "+", "COUNT", _READ)
            if not self._take(_entries(rows)):
                self._mirror(client)
                return
            if len(rows) < _READ:
                return

    # In either thread

    def _known(self) -> tuple[str, int, int]:
        """Return the epoch of the window, and the id of the newest entry in it."""
        with self._taking:
            return self._window.epoch, *self._taken

    def _take(self, entries: Sequence[tuple[Entry, int]]) -> bool:
        """Add those entries to the window that are not there. Do they belong behind it, without a hole?"""
        with self._taking:
            epoch, head = self._window.head
            new: list[Entry] = []
            for entry, token in entries:
                offset = entry.position.offset
                if entry.position.epoch != epoch:
                    return False
                if (offset, token) <= self._taken:
                    continue
                if offset != head + 1:
                    return False
                head, last = offset, (offset, token)
                new.append(entry)
            if not new:
                return True
            with self._lock:
                for entry in new:
                    self._window.add(entry)
            self._taken = last
        self._wake()
        return True

    def _mirror(self, client: Client) -> None:
        """Begin anew: settle the epoch, read the newest entries, wake everybody."""
        with self._taking:
            seen = (self._window.epoch, *self._taken)
            epoch, head, token, _ = self._settled(client, seen)
            found: list[Entry] = []
            size, upto = 0, f"{head}-{token}"
            while len(found) < self._limits.window_entries and size < self._limits.window_bytes:
                rows = client.execute_command("XREVRANGE", self._stream, upto, "-", "COUNT", _READ)
                for (_, offset), message_token, message in _rows(rows):
                    upto = f"{offset}-{message_token - 1}" if message_token else f"{offset - 1}-{2**64 - 1}"
                    if message is not None:
                        found.append(Entry(Position(epoch, offset), message))
                        size += message.cost_bytes
                if len(rows) < _READ:
                    break
            found.reverse()
            self._replace(epoch, found[0].position.offset - 1 if found else head, found)
            self._taken = (head, token)
        self._wake()

    def _settled(self, client: Client, seen: tuple[str, int, int]) -> tuple[str, int, int, int]:
        """Return where the log ends, in a new epoch if what was seen is not there any more; and where it begins."""
        arguments = (len(self._keys), *self._keys, *_chances(), *seen, *self._bounds)
        try:
            epoch, offset, token, oldest = client.execute_command("EVALSHA", self._script.sha, *arguments)
        except NoScriptError:
            epoch, offset, token, oldest = client.execute_command("EVAL", self._script.source, *arguments)
        return epoch.decode(), int(offset), int(token), int(oldest)

    # In the tailer's thread

    def _tail(self) -> None:
        self._tailer = thread_id()
        failures = 0
        while not self._closed:
            client: Client | None = None
            try:
                client = self._reading = self._store.connect(_BLOCK_SECONDS + self._limits.store_seconds)
                self._check(client)
                failures = 0
                while not self._closed:
                    self._read_on(client)
            except self._store.troubles as error:
                self._store.heard(error)  # of others, the store's own thread tells
            except Exception:
                logger.exception("cometware: a fault in the tailer of %s", self._store.url)
            self._reading = None
            if client is not None:
                client.close()
            if not self._closed:
                original("time", "sleep")(_RETRY_SECONDS[min(failures, len(_RETRY_SECONDS) - 1)])
                failures += 1
        self._tailing = False
        if self._ended is not None:
            self._ended.wake()

    def _read_on(self, client: Client) -> None:
        offset, token = self._taken
        milliseconds = int(_BLOCK_SECONDS * 1000)
        reply = client.execute_command(
            "XREAD", "COUNT", _READ, "BLOCK", milliseconds, "STREAMS", self._stream, f"{offset}-{token}"
        )
        if reply and not self._take(_entries(row for row in reply[0][1] if _id(row) > self._taken)):
            self._mirror(client)
        if not reply or time.monotonic() >= self._check_at:
            self._check(client)

    def _check(self, client: Client) -> None:
        """Is the log still the one that we have mirrored? What it has forgotten is forgotten here."""
        known = self._known()
        epoch, _, _, oldest = self._settled(client, known)
        if epoch == known[0]:
            self._forget(epoch, oldest - 1)
        else:
            self._mirror(client)
        self._check_at = time.monotonic() + _BLOCK_SECONDS


def _chances() -> tuple[str, int]:
    """Return an epoch and a token nobody else has."""
    return secrets.token_hex(4), secrets.randbelow(2**31 - 1) + 1


def _entries(rows: Iterable[Any]) -> list[tuple[Entry, int]]:
    """Read entries of the stream; where an epoch begins, there is no message, and it is nobody's."""
    return [
        (Entry(Position(epoch, offset), message or Message("", "null", ())), token)
        for (epoch, offset), token, message in _rows(rows)
    ]


def _id(row: Any) -> tuple[int, int]:
    offset, _, token = row[0].partition(b"-")
    return int(offset), int(token)


def _rows(rows: Iterable[Any]) -> Iterable[tuple[tuple[str, int], int, Message | None]]:
    for row in rows:
        (offset, token), fields = _id(row), row[1]
        packed = fields.get(b"m")
        yield (intern(fields[b"e"].decode()), offset), token, None if packed is None else unpack(packed)
