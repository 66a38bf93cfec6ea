"""Connections of an address at our own server: so many, whether they have said anything or not."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from cometware import Rates
from cometware.core.address import Addresses
from cometware.servers.doors import Doors
from tests.live.server import LIMIT_SECONDS, PATIENT, Server, serve

MOST = 5
LIMITS = PATIENT | {"rates": {"connections_at_once": MOST}}
PLAIN = b"GET /journal?kind=none HTTP/1.1\r\nHost: a\r\n\r\n"
PROXIED = b"GET /journal?kind=none HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n"
STREAM = b"GET /comet HTTP/1.1\r\nHost: a\r\nAccept: application/x-ndjson\r\n\r\n"


class Line:
    """A connection from an address of this host."""

    def __init__(self, server: Server, address: str = "127.0.0.1") -> None:
        self.sock = socket.create_connection(("127.0.0.1", server.port), LIMIT_SECONDS, (address, 0))

    def say(self, data: bytes) -> int:
        """Send a request and return the status of what comes."""
        self.sock.sendall(data)
        return self.status()

    def status(self) -> int:
        """Return the status of what comes; 0, if nothing does."""
        try:
            answer = self.sock.recv(65536)
        except ConnectionError:
            return 0
        return int(answer.split(b" ")[1]) if answer else 0


@contextmanager
def lines(server: Server, count: int, address: str = "127.0.0.1") -> Iterator[list[Line]]:
    with ExitStack() as stack:
        found = []
        for _ in range(count):
            found.append(Line(server, address))
            stack.callback(found[-1].sock.close)
        yield found


def until_free(server: Server) -> None:
    """Wait until the server has seen that the others have gone."""
    for _ in range(1000):
        with lines(server, 1) as (line,):
            if line.say(PLAIN) == 200:
                return
    raise AssertionError("it is never free")


@pytest.mark.parametrize("said", [b"", b"GET / HTT", PLAIN], ids=["nothing", "half a head", "a whole request"])
def test_an_address_has_so_many_connections_and_the_next_one_is_turned_away(server: Server, said: bytes) -> None:
    with lines(server, MOST) as here, lines(server, 2, "127.0.0.2") as elsewhere:
        for line in here:
            if said == PLAIN:
                assert line.say(said) == 200
            else:
                line.sock.sendall(said)
        with lines(server, 1) as (late,):
            assert late.status() == 429
        assert [line.say(PLAIN) for line in elsewhere] == [200, 200]
    until_free(server)


def test_what_the_channel_has_taken_over_is_counted_by_the_channel(server: Server) -> None:
    with lines(server, MOST) as here:
        assert [line.say(STREAM) for line in here] == [200] * MOST
        with lines(server, 2) as (view, more):
            assert view.say(PLAIN) == 200
            assert more.say(STREAM) == 429
    until_free(server)


def test_who_speaks_for_others_is_not_counted(server: Server) -> None:
    with ExitStack() as stack:
        for _ in range(3 * MOST):
            (line,) = stack.enter_context(lines(server, 1))
            assert line.say(PROXIED) == 200
        (more,) = stack.enter_context(lines(server, 1))
        assert more.say(PLAIN) == 200


@pytest.mark.parametrize(
    ("addresses", "spared"),
    [([], False), (["10.0.0.0/8"], False), (["127.0.0.1"], True), (1, True), ("X-Real-IP", True)],
    ids=str,
)
def test_where_proxies_are_named_only_those_are_spared_and_before_they_say_anything(addresses: object, spared: bool) -> None:
    with serve(LIMITS, environ={"ADDRESSES": json.dumps(addresses)}) as server, lines(server, MOST) as here:
        if not spared:
            assert [line.say(PROXIED) for line in here] == [200] * MOST
        with lines(server, 1) as (late,):
            if spared:
                assert late.say(PLAIN) == 200
            else:
                assert late.status() == 429


def test_of_several_channels_in_a_process_the_one_counts_that_lets_more_in() -> None:
    doors, kept = Doors(), [Addresses(()), Addresses(["10.0.0.0/8"]), Addresses()]
    assert doors.most == Rates().connections_at_once
    doors.know(kept[0], [Rates(connections_at_once=3), Rates(connections_at_once=7)])
    assert doors.most == 7
    doors.know(kept[1], [Rates(connections_at_once=9)])
    assert doors.most == 9
    doors.know(kept[2], [Rates(connections_at_once=1), None])
    assert doors.most is None and doors.enter(1, "203.0.113.7")
    del kept[1:]
    assert doors.most == 7


def test_without_rates_nobody_is_turned_away() -> None:
    with serve(PATIENT | {"rates": None}) as server, lines(server, 50) as here:
        assert [line.say(PLAIN) for line in here] == [200] * 50
