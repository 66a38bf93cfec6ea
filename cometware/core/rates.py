"""How fast somebody may go on: token buckets for each client, user and address.

Rule: what is kept does not grow with those who ask, and a bucket that is full again is not kept at all. `now` is the time
in seconds, of a clock that never goes back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import NamedTuple

_MANY = 8_192
"""Buckets of one kind that are kept; beyond, those who have waited longest are as if they had not been here."""
_LEAST_SECONDS = 1.0
"""Nobody is told to wait for less, if that fills no bucket: who was too fast comes back with more than one message."""
_RUN_SECONDS = 1.0
"""Who is too fast again so soon after a wait has not slowed down."""


class Rate(NamedTuple):
    """How many (messages, bytes, …) each second, in the long run, and how many at once after a rest.

    What is more than `at_once` by itself passes after a rest, and is waited for afterwards.
    """

    per_second: float
    at_once: float


@dataclass(frozen=True)
class Rates:
    """How fast a client, a user and an address may go, in each worker apart; None in the place of a rate: as they like.

    A page's full outbox (1,000 messages, 4 MB) passes at once.

    >>> Rates(client_messages=Rate(20, at_once=1000)).client_messages
    Rate(per_second=20, at_once=1000)

    Raises:
        ValueError: A rate is none that could be kept.
    """

    client_messages: Rate | None = Rate(100, 10_000)
    """Messages of one client."""
    client_bytes: Rate | None = Rate(1024 * 1024, 16 * 1024 * 1024)
    client_connections: Rate | None = Rate(5, 600)
    """WebSockets and streams that one client begins."""
    user_messages: Rate | None = Rate(200, 20_000)
    """Messages of all clients of a user."""
    user_bytes: Rate | None = Rate(2 * 1024 * 1024, 32 * 1024 * 1024)
    user_opens: Rate | None = Rate(10, 300)
    """New clients of a user."""
    user_connections: Rate | None = Rate(20, 2_000)
    address_messages: Rate | None = Rate(1_000, 50_000)
    """Messages of all clients that come from an address."""
    address_bytes: Rate | None = Rate(8 * 1024 * 1024, 128 * 1024 * 1024)
    address_opens: Rate | None = Rate(50, 2_000)
    """New clients from an address, and new sessions of Socket.IO."""
    address_connections: Rate | None = Rate(100, 10_000)
    address_guesses: Rate | None = Rate(0.1, 10)
    """Wrong tokens from an address, at `<path>/status` and `<path>/publish`."""
    connections_at_once: int | None = 2_000
    """Connections that an address may have at a time; and as many again at `cometware.Handler`, for requests."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "connections_at_once":
                if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                    raise ValueError(f"Rates({field.name}={value!r}): expected a whole number, 1 or more, or None")
            elif value is not None and not _can_be_kept(value):
                raise ValueError(
                    f"Rates({field.name}={value!r}): expected Rate(per_second, at_once), over 0 and at least 1, or None"
                )


def _can_be_kept(rate: object) -> bool:
    return isinstance(rate, Rate) and 0 < rate.per_second < math.inf and 1 <= rate.at_once < math.inf


class Wait(NamedTuple):
    """Somebody is too fast: for how many seconds to wait, and which setting of `Rates` says so."""

    seconds: float
    setting: str
    rate: Rate

    def __str__(self) -> str:
        per_second, at_once = self.rate
        return (
            f"too fast: Rates.{self.setting} allows {per_second:g} each second, {at_once:g} at once; "
            f"wait {self.seconds:g} seconds"
        )


