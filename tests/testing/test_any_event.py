"""`channel.on("*")` gets what has no handler of its own; `but=` leaves out one client or several. On every transport."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from cometware import Channel, Cometware, Failed, Refused
from cometware.testing import Client
from tests.hooks.site import JSON, Site, World

TRANSPORTS = ["websocket", "sse", "stream", "poll"]


@pytest.fixture
def channel() -> Channel:
    channel = Channel()

    @channel.on("rename")
    def rename(client: Any, data: Any) -> Any:
        return {"named": data}

    @channel.on("*")
    def anything(client: Any, event: str, data: Any) -> Any:
        if event == "forbidden":
            raise Refused(403, "not this")
        client.data["last"] = event
        return [event, data, client.user]

    return channel


@pytest.fixture
def client(channel: Channel) -> Iterator[Client]:
    with Client(Cometware(Site(), channel)) as client:
        yield client


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_what_has_no_handler_of_its_own_comes_with_its_name(client: Client, channel: Channel, transport: str) -> None:
    ann = client.connect(transport)
    assert ann.ask("rename", 1) == {"named": 1}
    assert ann.ask("anything", {"a": b"\0"}) == ["anything", {"a": b"\0"}, None]
    assert ann.ask("*", 2) == ["*", 2, None]
    assert ann.ask("message", "plain") == ["message", "plain", None]
    with pytest.raises(Refused, match="403: not this"):
        ann.ask("forbidden")
    (present,) = channel.presence()
    assert present.data == {"last": "message"}


def test_a_message_has_its_own_handler_first(client: Client, channel: Channel) -> None:
    channel.on_message(lambda client, data: "of on_message")
    ann = client.connect()
    assert ann.ask("message", 1) == "of on_message"
    assert ann.ask("other", 1) == ["other", 1, None]


def test_coming_and_going_are_no_events(client: Client, channel: Channel) -> None:
    ann = client.connect()
    ann.drop()
    client.clock.advance(120)
    assert channel.presence() == []
    assert client.failures == []
    with pytest.raises(ValueError, match="a handler for '\\*' already"):
        channel.on("*")(lambda client, event, data: None)


def test_without_one_nothing_has_changed() -> None:
    channel = Channel()
    with Client(Cometware(Site(), channel)) as client, pytest.raises(Failed, match=r"event: no handler for '\*'"):
        client.connect().ask("*", 1)


def test_hooks_are_asked_only_if_there_is_none() -> None:
    world = World()
    world.channel.on("named")(lambda client, data: "named")
    assert world.say(event="other").status_code == 200
    assert world.site.paths(3) == ["/realtime/open", "/realtime/event/other", "/realtime/close"]
    world.channel.on("*")(lambda client, event, data: {"any": event})
    assert world.say(event="named").json == {"accepted": 1, "data": "named"}
    assert world.say(event="other").json == {"accepted": 1, "data": {"any": "other"}}
    assert world.say("plain").json == {"accepted": 1, "data": {"any": "message"}}
    assert set(world.site.paths(9)[3:]) == {"/realtime/open", "/realtime/close"}


# but=


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_several_are_left_out(client: Client, channel: Channel, transport: str) -> None:
    ann, bob, eve = (client.connect(transport) for _ in range(3))
    for one in (ann, bob, eve):
        channel.join(one.id, "room:a")
    channel.publish(1, but=[ann.id, bob.id])
    channel.publish(2, but=(bob.id,), to="room:a")
    channel.publish(3, but={ann.id, eve.id}, to=["room:a", f"client:{ann.id}"])
    channel.publish(4, but=[])
    channel.publish(5, but=iter([ann.id, ann.id, bob.id, eve.id]))
    channel.publish(6, but=None)
    assert [data for _, data in ann.messages] == [2, 4, 6]
    assert [data for _, data in bob.messages] == [3, 4, 6]
    assert [data for _, data in eve.messages] == [1, 2, 4, 6]


def test_who_comes_back_has_not_missed_what_was_not_for_it(client: Client, channel: Channel) -> None:
    ann, bob = client.connect(), client.connect()
    ann.drop()
    channel.publish("not for ann", but=[bob.id, ann.id])
    channel.publish("for all")
    ann.reconnect()
    assert [data for _, data in ann.messages] == ["for all"]


@pytest.mark.parametrize("but", [7, "", [""], ["a", 7], [["a"]], b"a", [None], object()])
def test_what_is_no_id_of_a_client_is_refused(channel: Channel, but: Any) -> None:
    with pytest.raises(ValueError, match=r"^but=.*: expected the id of a client, like client.id, or several"):
        channel.publish(1, but=but)


def test_a_hook_leaves_several_out() -> None:
    world = World()
    world.site.answers["/realtime/message"] = (200, JSON, b'{"publish":[{"data":1,"but":["a","b"]},{"data":2,"but":"a"}]}')
    assert world.say().status_code == 200
    assert [entry.message.left_out for entry in world.channel.log.since(0)] == [("a", "b"), ("a",)]
    world.site.answers["/realtime/message"] = (200, JSON, b'{"publish":[{"data":1,"but":["a",7]}]}')
    assert world.say().status_code == 500
