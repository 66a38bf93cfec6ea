"""A client says goodbye: it leaves at once, or after a while unless it comes back; nothing of it haunts those who are here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from cometware.testing import Client
from tests.testing.shop import Shop

EVERYWHERE = pytest.mark.parametrize("transport", ["websocket", "sse", "stream", "poll", "jsonp"])
KEY = "k" * 22


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
def client(shop: Shop) -> Iterator[Client]:
    with Client(shop.app) as client:
        yield client


def say(client: Client, body: Any, key: str | None = KEY) -> tuple[int, Any]:
    """Say something by a POST, as `sendBeacon` does."""
    query = {"v": "1"} | ({} if key is None else {"key": key})
    headers = {"Origin": "http://localhost"}
    answer = client.post("/comet", query_string=query, data=json.dumps(body), content_type="text/plain", headers=headers)
    return answer.status_code, answer.json


@EVERYWHERE
def test_who_does_not_come_back_has_left_when_the_wait_is_over(shop: Shop, client: Client, transport: str) -> None:
    client.connect(transport).leave(2)
    client.clock.advance(1.75)
    assert len(shop.channel.presence()) == 1
    client.clock.advance(0.5)
    assert shop.channel.presence() == []
    assert shop.journal == [("open", None, transport.replace("jsonp", "poll")), ("close", None, "left")]


@EVERYWHERE
@pytest.mark.parametrize("next_one", ["websocket", "sse", "poll"])
def test_who_comes_back_in_time_has_never_left(shop: Shop, client: Client, transport: str, next_one: str) -> None:
    page = client.connect(transport)
    for _ in range(5):
        page.leave(2)
        client.clock.advance(1.5)
        page = client.connect(next_one, key=page.key)
        assert page.greeting["client"] == shop.channel.presence()[0].id
    client.clock.advance(100)
    assert page.is_open
    assert shop.journal == [("open", None, transport.replace("jsonp", "poll"))]


def test_who_comes_back_only_to_look_has_come_back_too(shop: Shop, client: Client) -> None:
    page = client.connect("poll", query={"wait": 0})
    page.leave(2)
    client.clock.advance(1.5)
    again = client.connect("poll", key=page.key, query={"wait": 0})
    client.clock.advance(10)
    assert again.is_open
    assert shop.journal == [("open", None, "poll")]


@EVERYWHERE
def test_who_comes_back_too_late_is_a_new_arrival(shop: Shop, client: Client, transport: str) -> None:
    page = client.connect(transport)
    page.send("one")
    page.leave(2)
    client.clock.advance(3)
    again = client.connect(transport, key=page.key)
    assert again.greeting["accepted"] == 0
    events = [event for event, *_ in shop.journal if event in ("open", "close")]
    assert events == ["open", "close", "open"]


def test_the_new_page_counts_on_from_what_is_accepted(shop: Shop, client: Client) -> None:
    page = client.connect()
    page.send("one")
    page.send("two")
    page.leave(2)
    assert client.connect(key=page.key).greeting["accepted"] == 2


def test_a_goodbye_that_comes_behind_the_new_page_throws_it_not_off(shop: Shop, client: Client) -> None:
    page = client.connect("stream")
    client.clock.advance(10)
    page.drop()
    new = client.connect("stream", key=page.key)
    assert say(client, {"close": {"wait": 2}}, page.key) == (200, {"accepted": 0})
    client.clock.advance(10)
    assert new.is_open
    assert shop.journal == [("open", None, "stream")]


def test_a_goodbye_on_a_connection_beside_a_newer_one_is_no_goodbye(shop: Shop, client: Client) -> None:
    page = client.connect()
    new = client.connect(key=page.key)
    page.leave(2)
    client.clock.advance(10)
    assert new.is_open
    assert shop.journal == [("open", None, "websocket")]


def test_a_connection_that_a_proxy_holds_keeps_nobody_who_said_goodbye(shop: Shop, client: Client) -> None:
    held = client.connect("stream")
    client.clock.advance(10)
    say(client, {"close": {"wait": 2}}, held.key)
    client.clock.advance(2)
    assert shop.channel.presence() == []
    assert held.closed == (4006, "this client said goodbye a moment ago")


def test_no_goodbye_waits_longer_than_the_grace(shop: Shop, client: Client) -> None:
    client.connect().leave(1e9)
    client.clock.advance(60)
    assert shop.channel.presence() == []


@pytest.mark.parametrize("wait", ["2", -1, True, None, [2], {}])
def test_a_wait_that_is_no_number_of_seconds_is_refused(client: Client, wait: object) -> None:
    page = client.connect()
    status, answer = say(client, {"close": {"wait": wait}}, page.key)
    assert (status, answer["error"]["code"]) == (400, "shape")
    assert "close.wait: expected a number of seconds, 0 or more" in answer["error"]["message"]
    assert page.is_open


@pytest.mark.parametrize("close", [True, None, {}, {"wait": 0}, {"code": 7}, 5])
def test_without_a_wait_it_leaves_at_once(shop: Shop, client: Client, close: object) -> None:
    page = client.connect("stream")
    assert say(client, {"close": close}, page.key) == (200, {"accepted": 0})
    assert shop.journal == [("open", None, "stream"), ("close", None, "left")]
    assert page.closed == (1000, "left")


@EVERYWHERE
def test_a_request_that_was_still_on_its_way_opens_nobody_anew(shop: Shop, client: Client, transport: str) -> None:
    page = client.connect(transport)
    page.leave()
    for late in (client.connect(transport, key=page.key), client.connect("poll", key=page.key)):
        assert late.closed == (4006, "this client said goodbye a moment ago")
    assert [event for event, *_ in shop.journal] == ["open", "close"]
    client.clock.advance(2)
    assert client.connect(transport, key=page.key).closed is None
    assert [event for event, *_ in shop.journal] == ["open", "close", "open"]


def test_the_goodbye_of_one_that_never_came_opens_nobody(shop: Shop, client: Client) -> None:
    assert say(client, {"close": {}}) == (200, {"accepted": 0})
    assert client.connect("stream", key=KEY).closed == (4006, "this client said goodbye a moment ago")
    assert shop.journal == []
    client.clock.advance(2)
    assert client.connect("stream", key=KEY).closed is None


def test_the_goodbye_of_one_that_never_came_and_may_come_back_is_nothing(shop: Shop, client: Client) -> None:
    assert say(client, {"close": {"wait": 2}}) == (200, {"accepted": 0})
    assert shop.journal == []
    assert client.connect("stream", key=KEY).closed is None


def test_what_was_said_with_the_goodbye_is_handled_before_it(shop: Shop, client: Client) -> None:
    page = client.connect("stream")
    say(client, [{"n": 1, "data": "last"}, {"close": {"wait": 2}}], page.key)
    page.drop()
    client.clock.advance(2)
    assert shop.journal[1:] == [("message", "last"), ("close", None, "left")]


@pytest.mark.parametrize("wait", [0, 2])
def test_a_page_that_goes_to_a_login_says_goodbye_with_its_cookies(shop: Shop, client: Client, wait: float) -> None:
    page = client.connect("stream")
    client.post("/login/ann")
    assert say(client, {"close": {"wait": wait}}, page.key) == (200, {"accepted": 0})
    page.drop()
    client.clock.advance(wait)
    assert shop.journal == [("open", None, "stream"), ("close", None, "left")]


def test_who_comes_back_as_another_user_has_left_as_the_one_before(shop: Shop, client: Client) -> None:
    page = client.connect("websocket")
    page.drop()
    client.post("/login/ann")
    client.connect("websocket", key=page.key)
    client.clock.advance(2)
    assert [presence.user for presence in shop.channel.presence()] == ["ann"]
    assert shop.journal == [("open", None, "websocket"), ("open", "ann", "websocket"), ("close", None, "left")]


def test_the_grace_is_as_ever_for_who_says_nothing(shop: Shop, client: Client) -> None:
    client.connect("stream").drop()
    client.clock.advance(59)
    assert len(shop.channel.presence()) == 1
