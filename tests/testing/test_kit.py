"""What the test kit promises to those who test their own application with it."""

from __future__ import annotations

import gc
import os
import threading
import time
import weakref
from collections.abc import Iterable, Iterator
from typing import Any

import gevent
import pytest

from cometware import Channel, Cometware, Failed, Limits, Refused
from cometware.testing import Client, Connection
from cometware.transports.worker import Worker
from tests.testing.shop import Shop

TRANSPORTS = ("websocket", "sse", "stream", "poll", "jsonp")
everywhere = pytest.mark.parametrize("transport", TRANSPORTS)


Environ = dict[str, Any]


def nothing(environ: Environ, start_response: Any) -> Iterable[bytes]:
    start_response("204 No Content", [])
    return []


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
def client(shop: Shop) -> Iterator[Client]:
    with Client(shop.app) as client:
        yield client


# Hearing and speaking


@everywhere
def test_what_a_view_publishes_is_there_when_the_request_is_over(client: Client, transport: str) -> None:
    ann = client.connect(transport)
    assert client.post("/orders", json={"order": 1}).status_code == 201
    assert ann.messages == [("order", {"order": 1})]
    assert ann.receive() == {"order": 1}
    assert ann.messages == []


@everywhere
def test_a_message_has_been_handled_when_send_returns(shop: Shop, client: Client, transport: str) -> None:
    ann, bob = client.connect(transport), client.connect()
    ann.send({"a": [1, "Ω", b"\x00\xff"]})
    assert shop.journal[-1] == ("message", {"a": [1, "Ω", b"\x00\xff"]})
    assert bob.receive() == {"a": [1, "Ω", b"\x00\xff"]}
    assert ann.messages == []


@everywhere
def test_ask_returns_what_the_handler_returned(client: Client, transport: str) -> None:
    ann = client.connect(transport)
    assert ann.ask("rename", "Ann") == {"name": "Ann"}
    assert ann.ask("rename", "Eve") == {"name": "Eve"}


@everywhere
def test_ask_raises_the_refusal_with_its_body(client: Client, transport: str) -> None:
    with pytest.raises(Refused, match="402: no money") as refused:
        client.connect(transport).ask("pay")
    assert (refused.value.status, refused.value.body) == (402, b'{"balance":0}')


@everywhere
def test_ask_shows_the_exception_of_the_handler(client: Client, transport: str) -> None:
    with pytest.raises(Failed, match="handler: the handler failed; its log says why") as failed:
        client.connect(transport).ask("fail")
    assert isinstance(failed.value.__cause__, LookupError)
    assert client.failures == [failed.value.__cause__]
    with pytest.raises(Failed, match="event: no handler for 'nonsense'"):
        client.connect(transport).ask("nonsense")


@everywhere
def test_a_reply_that_is_late_is_no_reply_yet(shop: Shop, client: Client, transport: str) -> None:
    ann = client.connect(transport)
    with pytest.raises(AssertionError, match="no reply to 'wait' yet"):
        ann.ask("wait")
    shop.gate.set()
    assert ann.ask("rename", "Ann") == {"name": "Ann"}


@pytest.mark.parametrize("transport", ["websocket", "sse"])
def test_the_plain_dialect_is_what_a_browser_sees(client: Client, transport: str) -> None:
    plain, other = client.connect(transport, plain=True), client.connect()
    client.post("/orders")
    assert plain.messages == [("message" if transport == "websocket" else "order", '{"order":7}')]
    plain.send("hello")
    assert other.receive("message") == "hello"
    with pytest.raises(ValueError, match="plain dialect knows no replies"):
        plain.ask("rename")


def test_a_post_without_a_connection_is_an_ordinary_request(shop: Shop, client: Client) -> None:
    ann = client.connect()
    assert client.post("/comet", data="hello").json == {"accepted": 1}
    assert ann.receive() == "hello"


def test_receive_takes_the_oldest_of_an_event(client: Client) -> None:
    ann = client.connect()
    client.post("/comet", data="hello")
    client.post("/orders")
    assert ann.receive("order") == {"order": 7}
    assert ann.messages == [("message", "hello")]


def test_nothing_to_receive_fails_at_once_and_tells_what_there_is(client: Client) -> None:
    ann = client.connect("sse")
    client.post("/orders")
    began = time.monotonic()
    with pytest.raises(AssertionError) as failed:
        ann.receive("bill")
    assert time.monotonic() - began < 15
    first, *others = str(failed.value).split("\n")
    assert first == f"expected a message with the event 'bill', but there is none; <Connection sse of {ann.id}: open>"
    assert others[0] == "  not received yet: order: {'order': 7}"
    assert '"event":"order"' in others[1]


