"""Log out and it is over: a revoked user's clients end at once, on every transport.

Nothing here happens by a clock for almost a minute: what arrives before was sent for what the test did.
"""

from __future__ import annotations

import pytest

from tests.live.clients import TRANSPORTS, Client, Ended, Jsonp, WebSocket, new_key
from tests.live.plain import EventSource, PlainWebSocket
from tests.live.server import PATIENT, Server

REVOKED = {"close": {"code": 4410, "reason": "revoked"}}
LIMITS = PATIENT | {"poll_seconds": 60}
EVERY = pytest.mark.parametrize("transport", [*TRANSPORTS, Jsonp])


@EVERY
def test_a_revoked_user_is_told_at_once_not_to_come_back(server: Server, transport: type[Client]) -> None:
    with transport(server, cookie=server.login("mallory")) as client:
        client.listen()
        server.post("/channel/revoke", user="mallory")
        assert client.receive() == REVOKED
        with pytest.raises(Ended):
            client.receive()
        server.journal(1, client=client.id, kind="close", reason="revoked")


@EVERY
def test_who_is_revoked_while_away_or_between_two_polls_is_told_at_the_next_request(
    server: Server, transport: type[Client]
) -> None:
    with transport(server, cookie=server.login("trudy")) as client:
        if client.transport != "poll":
            client.drop()
        server.post("/channel/revoke", user="trudy")
        server.journal(1, client=client.id, kind="close", reason="revoked")
        if client.transport != "poll":
            client = client.hop(transport)
            client.begin()
        try:
            assert client.receive() == REVOKED
        finally:
            client.drop()


def test_all_clients_of_a_user_are_revoked_and_nobody_elses(server: Server) -> None:
    cookie = server.login("eve")
    with WebSocket(server, cookie=server.login("bob")) as bob, WebSocket(server, cookie=cookie) as one:
        with Jsonp(server, cookie=cookie) as other, PlainWebSocket(server, cookie=cookie) as plain:
            server.post("/channel/revoke", user="eve")
            assert one.receive() == other.receive() == REVOKED
            assert plain.await_close() == (4410, "revoked")
        server.publish("still here")
        assert bob.data(1) == ["still here"]


def test_an_event_source_that_is_revoked_does_not_come_back(server: Server) -> None:
    """It comes back by itself, unless it is answered by 204 (HTML §9.2.3)."""
    with EventSource(server, cookie=server.login("oscar"), key=new_key()) as source:
        server.post("/channel/revoke", user="oscar")
        source.await_end()
        assert source.reconnect().status == 204
