"""A body of a request: how long it is waited for, and how it is read in turns."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from cometware import Limits
from cometware.servers.body import BadBody, Body, SlowBody
from cometware.servers.incoming import Incoming
from cometware.transports.pieces import read_pieces


class Wire:
    """A socket that has what it will ever have; how long it was waited for each time, it keeps."""

    def __init__(self, data: bytes, *, ends: bool = False) -> None:
        self.data = data
        self.ends = ends
        self.timeouts: list[float | None] = []

    def settimeout(self, seconds: float | None) -> None:
        if seconds is not None:
            self.timeouts.append(seconds)

    def recv(self, size: int) -> bytes:
        data, self.data = self.data[:size], self.data[size:]
        if not data and not self.ends:
            raise TimeoutError("timed out")
        return data


class Reader:
    def __init__(self, wire: Wire, limits: Limits | None = None) -> None:
        self.rfile = Incoming(wire)
        self.limits = limits
        self.told = 0

    def say_continue(self) -> None:
        self.told += 1


def body_of(wire: Wire, length: int | None, limits: Limits | None = None, **options: Any) -> Body:
    return Body(Reader(wire, limits), length, **{"expects": False, **options})


def test_a_body_that_stops_is_waited_for_by_what_has_come() -> None:
    wire = Wire(b"x" * 1_000_000)
    body = body_of(wire, 2_000_000, Limits(body_seconds=30, body_bytes_per_second=500))
    with pytest.raises(SlowBody, match=r"Limits.body_seconds=30 and body_bytes_per_second=500"):
        body.readall()
    first, last = wire.timeouts[0], wire.timeouts[-1]
    assert first is not None and last is not None
    assert 0 < first <= 30 and 1900 < last <= 2030
    assert body.is_lost and not body.is_done


def test_what_has_failed_fails_again_and_is_an_error_that_applications_know() -> None:
    body = body_of(Wire(b"abc", ends=True), 10)
    for _ in range(2):
        with pytest.raises(OSError, match="ended too early"):
            body.readall()
    assert isinstance(body.failed, BadBody)


def test_100_is_said_before_the_first_wait_and_once() -> None:
    reader = Reader(Wire(b"abcdef"))
    body = Body(reader, 6, expects=True)
    assert (reader.told, body.is_lost) == (0, True)
    assert body.readall() == b"abcdef"
    assert (reader.told, body.is_lost, body.is_done) == (1, False, True)


def test_chunks_of_one_byte_are_read_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are, between two looks at what else came there are at most some thousand bytes."""
    given: list[int] = []
    wire = Wire(b"1\r\nx\r\n" * 50_000 + b"0\r\n\r\n", ends=True)
    size = len(wire.data)

    class Counted:
        def is_over(self) -> bool:
            return True

        def give_way(self) -> None:
            given.append(size - len(wire.data))

    monkeypatch.setattr("cometware.servers.incoming.turns_here", Counted)
    assert body_of(wire, None).readall() == b"x" * 50_000
    steps = [after - before for before, after in pairwise(given)]
    assert max([given[0], *steps, size - given[-1]]) <= 4 * 4096


def test_a_foreign_servers_body_is_read_in_pieces_that_grow_as_they_come_quickly() -> None:
    sizes: list[int] = []

    class Stream:
        left = 500_000

        def read(self, size: int) -> bytes:
            sizes.append(size)
            count = min(size, self.left)
            self.left -= count
            return b"x" * count

    assert sum(map(len, read_pieces(Stream(), 400_000))) == 400_000
    assert sizes[0] == 1024 and max(sizes) <= 65536
    assert sum(map(len, read_pieces(Stream()))) == 500_000