def test_a_message_that_is_too_large_is_told(client: Client) -> None:
    for transport in TRANSPORTS:
        with pytest.raises(Failed, match="max_message_bytes allows 1048576"):
            client.connect(transport).send("x" * 1_048_577)


def test_what_a_native_thread_publishes_arrives(shop: Shop, client: Client) -> None:
    ann = client.connect()
    thread = threading.Thread(target=shop.channel.publish, args=("from a thread",))
    thread.start()
    thread.join()
    assert ann.receive() == "from a thread"


# Who comes in


@everywhere
def test_a_refused_connection_raises_what_the_application_said(client: Client, transport: str) -> None:
    with pytest.raises(Refused) as refused:
        client.connect(transport, query={"refuse": 1})
    assert (refused.value.status, refused.value.body) == (402, b'{"price":7}')


@everywhere
def test_a_connection_has_the_cookies_of_the_requests(shop: Shop, client: Client, transport: str) -> None:
    client.post("/login/ann")
    ann = client.connect(transport)
    assert shop.journal == [("open", "ann", transport.replace("jsonp", "poll"))]
    shop.channel.publish("for ann", to="user:ann")
    assert ann.receive() == "for ann"


def test_two_clients_are_two_visitors_of_one_channel(shop: Shop, client: Client) -> None:
    with Client(shop.app) as other:
        client.post("/login/ann")
        other.post("/login/bob")
        ann, bob = client.connect(), other.connect("poll")
        ann.send("hello")
        assert bob.receive() == "hello"
        assert [presence.user for presence in shop.channel.presence()] == ["ann", "bob"]
        assert client.clock is other.clock


def test_a_page_of_another_site_is_refused(client: Client) -> None:
    with pytest.raises(Refused, match="this page may not use the channel"):
        client.connect("sse", headers={"Origin": "https://evil.example"})


def test_history_comes_first(client: Client) -> None:
    client.post("/orders", json={"order": 1})
    client.post("/orders", json={"order": 2})
    assert [data for _, data in client.connect("sse", query={"last": 1}).messages] == [{"order": 2}]


def test_an_on_open_that_fails_refuses_and_shows_its_exception(shop: Shop, client: Client) -> None:
    with pytest.raises(Refused, match="500: the application's on_open failed") as refused:
        client.connect("sse", query={"fail": 1})
    assert isinstance(refused.value.__cause__, LookupError)


def test_a_login_that_fails_reaches_the_test() -> None:
    def find_user(environ: Environ) -> str:
        raise LookupError("no such table")

    with Client(Cometware(nothing, Channel(), user=find_user)) as client, pytest.raises(LookupError, match="no such table"):
        client.connect()


# The network


@everywhere
def test_who_drops_out_and_comes_back_has_missed_nothing(shop: Shop, client: Client, transport: str) -> None:
    ann = client.connect(transport)
    client.post("/orders", json={"order": 1})
    ann.drop()
    assert not ann.is_open
    client.post("/orders", json={"order": 2})
    ann.reconnect()
    assert [ann.receive(), ann.receive()] == [{"order": 1}, {"order": 2}]
    assert ann.messages == [] and ann.resets == []
    assert [line[0] for line in shop.journal] == ["open"]


def test_a_client_comes_back_by_every_other_transport(client: Client) -> None:
    ann = client.connect("websocket")
    for number, transport in enumerate(TRANSPORTS * 2):
        ann.drop()
        client.post("/orders", json={"order": number})
        ann.reconnect(transport)
        assert ann.receive() == {"order": number}
        assert ann.ask("rename", number) == {"name": number}


@everywhere
def test_what_is_held_back_comes_later_and_in_order(shop: Shop, client: Client, transport: str) -> None:
    ann, bob = client.connect(transport), client.connect()
    ann.hold()
    ann.send("one")
    client.post("/orders")
    ann.send("two")
    assert ann.messages == [] and bob.messages == [("order", {"order": 7})]
    ann.release()
    assert ann.messages == [("order", {"order": 7})]
    assert bob.messages[1:] == [("message", "one"), ("message", "two")]


def test_a_network_that_is_slow_for_some_seconds_goes_on_by_the_clock(shop: Shop, client: Client) -> None:
    for transport in TRANSPORTS:
        ann = client.connect(transport)
        ann.hold(2)
        ann.send(transport)
        client.clock.advance(1.5)
        assert shop.journal[-1][0] == "open"
        client.clock.advance(0.5)
        assert shop.journal[-1] == ("message", transport)


@everywhere
def test_what_was_lost_on_its_way_is_sent_again_once(shop: Shop, client: Client, transport: str) -> None:
    ann = client.connect(transport)
    ann.send("one")
    ann.hold()
    ann.send("two")
    ann.drop()
    ann.reconnect()
    ann.send("three")
    assert [line[1] for line in shop.journal[1:]] == ["one", "two", "three"]


