"""A newer connection replaces an older one of its client; an old login is asked to come back. To the quarter of a second."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cometware.testing import Client
from tests.testing.shop import Shop

STREAMS = pytest.mark.parametrize("transport", ["websocket", "sse", "stream"])


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
def client(shop: Shop) -> Iterator[Client]:
    with Client(shop.app) as client:
        yield client


@STREAMS
def test_the_older_connection_ends_and_the_client_stays(shop: Shop, client: Client, transport: str) -> None:
    older = client.connect(transport)
    newer = client.connect(transport, key=older.key)
    assert newer.id == older.id
    client.clock.advance(4.75)
    assert older.is_open
    client.clock.advance(0.25)
    assert not older.is_open
    assert older.closed == (4003, "replaced by a newer connection")
    shop.channel.publish("new")
    assert newer.receive() == "new"
    assert older.messages == []
    assert shop.journal == [("open", None, transport)]


@STREAMS
@pytest.mark.parametrize("second", ["websocket", "sse", "stream", "poll"])
def test_the_older_connection_stays_if_the_newer_one_went_first(client: Client, transport: str, second: str) -> None:
    older = client.connect(transport)
    client.connect(second, key=older.key).drop()
    client.clock.advance(6)
    assert older.is_open
    client.clock.advance(900)
    assert older.is_open and older.closed is None


@STREAMS
def test_a_held_poll_asks_again_and_stays_if_the_newer_connection_went(client: Client, transport: str) -> None:
    older = client.connect("poll")
    client.connect(transport, key=older.key).drop()
    client.clock.advance(6)
    assert older.is_open and older.closed is None


@STREAMS
def test_of_three_connections_the_newest_that_lives_serves(shop: Shop, client: Client, transport: str) -> None:
    first = client.connect(transport)
    second, third = client.connect(transport, key=first.key), client.connect(transport, key=first.key)
    client.clock.advance(1)
    third.drop()
    client.clock.advance(5)
    assert [first.is_open, second.is_open] == [False, True]
    assert first.closed == (4003, "replaced by a newer connection")
    fourth = client.connect(transport, key=first.key)
    fourth.drop()
    second.drop()
    client.clock.advance(59)
    assert len(shop.channel.presence()) == 1
    client.clock.advance(2)
    assert shop.channel.presence() == []


@STREAMS
def test_the_overlap_begins_with_each_newer_connection_that_lives(client: Client, transport: str) -> None:
    older = client.connect(transport)
    client.connect("websocket", key=older.key).drop()
    client.clock.advance(4)
    newer = client.connect("websocket", key=older.key)
    client.clock.advance(4.75)
    assert older.is_open
    client.clock.advance(0.25)
    assert [older.is_open, newer.is_open] == [False, True]


def test_a_newer_connection_that_stood_still_and_then_broke_has_replaced_nothing(client: Client) -> None:
    older = client.connect("stream")
    newer = client.connect("websocket", key=older.key)
    newer.hold()
    client.clock.advance(4)
    newer.drop()
    client.clock.advance(2)
    assert older.is_open


@STREAMS
def test_who_gave_no_way_is_asked_for_its_login_at_its_time(client: Client, transport: str) -> None:
    client.post("/login/ann")
    ann = client.connect(transport)
    client.clock.advance(890)
    client.connect("websocket", key=ann.key).drop()
    client.clock.advance(9.75)
    assert ann.is_open and not ann.must_reconnect
    client.clock.advance(0.25)
    assert ann.shapes[-1] == {"reconnect": {"wait_seconds": 0}}


@STREAMS
def test_a_poll_that_does_not_wait_only_looks(shop: Shop, client: Client, transport: str) -> None:
    staying = client.connect(transport)
    answer = client.get("/comet?transport=poll&wait=0&last=3", headers={"Comet-Key": staying.key})
    assert answer.json[0]["open"]["client"] == staying.id
    client.clock.advance(10)
    shop.channel.publish("new")
    assert staying.receive() == "new"
    assert staying.is_open


@STREAMS
def test_an_old_login_is_asked_to_come_back(shop: Shop, client: Client, transport: str) -> None:
    client.post("/login/ann")
    ann = client.connect(transport)
    client.clock.advance(899.75)
    assert not ann.must_reconnect
    client.clock.advance(0.25)
    assert ann.shapes[-1] == {"reconnect": {"wait_seconds": 0}}
    ann.reconnect()
    assert ann.greeting["recovered"] is True
    assert shop.journal == [("open", "ann", transport)]


def test_an_old_login_on_a_plain_websocket_ends_with_4001(client: Client) -> None:
    client.post("/login/ann")
    ann = client.connect(plain=True)
    client.clock.advance(900)
    assert ann.closed == (4001, "come back through the application's login")


def test_who_never_logged_in_is_left_in_peace(client: Client) -> None:
    anonymous = client.connect()
    client.clock.advance(1800)
    assert anonymous.is_open and not anonymous.must_reconnect