class Buckets:
    """One bucket for each name, all of one rate (None: they never run dry).

    Kept of a bucket is when it is full again; the time for what is taken is added to that (GCRA, ITU-T I.371).
    """

    __slots__ = ("cost", "depth", "full_at", "rate", "setting")

    def __init__(self, setting: str, rate: Rate | None) -> None:
        self.setting = setting
        self.rate = rate or Rate(math.inf, math.inf)
        self.cost = 0.0 if rate is None else 1 / rate.per_second
        self.depth = 0.0 if rate is None else rate.at_once / rate.per_second
        self.full_at: dict[str, float] = {}

    def take(self, name: str | None, amount: float, now: float) -> Wait | None:
        """Take so much, if there is so much; else say how long to wait, and take nothing. Nobody (None) is not counted."""
        if not name or not self.cost:
            return None
        missing = self.missing(name, amount, now)
        if missing > 0:
            return self.wait(missing)
        self.owe(name, amount, now)
        return None

    def missing(self, name: str, amount: float, now: float) -> float:
        """Return how many seconds there are until so much is there."""
        full_at = max(self.full_at.get(name, now), now)
        return full_at - now + min(amount * self.cost, self.depth) - self.depth - 1e-9

    def owe(self, name: str, amount: float, now: float) -> float:
        """Take so much, though it may not be there; return the seconds until that is paid."""
        full = self.full_at
        if len(full) >= _MANY and name not in full:
            self._make_room(now)
        full_at = full[name] = max(full.get(name, now), now) + amount * self.cost
        return full_at - now - self.depth

    def wait(self, missing: float) -> Wait:
        """Say how long to wait: long enough that it was worth it."""
        seconds = max(missing, min(_LEAST_SECONDS, self.depth))
        return Wait(math.ceil(seconds * 1000) / 1000, self.setting, self.rate)

    def _make_room(self, now: float) -> None:
        """Let go of the buckets that are full; and if those are few, of the half that is nearest to that."""
        kept = {name: full_at for name, full_at in self.full_at.items() if full_at > now}
        if len(kept) > _MANY // 2:
            kept = dict(sorted(kept.items(), key=lambda item: item[1])[-_MANY // 2 :])
        self.full_at = kept


class Meters:
    """The buckets of a worker."""

    def __init__(self, rates: Rates) -> None:
        def buckets(setting: str) -> Buckets:
            return Buckets(setting, getattr(rates, setting))

        self.connections_at_once = rates.connections_at_once
        self.sessions = Buckets("address_opens", rates.address_opens)
        self.connections = tuple(map(buckets, ("client_connections", "user_connections", "address_connections")))
        self.opens = tuple(map(buckets, ("user_opens", "address_opens")))
        self.messages = tuple(map(buckets, ("client_messages", "user_messages", "address_messages")))
        self.bytes = tuple(map(buckets, ("client_bytes", "user_bytes", "address_bytes")))

    def take(self, names: tuple[str | None, ...], messages: int, size: int, now: float) -> Wait | None:
        """Take so many messages of a client, its user and its address, and so many bytes: all of it, or nothing.

        This is asked for each message, so that it calls nothing while there is enough.
        """
        for buckets, amount in ((self.messages, messages), (self.bytes, size)):
            for bucket, name in zip(buckets, names, strict=True):
                if name and name in bucket.full_at:
                    full_at = bucket.full_at[name]
                    need = amount * bucket.cost
                    if full_at > now and full_at - now + need > bucket.depth:
                        missing = bucket.missing(name, amount, now)
                        if missing > 0:
                            return bucket.wait(missing)
        for buckets, amount in ((self.messages, messages), (self.bytes, size)):
            for bucket, name in zip(buckets, names, strict=True):
                if name and bucket.cost:
                    full = bucket.full_at
                    if name not in full:
                        bucket.owe(name, amount, now)
                    elif full[name] > now:
                        full[name] += amount * bucket.cost
                    else:
                        full[name] = now + amount * bucket.cost
        return None

    def owe(self, names: tuple[str | None, ...], messages: int, size: int, now: float) -> Wait | None:
        """Take them in any case; say how long to take no more."""
        worst: Wait | None = None
        for buckets, amount in ((self.messages, messages), (self.bytes, size)):
            for bucket, name in zip(buckets, names, strict=True):
                if name and bucket.cost:
                    debt = bucket.owe(name, amount, now)
                    if debt > 1e-9 and (worst is None or debt > worst.seconds):
                        worst = bucket.wait(debt)
        return worst

    def lend(self, names: tuple[str | None, ...], messages: int, size: int, now: float, seconds: float) -> bool:
        """Take what will not be sent again, though it is not there yet: if it will be within so many seconds. Is it taken?"""
        for buckets, amount in ((self.messages, messages), (self.bytes, size)):
            for bucket, name in zip(buckets, names, strict=True):
                if name and bucket.cost and bucket.missing(name, amount, now) > seconds:
                    return False
        self.owe(names, messages, size, now)
        return True

    def open(self, user: str | None, address: str | None, now: float) -> Wait | None:
        """Let a new client of this user come from this address, or say how long it is to wait."""
        return _take_each(self.opens, (user, address), now)

    def connect(self, client: str | None, user: str | None, address: str | None, now: float) -> Wait | None:
        """Let a new connection begin."""
        return _take_each(self.connections, (client, user, address), now)


def _take_each(buckets: tuple[Buckets, ...], names: tuple[str | None, ...], now: float) -> Wait | None:
    for bucket, name in zip(buckets, names, strict=True):
        if name and name in bucket.full_at:
            missing = bucket.missing(name, 1, now)
            if missing > 0:
                return bucket.wait(missing)
    for bucket, name in zip(buckets, names, strict=True):
        if name and bucket.cost:
            bucket.owe(name, 1, now)
    return None


class Guesses:
    """Wrong tokens, by the address that they come from. One that has guessed too often waits, with the right one, too."""

    def __init__(self, rates: Rates | None) -> None:
        self._bucket = Buckets("address_guesses", None if rates is None else rates.address_guesses)

    def wait(self, address: str, now: float) -> Wait | None:
        """Say how long this address is to wait before it shows a token."""
        missing = self._bucket.missing(address, 1, now) if address else 0.0
        return self._bucket.wait(missing) if missing > 0 else None

    def wrong(self, address: str, now: float) -> None:
        """It was the wrong one."""
        self._bucket.take(address, 1, now)


class Heeding:
    """For how long has somebody been told to wait, and not listened?"""

    def __init__(self) -> None:
        self._runs: dict[str, tuple[float, float]] = {}

    def told(self, name: str, wait_seconds: float, now: float) -> float:
        """Somebody is told to wait; return for how many seconds it has been too fast without a rest."""
        began, until = self._runs.pop(name, (now, now))
        if now > until + _RUN_SECONDS:
            began = now
        if len(self._runs) >= _MANY:
            self._runs = dict(list(self._runs.items())[_MANY // 2 :])
        self._runs[name] = (began, max(until, now + wait_seconds))
        return now - began

    def is_waiting(self, name: str, now: float) -> bool:
        """Is its wait not over yet?"""
        return name in self._runs and now < self._runs[name][1]

    def listened(self, name: str) -> None:
        """It did as it was told."""
        self._runs.pop(name, None)


class Crowd:
    """How many connections each address has. `place` is whatever tells one connection from another."""

    def __init__(self) -> None:
        self.places: dict[object, str] = {}
        self._counts: dict[str, int] = {}

    def count(self, address: str) -> int:
        return self._counts.get(address, 0)

    def enter(self, place: object, address: str) -> None:
        """A connection of this address is here. Who was at its place has left without a word."""
        if place in self.places:
            self.leave(place)
        self.places[place] = address
        self._counts[address] = self._counts.get(address, 0) + 1

    def leave(self, place: object) -> None:
        """A connection is gone; one that is not known is none of ours."""
        address = self.places.pop(place, None)
        if address is None:
            return
        left = self._counts[address] - 1
        if left:
            self._counts[address] = left
        else:
            del self._counts[address]