def test_a_plain_event_stream_resumes_by_its_last_event_id(client: Client) -> None:
    ann = client.connect("sse", plain=True)
    ann.drop()
    client.post("/orders")
    ann.reconnect()
    assert ann.receive() == '{"order":7}'


# The clock


@everywhere
def test_the_grace_passes_when_the_clock_is_moved(shop: Shop, client: Client, transport: str) -> None:
    ann = client.connect(transport)
    ann.drop()
    client.clock.advance(59)
    assert shop.journal[1:] == []
    client.clock.advance(2)
    assert shop.journal[1:] == [("close", None, "timeout")]


def test_what_is_too_old_is_forgotten_while_nobody_publishes() -> None:
    channel = Channel(limits=Limits(history_seconds=60))
    with Client(Cometware(nothing, channel)) as client:
        client.connect()
        client.clock.advance(10)
        for number in (1, 2, 3):
            channel.publish(number)
        client.clock.advance(59)
        assert channel.recent() == [1, 2, 3]
        client.clock.advance(12)
        assert channel.recent() == [3]


def test_a_client_that_never_came_back_for_its_next_poll_is_gone_after_its_grace(shop: Shop, client: Client) -> None:
    assert "next" in client.get("/comet").headers["Link"]
    client.clock.advance(59.75)
    assert shop.journal[1:] == []
    client.clock.advance(0.25)
    assert shop.journal[1:] == [("close", None, "timeout")]


@everywhere
def test_a_client_that_was_forgotten_counts_its_messages_anew(shop: Shop, client: Client, transport: str) -> None:
    ann = client.connect(transport)
    ann.send("one")
    ann.drop()
    client.clock.advance(61)
    ann.reconnect()
    ann.send("two")
    assert shop.journal[-1] == ("message", "two")


@everywhere
def test_heartbeats_come_by_the_clock_and_keep_the_client_there(shop: Shop, client: Client, transport: str) -> None:
    ann = client.connect(transport)
    client.clock.advance(0.5)
    before = ann.heartbeats
    client.clock.advance(200)
    assert ann.heartbeats - before == 10
    assert ann.is_open and len(shop.channel.presence()) == 1


def test_polls_that_are_never_held_keep_the_client_there(shop: Shop, client: Client) -> None:
    ann = client.connect("poll", query={"wait": 0})
    client.clock.advance(200)
    assert len(shop.channel.presence()) == 1
    client.post("/orders")
    assert ann.receive() == {"order": 7}


def test_a_websocket_that_hears_nothing_is_given_up(shop: Shop, client: Client) -> None:
    ann = client.connect()
    ann.hold()
    client.clock.advance(60)
    assert len(shop.channel.presence()) == 1
    client.clock.advance(60)
    assert shop.journal[1:] == [("close", None, "timeout")]


@pytest.mark.parametrize("transport", ["websocket", "sse", "stream"])
def test_a_connection_of_a_user_is_asked_to_come_back_through_the_login(client: Client, transport: str) -> None:
    client.post("/login/ann")
    ann = client.connect(transport)
    client.clock.advance(899)
    assert not ann.must_reconnect
    client.clock.advance(2)
    assert ann.must_reconnect
    client.clock.advance(6)
    assert ann.closed is not None and ann.closed.code == 4001
    ann.reconnect()
    assert ann.is_open and not ann.must_reconnect


def test_a_message_out_of_order_is_given_up_by_the_clock(client: Client) -> None:
    key = "k" * 24
    client.connect("sse", key=key)
    post = gevent.spawn(client.post, "/comet", json={"n": 2, "data": "two"}, headers={"Comet-Key": key})
    client.clock.advance(4)
    assert not post.ready()
    client.clock.advance(2)
    assert post.value.status_code == 409 and post.value.json["error"]["accepted"] == 0


def test_a_revoked_user_is_told_not_to_come_back(shop: Shop, client: Client) -> None:
    client.post("/login/ann")
    connections = [client.connect(transport) for transport in TRANSPORTS]
    shop.channel.revoke("ann")
    for ann in connections:
        assert not ann.is_open
        assert ann.closed == (4410, "revoked")


@everywhere
def test_a_goodbye_is_told_to_the_application(shop: Shop, client: Client, transport: str) -> None:
    client.connect(transport).leave()
    assert shop.journal[1:] == [("close", None, "left")]


def test_time_does_not_go_back(client: Client) -> None:
    with pytest.raises(ValueError, match=r"advance\(-1\)"):
        client.clock.advance(-1)


def test_who_is_here_since_when_is_told_by_the_clock(shop: Shop, client: Client) -> None:
    client.connect()
    client.clock.advance(100)
    client.connect()
    first, second = shop.channel.presence()
    assert second.since - first.since == 100


# The kit itself


