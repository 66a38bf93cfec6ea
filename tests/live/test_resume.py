"""Where a client begins to read, and what it is told when that place is not to be had."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.live.clients import TRANSPORTS, Client, EventStream, Stream, WebSocket, new_key
from tests.live.plain import Event, EventSource, PlainWebSocket
from tests.live.server import PATIENT, Server, serve

LIMITS = PATIENT | {"window_entries": 50}
NATIVE = pytest.mark.parametrize("transport", TRANSPORTS)


@pytest.fixture(scope="module")
def hasty_server() -> Iterator[Server]:
    with serve({"heartbeat_seconds": 0.5}) as server:
        yield server


def publish(server: Server, *data: object) -> list[str]:
    return [server.publish(one) for one in data]


def forgotten_position(server: Server) -> str:
    """Return a position whose next entry the window has let go of."""
    position = server.publish("soon forgotten")
    server.post("/flood", count=60)
    server.until("/history/1", lambda shown: shown[0][1] == 60)
    return position


# after=


@NATIVE
def test_after_is_where_a_client_begins_to_read(server: Server, transport: type[Client]) -> None:
    first, second, third = publish(server, "a", "b", "c")
    with transport(server, after=first) as client:
        assert [client.receive()["id"], client.receive()["id"]] == [second, third]


@NATIVE
def test_a_position_that_a_page_was_rendered_with_misses_nothing(server: Server, transport: type[Client]) -> None:
    rendered = server.get("/position")
    server.publish("between page and channel")
    with transport(server, after=rendered) as client:
        assert client.data(1) == ["between page and channel"]


def test_a_plain_websocket_begins_where_it_says(server: Server) -> None:
    first, _, _ = publish(server, "a", "b", {"c": [1]})
    with PlainWebSocket(server, after=first) as socket:
        assert [socket.receive(), socket.receive()] == ["b", '{"c":[1]}']


# What is not to be had


@NATIVE
@pytest.mark.parametrize(
    ("after", "reason"),
    [
        ("garbage", "position"),
        ("-", "position"),
        ("another_log-1", "epoch"),
        ("{epoch}-999999999", "ahead"),
        ("{forgotten}", "forgotten"),
    ],
)
def test_a_position_that_is_not_to_be_had_is_reset_with_its_reason(
    server: Server, transport: type[Client], after: str, reason: str
) -> None:
    epoch = server.get("/position").partition("-")[0]
    position = after.format(epoch=epoch, forgotten=forgotten_position(server) if "forgotten" in after else "")
    with transport(server, after=position) as client:
        head = server.get("/position")
        assert client.receive() == {"reset": {"reason": reason, "position": head}}
        assert client.greeting["recovered"] is False
        assert client.greeting["position"] == head
        (new,) = publish(server, "new")
        assert client.receive() == {"id": new, "event": "message", "data": "new"}


@NATIVE
def test_a_client_that_is_known_is_reset_too(server: Server, transport: type[Client]) -> None:
    with transport(server) as client:
        client.drop()
        forgotten_position(server)
        with client.hop(transport) as again:
            assert again.receive()["reset"]["reason"] == "forgotten"
            server.publish("new")
            assert again.data(1) == ["new"]
            assert server.life_of(client.id) == ["open"]


def test_only_forgotten_mail_of_ones_own_is_a_reset(server: Server) -> None:
    with WebSocket(server) as client:
        client.drop()
        for number in range(60):
            server.publish(number, to="room:of others")
        with client.hop(WebSocket) as again:
            server.publish("mine")
            assert again.data(1) == ["mine"]


def test_plain_sse_tells_a_reset_as_an_event(server: Server) -> None:
    with EventSource(server, after="another_log-1") as source:
        head = server.get("/position")
        assert source.event() == Event("reset", '{"reason": "epoch"}', head)
        (new,) = publish(server, "new")
        assert source.event() == Event("message", "new", new)


def test_a_plain_websocket_is_closed_when_its_history_is_lost(server: Server) -> None:
    with PlainWebSocket(server, after="another_log-1") as socket:
        assert socket.await_close() == (4002, '{"reset": {"reason": "epoch"}}')


# last=


@NATIVE
def test_last_begins_with_the_newest_entries(server: Server, transport: type[Client]) -> None:
    positions = publish(server, "a", "b", "c")
    with transport(server, last=2) as client:
        assert [client.receive() for _ in range(2)] == [
            {"id": positions[1], "event": "message", "data": "b"},
            {"id": positions[2], "event": "message", "data": "c"},
        ]
        server.publish("new")
        assert client.data(1) == ["new"]


@NATIVE
def test_last_does_not_count_beside_a_position(server: Server, transport: type[Client]) -> None:
    first, _ = publish(server, "a", "b")
    with transport(server, after=first, last=50) as client:
        assert client.data(1) == ["b"]
        server.publish("new")
        assert client.data(1) == ["new"]


@NATIVE
def test_last_counts_after_a_reset(server: Server, transport: type[Client]) -> None:
    publish(server, "a", "b")
    with transport(server, after="another_log-1", last=2) as client:
        assert client.receive()["reset"]["reason"] == "epoch"
        assert client.data(2) == ["a", "b"]
        server.publish("new")
        assert client.data(1) == ["new"]


BOUNDED = {"last_entries": 5, "last_bytes": 2000}


@pytest.fixture(scope="module")
def bounded() -> Iterator[Server]:
    with serve(PATIENT | BOUNDED) as server:
        yield server


@NATIVE
@pytest.mark.parametrize("last", [6, 99999])
def test_last_goes_no_further_back_than_the_limits_that_the_greeting_tells(
    bounded: Server, transport: type[Client], last: int
) -> None:
    publish(bounded, *range(8))
    with transport(bounded, last=last) as client:
        assert {name: client.greeting["limits"][name] for name in BOUNDED} == BOUNDED
        assert client.data(5) == [3, 4, 5, 6, 7]
        bounded.publish("new")
        assert client.data(1) == ["new"]
    publish(bounded, 8, "x" * 900, "é" * 450)
    with transport(bounded, last=last) as client:
        assert client.data(2) == ["x" * 900, "é" * 450]
    bounded.publish("x" * 5000)
    with transport(bounded, after="another_log-1", last=last) as client:
        assert client.receive()["reset"]["reason"] == "epoch"
        assert client.data(1) == ["x" * 5000]


def test_plain_clients_go_no_further_back_either(bounded: Server) -> None:
    publish(bounded, *range(8))
    with EventSource(bounded, last=99999) as source, PlainWebSocket(bounded, last=99999) as socket:
        assert [source.event().data for _ in range(5)] == ["3", "4", "5", "6", "7"]
        assert [socket.receive() for _ in range(5)] == ["3", "4", "5", "6", "7"]
    assert [data for _, data in bounded.get("/history/7")] == [1, 2, 3, 4, 5, 6, 7]  # the application's own number


def test_history_is_what_this_client_may_hear(server: Server) -> None:
    server.publish("secret", to="room:history")
    server.publish("for bob", to="user:bob")
    server.publish("for all")
    with WebSocket(server, last=1) as outsider, WebSocket(server, last=2, room="room:history") as member:
        server.publish("new")
        assert outsider.data(2) == ["for all", "new"]
        assert member.data(3) == ["secret", "for all", "new"]


def test_plain_clients_begin_with_their_history(server: Server) -> None:
    positions = publish(server, "a", {"b": 1})
    with EventSource(server, last=2) as source, PlainWebSocket(server, last=2) as socket:
        assert source.event() == Event("message", "a", positions[0])
        assert source.event() == Event("message", '{"b":1}', positions[1])
        assert [socket.receive(), socket.receive()] == ["a", '{"b":1}']
        (new,) = publish(server, "new")
        assert source.event() == Event("message", "new", new)
        assert socket.receive() == "new"


# Last-Event-ID


def test_an_event_source_resumes_by_itself(server: Server) -> None:
    with EventSource(server, key=new_key()) as source:
        publish(server, "a", "b")
        assert [source.event().data, source.event().data] == ["a", "b"]
        source.drop()
        publish(server, "c")
        source.reconnect()
        assert source.event().data == "c"


def test_an_event_source_without_a_key_resumes_as_well(server: Server) -> None:
    with EventSource(server) as source:
        publish(server, "a")
        assert source.event().data == "a"
        source.drop()
        publish(server, "b")
        source.reconnect()
        assert source.event().data == "b"


def test_an_event_source_that_heard_nothing_has_a_last_event_id(server: Server) -> None:
    with EventSource(server) as source:
        source.await_last_event_id(server.get("/position"))
        source.drop()
        publish(server, "while away")
        source.reconnect()
        assert source.event().data == "while away"


def test_the_last_event_id_is_newer_than_the_address(server: Server) -> None:
    first, _, _ = publish(server, "a", "b", "c")
    with EventSource(server, after=first) as source:
        assert [source.event().data, source.event().data] == ["b", "c"]
        source.reconnect()
        publish(server, "d")
        assert source.event().data == "d"


def test_a_heartbeat_moves_the_last_event_id_without_an_event(hasty_server: Server) -> None:
    with EventSource(hasty_server) as source:
        position = hasty_server.publish("for others", to="room:of others")
        source.await_last_event_id(position)
        (new,) = publish(hasty_server, "new")
        assert source.event() == Event("message", "new", new)


def test_an_unknown_last_event_id_is_reset(server: Server) -> None:
    source = EventSource(server)
    source.last_event_id = "from another server"
    with source:
        assert source.event() == Event("reset", '{"reason": "position"}', server.get("/position"))


# The end, for those who come back by themselves


def test_the_event_source_of_a_closed_client_is_told_not_to_come_back(server: Server) -> None:
    room = "room:" + new_key()
    with EventSource(server, key=new_key(), room=room) as source:
        (here,) = server.get(f"/presence/{room}")
        server.post("/channel/close", client_id=here["id"], code=4403, reason="no")
        source.await_end()
        assert source.reconnect().status == 204


def test_a_closed_plain_websocket_is_told_the_code(server: Server) -> None:
    room = "room:" + new_key()
    with PlainWebSocket(server, room=room) as socket:
        (here,) = server.get(f"/presence/{room}")
        server.post("/channel/close", client_id=here["id"], code=4403, reason="no")
        assert socket.await_close() == (4403, "no")


@pytest.mark.parametrize("transport", [WebSocket, EventStream, Stream])
def test_what_was_said_before_a_close_arrives_before_it(server: Server, transport: type[Client]) -> None:
    with transport(server) as client:
        server.publish("last words")
        server.post("/channel/close", client_id=client.id, code=4410, reason="over")
        assert client.data(1) == ["last words"]
        assert client.receive() == {"close": {"code": 4410, "reason": "over"}}


# What plain clients see


def test_plain_clients_see_text_as_it_is_and_all_else_as_json(server: Server) -> None:
    with EventSource(server) as source, PlainWebSocket(server) as socket:
        cases: list[tuple[object, str]] = [
            ("a\nb", "a\nb"),
            ("[1]", "[1]"),
            ([1], "[1]"),
            (None, "null"),
            ("", ""),
            ({}, "{}"),
        ]
        for data, shown in cases:
            server.publish(data)
            assert (source.event().data, socket.receive()) == (shown, shown)


def test_plain_sse_names_events_and_a_plain_websocket_does_not(server: Server) -> None:
    with EventSource(server) as source, PlainWebSocket(server) as socket:
        position = server.publish({"order": 7}, event="order")
        assert source.event() == Event("order", '{"order":7}', position)
        assert socket.receive() == '{"order":7}'


def test_bytes_are_a_binary_frame_or_a_data_url(server: Server) -> None:
    with EventSource(server) as source, PlainWebSocket(server) as socket, WebSocket(server) as sender:
        sender.send({"$bytes": "AP8Q"}, event="publish")
        assert socket.receive() == b"\x00\xff\x10"
        assert source.event().data == "data:;base64,AP8Q"


def test_what_a_plain_websocket_says_is_text_or_bytes_and_nothing_else(server: Server) -> None:
    with PlainWebSocket(server) as socket, WebSocket(server) as witness:
        socket.send('{"n": 1, "event": "join", "data": "room:x"}')
        socket.send(b"\x00\xff\x10")
        assert [entry["data"] for entry in witness.data(2)] == [
            '{"n": 1, "event": "join", "data": "room:x"}',
            {"$bytes": "AP8Q"},
        ]


def test_a_plain_websocket_is_given_the_first_subprotocol_that_the_application_allows() -> None:
    with serve(PATIENT, subprotocols="superchat v2.superchat") as server:
        with PlainWebSocket(server, "chat", "superchat") as socket:
            assert socket.head.headers["sec-websocket-protocol"] == "superchat"
        with PlainWebSocket(server, "chat") as socket:
            assert "sec-websocket-protocol" not in socket.head.headers
