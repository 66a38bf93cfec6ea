"""A newer connection replaces an older one of its client; an old login is asked to come back."""

from __future__ import annotations

import pytest

from tests.live.clients import Client, Ended, EventStream, LongPoll, Stream, WebSocket
from tests.live.plain import PlainWebSocket
from tests.live.server import Server

LIMITS = {"overlap_seconds": 0.5, "reauthorise_seconds": 1, "poll_seconds": 60, "grace_seconds": 120}
STREAMS = pytest.mark.parametrize("transport", [WebSocket, EventStream, Stream])


@STREAMS
def test_the_older_connection_ends_and_the_client_stays(server: Server, transport: type[Client]) -> None:
    with transport(server) as older, older.hop(transport) as newer:
        assert older.receive() == {"close": {"code": 4003, "reason": "replaced by a newer connection"}}
        with pytest.raises(Ended):
            older.receive()
        server.publish("new")
        assert newer.data(1) == ["new"]
        assert server.life_of(newer.id) == ["open"]


def test_a_poll_ends_an_older_poll_at_once(server: Server) -> None:
    with LongPoll(server) as older:
        older.listen()
        server.until(f"/presence/client:{older.id}", lambda here: here[0]["transport"] == "poll")
        with older.hop(LongPoll) as newer:
            assert older.heartbeat() == {"ping": older.position}
            server.publish("new")
            assert newer.data(1) == ["new"]


@STREAMS
def test_an_old_login_is_asked_to_come_back(server: Server, transport: type[Client]) -> None:
    with transport(server, cookie=server.login("ann")) as client:
        assert client.receive() == {"reconnect": {"wait_seconds": 0}}
        with client.hop(transport) as again:
            assert again.greeting["recovered"] is True
            assert server.life_of(client.id) == ["open"]


def test_an_old_login_on_a_plain_websocket_ends_with_4001(server: Server) -> None:
    with PlainWebSocket(server, cookie=server.login("ann")) as socket:
        assert socket.await_close() == (4001, "come back through the application's login")


def test_who_never_logged_in_is_left_in_peace(server: Server) -> None:
    with WebSocket(server) as anonymous, WebSocket(server, cookie=server.login("ann")) as ann:
        assert ann.receive() == {"reconnect": {"wait_seconds": 0}}
        assert anonymous.waiting(1) == []