def test_the_channel_is_empty_at_first_and_afterwards_as_it_was(shop: Shop) -> None:
    shop.channel.publish("before")
    with Client(shop.app) as client:
        client.post("/orders")
        client.connect()
        assert shop.channel.recent() == [{"order": 7}]
    assert shop.channel.recent() == ["before"]
    assert shop.channel.presence() == []
    with Client(shop.app):
        assert shop.channel.recent() == []


def test_everything_runs_in_the_thread_of_the_test() -> None:
    shop, loops = Shop(threads=4), []  # each thread has its own
    shop.app.before_request(lambda: loops.append(gevent.get_hub()))
    shop.channel.on("where")(lambda client, data: loops.append(gevent.get_hub()))
    with Client(shop.app) as client:
        client.post("/orders")
        client.connect("sse").ask("where")
    assert loops == [gevent.get_hub()] * 2


def test_flasks_own_test_client_works_beside_it(shop: Shop, client: Client) -> None:
    ann = client.connect()
    own = shop.app.test_client()
    assert own.post("/orders").status_code == 201
    assert own.post("/comet", data="hello").json == {"accepted": 1}
    assert own.get("/comet?wait=0").json[0]["open"]["server"] == {"name": "cometware.testing", "transports": ["poll"]}
    assert own.get("/comet", headers={"Accept": "text/event-stream"}).status_code == 501
    assert ann.messages == [("order", {"order": 7}), ("message", "hello")]


def test_a_client_that_is_closed_says_so(shop: Shop) -> None:
    with Client(shop.app) as client:
        ann = client.connect()
    for call in (client.connect, ann.reconnect, lambda: client.get("/")):
        with pytest.raises(RuntimeError, match="this Client is closed"):
            call()
    assert not ann.is_open


def test_a_client_that_is_forgotten_is_told_of(shop: Shop) -> None:
    client = Client(shop.app)
    stage = client._stage
    with pytest.warns(ResourceWarning, match="unclosed <Client"):
        del client
        gc.collect()
    stage.leave()


def test_nothing_is_left_of_a_test() -> None:
    def visit() -> weakref.ref[Worker]:
        with Client(shop.app) as client:
            for transport in TRANSPORTS:
                client.connect(transport).ask("rename", "Ann")
            return weakref.ref(client._stage.worker)

    shop = Shop()
    visit()
    files = len(os.listdir("/proc/self/fd"))
    worker = visit()
    gc.collect()
    assert worker() is None
    assert len(os.listdir("/proc/self/fd")) == files


def test_an_exception_of_a_view_reaches_the_test(shop: Shop, client: Client) -> None:
    shop.app.testing = True
    with pytest.raises(ZeroDivisionError):
        client.get("/broken")


def test_the_channel_is_found_behind_other_middlewares(shop: Shop) -> None:
    def outer(app):  # type: ignore[no-untyped-def]
        return lambda environ, start_response: app(environ, start_response)

    for app in (shop.app, shop.wrapped, outer(outer(shop.wrapped)), outer(shop.app)):
        with Client(app) as client:
            assert client.connect().is_open


def test_two_polls_that_end_each_other_for_ever_are_told_of(client: Client) -> None:
    ann = client.connect("poll")
    with pytest.raises(RuntimeError, match="Do two polls have one key, so that each ends the other"):
        client.connect("poll", key=ann.key)


def test_an_application_without_a_channel_is_told_apart() -> None:
    with pytest.raises(ValueError, match="no Cometware found in it"):
        Client(lambda environ, start_response: [])


def test_an_unknown_transport_is_told(client: Client) -> None:
    with pytest.raises(ValueError, match=r"connect\('carrier pigeon'\): expected one of websocket, sse, stream, poll, jsonp"):
        client.connect("carrier pigeon")
    with pytest.raises(ValueError, match=r"connect\('poll', plain=True\): expected one of websocket, sse"):
        client.connect("poll", plain=True)


def test_a_connection_tells_its_state(client: Client) -> None:
    ann: Connection = client.connect("sse")
    assert repr(ann) == f"<Connection sse of {ann.id}: open>"
    ann.drop()
    assert repr(ann) == f"<Connection sse of {ann.id}: dropped, or ended by the server>"
    with pytest.raises(AssertionError, match="cannot send 'message'; <Connection sse of"):
        ann.send("hello")


def test_another_site_may_be_visited() -> None:
    seen = []

    def app(environ, start_response):  # type: ignore[no-untyped-def]
        seen.append((environ["HTTP_HOST"], environ.get("HTTP_COOKIE")))
        start_response("204 No Content", [])
        return []

    with Client(Cometware(app, Channel()), host="testserver") as client:
        client.set_cookie("sessionid", "abc")
        client.get("/")
        assert client.connect("jsonp").is_open
    assert seen == [("testserver", "sessionid=abc")]
