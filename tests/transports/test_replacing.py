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
