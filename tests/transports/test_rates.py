"""Who goes too fast is told so and waits; what was refused is sent again under the same number, and nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Any

import pytest
from werkzeug.test import Client as WsgiClient

from cometware import Channel, Cometware, Failed, Limits, Rate, Rates, Refused
from cometware.testing import Client, Connection

everywhere = pytest.mark.parametrize("transport", ["websocket", "sse", "stream", "poll", "jsonp"])
KEY = "k" * 24


def nothing(environ: Any, start_response: Any) -> Any:
    start_response("404 Not Found", [])
    return []


class Site:
    """An application that keeps what it was told; only what `rates` names is limited."""

    def __init__(self, *, max_clients: int = 1000, patience: float = 30, addresses: Any = 1, **rates: Any) -> None:
        chosen = Rates(**{field.name: None for field in fields(Rates)} | rates)
        self.channel = Channel(limits=Limits(rates=chosen, rate_patience_seconds=patience, max_clients=max_clients))
        self.said: list[Any] = []
        self.life: list[str] = []
        self.channel.on_message(lambda client, data: self.said.append(data))
        self.channel.on_open(lambda client: self.life.append("open"))
        self.channel.on_close(lambda client, reason: self.life.append(reason))
        self.app = Cometware(
            nothing,
            self.channel,
            user=lambda environ: environ.get("HTTP_USER"),
            addresses=addresses,
            status_token="right",
            publish_token="right too",
        )


Visit = Callable[..., tuple[Site, Client]]


@pytest.fixture
def visit() -> Iterator[Visit]:
    clients: list[Client] = []

    def visit(**options: Any) -> tuple[Site, Client]:
        site = Site(**options)
        clients.append(Client(site.app))
        return site, clients[-1]

    yield visit
    for client in clients:
        client.close()


def frames(connection: Connection, *bodies: str) -> None:
    """Send all of them at once, as a page does that does not wait."""
    wire = connection._far._wire
    assert wire is not None
    for body in bodies:
        connection._far._outgoing += wire.write(body)  # type: ignore[attr-defined]
    connection._settle()


def errors(connection: Connection) -> list[dict[str, Any]]:
    connection._errors.clear()
    return [shape["error"] for shape in connection.shapes if "error" in shape and "id" not in shape]


def numbered(*numbers: int) -> list[str]:
    return [json.dumps({"n": number, "data": number}) for number in numbers]


# Messages


@everywhere
def test_who_is_too_fast_is_told_for_how_long_to_wait_and_may_send_the_same_again(visit: Visit, transport: str) -> None:
    site, client = visit(client_messages=Rate(1, 3))
    ann = client.connect(transport)
    for number in (1, 2, 3):
        ann.send(number)
    with pytest.raises(Failed) as refused:
        ann.send(4)
    assert refused.value.code == "rate"
    assert refused.value.details == {"wait_seconds": 1, "accepted": 3}
    client.clock.advance(1)
    ann.send(4)
    assert site.said == [1, 2, 3, 4]


@everywhere
@pytest.mark.parametrize("what", ["client_bytes", "user_bytes", "address_bytes"])
def test_bytes_are_counted_as_well(visit: Visit, transport: str, what: str) -> None:
    site, client = visit(**{what: Rate(10, 500)})
    ann = client.connect(transport, headers={"User": "ann", "X-Forwarded-For": "203.0.113.7"})
    ann.send("x" * 300)
    with pytest.raises(Failed, match=what):
        ann.send("x" * 300)
    assert len(site.said) == 1


@everywhere
def test_the_clients_of_a_user_and_of_an_address_are_counted_together(visit: Visit, transport: str) -> None:
    site, client = visit(user_messages=Rate(1, 2), address_messages=Rate(1, 4))
    ann, again = (client.connect(transport, headers={"User": "ann", "X-Forwarded-For": f"203.0.113.{n}"}) for n in (1, 2))
    ann.send(1)
    again.send(2)
    with pytest.raises(Failed, match="user_messages"):
        ann.send(3)
    bob = client.connect(transport, headers={"User": "bob", "X-Forwarded-For": "203.0.113.1"})
    cid = client.connect(transport, headers={"X-Forwarded-For": "203.0.113.1"})
    for number in (3, 4, 5):
        (bob if number == 3 else cid).send(number)
    with pytest.raises(Failed, match="address_messages"):
        cid.send(6)
    assert site.said == [1, 2, 3, 4, 5]


def test_a_websocket_is_told_once_and_not_read_until_its_wait_is_over(visit: Visit) -> None:
    site, client = visit(client_messages=Rate(2, 4))
    ann = client.connect()
    frames(ann, *numbered(*range(1, 9)))
    assert site.said == [1, 2, 3, 4]
    (error,) = errors(ann)
    assert (error["code"], error["wait_seconds"], error["accepted"] <= 4) == ("rate", 1, True)
    frames(ann, '{"ping":1}')
    client.clock.advance(0.9)
    assert ann.heartbeats == 0
    client.clock.advance(0.2)
    assert ann.heartbeats == 1


def test_what_was_under_way_when_the_client_was_told_is_passed_over_and_comes_again(visit: Visit) -> None:
    site, client = visit(client_messages=Rate(2, 4))
    ann = client.connect()
    frames(ann, *numbered(*range(1, 9)))
    frames(ann, *numbered(9, 10))
    client.clock.advance(1)
    assert site.said == [1, 2, 3, 4]
    frames(ann, *numbered(5, 6))
    assert site.said == [1, 2, 3, 4, 5, 6]
    client.clock.advance(2)
    frames(ann, *numbered(7, 8, 9, 10))
    assert site.said == list(range(1, 11))
    assert [error["code"] for error in errors(ann)] == ["rate"]


def test_who_never_sends_it_again_is_told_which_number_is_missing(visit: Visit) -> None:
    site, client = visit(client_messages=Rate(2, 4))
    ann = client.connect()
    frames(ann, *numbered(*range(1, 6)))
    client.clock.advance(6.1)
    frames(ann, *numbered(6))
    client.clock.advance(5.1)
    assert [error["code"] for error in errors(ann)] == ["rate", "number"]
    assert site.said == [1, 2, 3, 4]


def test_of_an_array_all_are_taken_or_none(visit: Visit) -> None:
    site, client = visit(client_messages=Rate(1, 4))
    ann = client.connect()
    frames(ann, f"[{','.join(numbered(1, 2, 3))}]", f"[{','.join(numbered(4, 5))}]")
    assert site.said == [1, 2, 3]
    assert errors(ann)[0]["wait_seconds"] == 1


def test_an_array_that_is_more_than_a_full_bucket_is_taken_when_it_is_full(visit: Visit) -> None:
    site, client = visit(client_messages=Rate(1, 4))
    ann = client.connect("poll")
    ann._far._post({"v": "1"}, data=f"[{','.join(numbered(*range(1, 8)))}]", content_type="application/json")
    assert site.said == [1, 2, 3, 4, 5, 6, 7]
    ann._far._post({"v": "1"}, data=numbered(8)[0], content_type="application/json")
    assert [error["wait_seconds"] for error in errors(ann)] == [4]


def test_a_plain_websocket_is_told_too(visit: Visit) -> None:
    site, client = visit(client_messages=Rate(1, 2))
    ann = client.connect(plain=True)
    frames(ann, "a", "b", "c", "d")
    assert site.said == ["a", "b"]
    (told,) = [json.loads(str(message.data)) for message in ann.messages]
    assert told["error"]["code"] == "rate" and told["error"]["wait_seconds"] == 1
    client.clock.advance(1)
    ann.send("e")
    assert site.said == ["a", "b", "e"]


def test_a_post_gets_429_with_the_time_to_wait_and_nothing_of_it_is_taken(visit: Visit) -> None:
    site, client = visit(client_messages=Rate(1, 3))

    def post(*numbers: int) -> Any:
        return client.post("/comet?v=1", data=f"[{','.join(numbered(*numbers))}]", headers={"Comet-Key": KEY})

    assert post(1, 2).json == {"accepted": 2}
    refused = post(3, 4, 5)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "2")
    assert refused.json["error"]["code"] == "rate" and refused.json["error"]["accepted"] == 2
    assert refused.json["error"]["wait_seconds"] == 2
    client.clock.advance(2)
    assert post(3, 4, 5).json == {"accepted": 5}
    assert site.said == [1, 2, 3, 4, 5]


def test_who_has_no_key_is_counted_by_its_address(visit: Visit) -> None:
    site, client = visit(address_messages=Rate(1, 2))
    answers = [client.post("/comet", data="x", headers={"X-Forwarded-For": "203.0.113.7"}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert client.post("/comet", data="x", headers={"X-Forwarded-For": "203.0.113.8"}).status_code == 200
    assert len(site.said) == 3


def test_garbage_is_counted_like_a_message(visit: Visit) -> None:
    _, client = visit(client_messages=Rate(1, 2), address_messages=Rate(1, 50))
    ann = client.connect()
    frames(ann, *["{"] * 100)
    assert len(errors(ann)) == 3
    for _ in range(60):
        client.post("/comet?v=1", data="{", headers={"X-Forwarded-For": "203.0.113.7"})
    answer = client.post("/comet?v=1", data='{"data":1}', headers={"X-Forwarded-For": "203.0.113.7"})
    assert answer.status_code == 429


def test_a_wait_does_not_make_a_client_silent(visit: Visit) -> None:
    _, client = visit(client_messages=Rate(0.01, 1))
    ann = client.connect()
    frames(ann, *numbered(1, 2))
    client.clock.advance(90)
    assert ann.is_open
    client.clock.advance(60)
    assert ann.is_open and ann.heartbeats > 5


def test_who_leaves_need_not_wait(visit: Visit) -> None:
    site, client = visit(client_messages=Rate(0.01, 1))
    ann, bob = client.connect(), client.connect("poll")
    for each in (ann, bob):
        each.send(1)
        each.leave()
    assert site.life == ["open", "open", "left", "left"]


def test_with_no_rates_everything_passes(visit: Visit) -> None:
    site, client = visit()
    site.channel.limits = Limits(rates=None)
    with Client(Cometware(nothing, site.channel)) as other:
        ann = other.connect()
        for number in range(3000):
            frames(ann, json.dumps({"n": number + 1, "data": number}))
        assert len(site.said) == 3000
    client.close()


# Patience


def flood(client: Client, ann: Connection, seconds: int) -> None:
    for _ in range(seconds):
        if ann.closed is None:
            frames(ann, *['{"data":0}'] * 4)
        client.clock.advance(1)


def test_who_does_not_listen_for_so_long_is_closed_for_good(visit: Visit) -> None:
    _, client = visit(client_messages=Rate(2, 2), patience=10)
    ann = client.connect()
    flood(client, ann, 9)
    assert ann.closed is None
    flood(client, ann, 3)
    assert ann.closed is not None and ann.closed.code == 4429


def test_who_rests_in_between_is_not_closed(visit: Visit) -> None:
    _, client = visit(client_messages=Rate(2, 2), patience=10)
    ann = client.connect()
    for _ in range(5):
        flood(client, ann, 4)
        client.clock.advance(3)
    assert ann.closed is None


def test_who_sends_the_same_again_behind_each_wait_is_never_closed(visit: Visit) -> None:
    site, client = visit(client_messages=Rate(2, 2), patience=10)
    ann, following = client.connect(), 1
    for _ in range(40):
        frames(ann, *numbered(*range(following, following + 5)))
        client.clock.advance(1)
        following = len(site.said) + 1
    assert ann.closed is None
    assert site.said == list(range(1, following)) and following > 70


def test_who_posts_again_and_again_without_waiting_is_closed_for_good(visit: Visit) -> None:
    _, client = visit(client_messages=Rate(0.01, 1), patience=3)
    statuses = []
    for _ in range(6):
        answer = client.post("/comet", data="x", headers={"Comet-Key": KEY})
        statuses.append(answer.status_code)
        client.clock.advance(1)
    assert statuses == [200, 429, 429, 429, 410, 410]
    assert answer.json["error"]["close"] == 4429


def test_who_waits_as_told_before_each_post_is_never_closed(visit: Visit) -> None:
    site, client = visit(client_messages=Rate(1, 1), patience=3)
    for _ in range(20):
        for _ in range(2):
            answer = client.post("/comet", data="x", headers={"Comet-Key": KEY})
        assert answer.status_code == 429
        client.clock.advance(int(answer.headers["Retry-After"]))
    assert len(site.said) == 20


# New clients


@everywhere
@pytest.mark.parametrize("what", ["user_opens", "address_opens"])
def test_new_clients_of_a_user_and_an_address_are_bounded(visit: Visit, transport: str, what: str) -> None:
    site, client = visit(**{what: Rate(1, 3)})
    told = {"User": "ann", "X-Forwarded-For": "203.0.113.7"}
    first, *_ = [client.connect(transport, headers=told) for _ in range(3)]
    with pytest.raises(Refused, match=what) as refused:
        client.connect(transport, headers=told)
    assert refused.value.status == 429
    first.reconnect()
    client.connect(transport, headers={"User": "bob", "X-Forwarded-For": "203.0.113.8"})
    client.clock.advance(1)
    client.connect(transport, headers=told)
    assert site.life == ["open"] * 5


def test_a_refused_client_is_told_when_to_come_back(visit: Visit) -> None:
    _, client = visit(address_opens=Rate(0.1, 1))
    asks = {"X-Forwarded-For": "203.0.113.7", "Accept": "application/json"}
    assert client.get("/comet", headers=asks).status_code == 200
    for method in (client.get, client.post):
        answer = method("/comet", headers=asks)
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "10")
        assert answer.json["error"]["code"] == "rate" and answer.json["error"]["wait_seconds"] == 10
    assert b'"wait_seconds"' in client.get("/comet?callback=f", headers=asks).data


def test_connections_of_a_client_a_user_and_an_address_are_bounded(visit: Visit) -> None:
    for what in ("client_connections", "user_connections", "address_connections"):
        _, client = visit(**{what: Rate(1, 3)})
        ann = client.connect("stream", headers={"User": "ann", "X-Forwarded-For": "203.0.113.7"})
        ann.reconnect("sse")
        ann.reconnect("websocket")
        with pytest.raises(Refused, match=what):
            ann.reconnect("stream")
        ann.reconnect("poll")


@pytest.mark.parametrize("transport", ["websocket", "sse", "stream", "poll"])
def test_an_address_has_so_many_connections_at_a_time(visit: Visit, transport: str) -> None:
    _, client = visit(connections_at_once=3)
    here = [client.connect(transport, headers={"X-Forwarded-For": "203.0.113.7"}) for _ in range(3)]
    with pytest.raises(Refused, match="connections_at_once") as refused:
        client.connect(transport, headers={"X-Forwarded-For": "203.0.113.7"})
    assert refused.value.status == 429
    client.connect(transport, headers={"X-Forwarded-For": "203.0.113.8"})
    here[0].drop()
    client.connect(transport, headers={"X-Forwarded-For": "203.0.113.7"})


def test_nobody_is_counted_by_the_address_of_a_proxy_that_is_not_known(visit: Visit) -> None:
    site, client = visit(address_opens=Rate(1, 1), address_messages=Rate(1, 1), connections_at_once=1, addresses=None)
    for number in range(5):
        client.connect(headers={"X-Forwarded-For": f"203.0.113.{number}"}).send(number)
    assert site.said == [0, 1, 2, 3, 4]


# Room


def open_by_poll(client: Client, key: str) -> int:
    return client.get("/comet?wait=0", headers={"Comet-Key": key.ljust(22, "0"), "Accept": "application/json"}).status_code


def test_who_never_came_back_makes_room_first(visit: Visit) -> None:
    site, client = visit(max_clients=5)
    ann, bob = client.connect(), client.connect("poll")
    for number in range(50):
        assert open_by_poll(client, f"stranger{number}") == 200
    assert ann.is_open and bob.is_open
    ann.send("ann"), bob.send("bob")
    assert site.said == ["ann", "bob"]
    assert site.life.count("timeout") == 47


def test_who_came_back_and_is_away_for_a_moment_only_stays(visit: Visit) -> None:
    _, client = visit(max_clients=3)
    for key in ("ann", "bob", "cid"):
        open_by_poll(client, key)
        open_by_poll(client, key)
    assert open_by_poll(client, "dan") == 503
    client.clock.advance(5)
    open_by_poll(client, "ann")
    client.clock.advance(6)
    assert open_by_poll(client, "dan") == 200
    assert [open_by_poll(client, key) for key in ("ann", "dan")] == [200, 200]


def test_whom_nothing_can_be_taken_from_stays_and_the_next_one_is_refused(visit: Visit) -> None:
    _, client = visit(max_clients=2)
    ann, bob = client.connect(), client.connect("sse")
    assert open_by_poll(client, "cid") == 503
    assert ann.is_open and bob.is_open


# Tokens


@pytest.mark.parametrize("path", ["/comet/status", "/comet/publish"])
def test_who_guesses_tokens_has_to_wait_with_the_right_one_too(visit: Visit, path: str) -> None:
    site, client = visit(address_guesses=Rate(0.1, 3))

    def show(token: str, address: str = "203.0.113.7") -> Any:
        headers = {"Authorization": f"Bearer {token}", "X-Forwarded-For": address}
        return client.open(path, method="POST", json={"data": 1}, headers=headers)

    right = "right" if path == "/comet/status" else "right too"
    assert [show("wrong").status_code for _ in range(3)] == [401, 401, 401]
    answer = show(right)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "10")
    assert show(right, "203.0.113.8").status_code == 200
    client.clock.advance(10)
    assert show(right).status_code == 200
    assert [show(right).status_code for _ in range(20)] == [200] * 20
    assert site.channel.limits.rates is not None


# Other ways in


def test_messages_for_hooks_are_counted_as_well() -> None:
    asked: list[str] = []

    def app(environ: Any, start_response: Any) -> Any:
        asked.append(environ["PATH_INFO"])
        start_response("204 No Content", [])
        return []

    channel = Channel(limits=Limits(rates=Rates(client_messages=Rate(1, 2))))
    with Client(Cometware(app, channel, hooks="/realtime")) as client:
        ann = client.connect()
        frames(ann, *numbered(1, 2, 3))
        assert [error["code"] for error in errors(ann)] == ["rate"]
        client.clock.advance(1)
        frames(ann, *numbered(3))
    assert asked == ["/realtime/open", *["/realtime/message"] * 3]


def test_under_a_server_with_threads_the_peer_is_counted_too() -> None:
    channel = Channel(limits=Limits(rates=Rates(address_messages=Rate(0.01, 2))))
    channel.on_message(lambda client, data: None)
    site = WsgiClient(Cometware(nothing, channel))

    def post(address: str, **headers: str) -> int:
        environ = {"REMOTE_ADDR": address, "wsgi.multithread": True}
        return site.post("/comet", data="x", headers=headers, environ_overrides=environ).status_code

    assert [post("203.0.113.7") for _ in range(3)] == [200, 200, 429]
    assert post("203.0.113.8") == 200
    assert [post("203.0.113.7", Via="1.1 proxy") for _ in range(3)] == [200, 200, 200]
    assert [post(f"2001:db8::{number}") for number in (1, 2, 3)] == [200, 200, 429]


# Goodbyes


def last_words(first: int, count: int) -> list[dict[str, Any]]:
    return [{"n": number, "data": number} for number in range(first, first + count)] + [{"close": {"wait": 60}}]


@pytest.mark.parametrize("way", ["post", "websocket"])
def test_a_goodbye_carries_what_a_page_had_left_to_say_but_is_no_way_around_the_rates(visit: Visit, way: str) -> None:
    site, client = visit(client_messages=Rate(1, 11), patience=20)
    page = client.connect("websocket")
    for first in range(1, 200, 10):
        words = json.dumps(last_words(first, 10))
        if way == "post":
            headers = {"Comet-Key": page.key or "", "Content-Type": "application/json"}
            client.post("/comet", data=words, headers=headers)
        else:
            frames(page, words)
    assert site.said == list(range(1, 21)), "the first as it came, the second though it was early"


def test_a_goodbye_alone_is_heard_however_fast_its_page_was(visit: Visit) -> None:
    site, client = visit(client_messages=Rate(1, 3), patience=0.5)
    page = client.connect("stream")
    for number in (1, 2, 3):
        page.send(number)
    headers = {"Comet-Key": page.key or "", "Content-Type": "application/json"}
    assert client.post("/comet", data='{"close":{}}', headers=headers).status_code == 200
    assert site.life == ["open", "left"]
