"""A crowd of `cometware.connect` in one process: all transports, hopping by chance, checking that number follows number."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter

from cometware import CometwareError, Connection, connect

TRANSPORTS = ("websocket", "stream", "sse", "poll")


class Listener:
    """One client, and the thread that listens. `heard` are position and data of every message, in the order of arrival."""

    def __init__(self, url: str, transport: str) -> None:
        self.connection: Connection = connect(url, transport, timeout=60)
        self.heard: list[tuple[str, int]] = []
        self.resets: Counter[str] = Counter()
        self.error: CometwareError | None = None
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        try:
            for heard in self.connection:
                if heard.event == "reset":
                    self.resets[heard.data["reason"]] += 1
                elif heard.event == "message":
                    self.heard.append((str(heard.position), heard.data))
        except CometwareError as error:
            self.error = error

    @property
    def last(self) -> int:
        return self.heard[-1][1] if self.heard else 0

    def mistakes(self) -> list[str]:
        """Tell what is wrong with what was heard: nothing, if each number followed the last one and each position, too."""
        found = [] if self.error is None else [f"ended by {self.error!r}"]
        for (before, first), (after, second) in zip(self.heard, self.heard[1:], strict=False):
            if second != first + 1:
                kind = "doubled or out of order" if second <= first else "lost"
                found.append(f"{kind}: {second} at {after} behind {first} at {before}")
            one, two = (position.rpartition("-") for position in (before, after))
            if one[0] == two[0] and int(two[2]) <= int(one[2]):
                found.append(f"position {after} behind {before}")
        return found

    def close(self) -> None:
        self.connection.close(0)
        self._thread.join(10)


class Crowd:
    """So many listeners at one URL; a thread lets one of them hop `hops_a_second` times, all `seconds` of its life."""

    def __init__(self, url: str, count: int, *, hops_a_second: float = 10, seed: int = 1) -> None:
        self.listeners = [Listener(url, TRANSPORTS[index % len(TRANSPORTS)]) for index in range(count)]
        self.hops = 0
        self._dice = random.Random(seed)
        self._pause = 1 / hops_a_second
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._hop, daemon=True)

    def __enter__(self) -> Crowd:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.rest()
        for listener in self.listeners:
            listener.close()

    def rest(self) -> None:
        """Hop no more."""
        self._ended.set()
        self._thread.join(10)

    def _hop(self) -> None:
        while not self._ended.wait(self._pause):
            self._dice.choice(self.listeners).connection.use(self._dice.choice(TRANSPORTS))
            self.hops += 1

    def await_number(self, number: int, seconds: float) -> bool:
        """Wait until everybody has heard this number. Did they?"""
        deadline = time.monotonic() + seconds
        while any(listener.last < number for listener in self.listeners):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def mistakes(self) -> list[str]:
        return [f"client {index}: {mistake}" for index, one in enumerate(self.listeners) for mistake in one.mistakes()]

    @property
    def heard(self) -> int:
        return sum(len(listener.heard) for listener in self.listeners)
