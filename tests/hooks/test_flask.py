"""A Flask application whose views are the handlers: on every transport, with its own login and its own protection."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from http import HTTPStatus
from typing import Any

import pytest

from cometware import testing
from tests.hooks import flask_site
from tests.live.clients import TRANSPORTS, Client, LongPoll, PlainPoll, Refusal, WebSocket, new_key
from tests.live.server import PATIENT, Server, serve


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(PATIENT | {"order_seconds": 60}, application="tests.hooks.flask_site:app") as server:
        yield server


@pytest.fixture(scope="module")
def hasty_server() -> Iterator[Server]:
    with serve(PATIENT | {"hook_seconds": 2}, application="tests.hooks.flask_site:app") as server:
        yield server


def refusal_of(client: Client) -> Refusal:
    try:
        with pytest.raises(Refusal) as refusal:
            client.open()
    finally:
        client.drop()
    return refusal.value


def error_of(client: Client, event: str, data: Any, n: int) -> Any:
    client.send(data, event=event, n=n, reply=True)
    return client.receive()["error"]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_who_is_not_logged_in_gets_the_applications_own_401(server: Server, transport: type[Client]) -> None:
    refusal = refusal_of(transport(server, login=1))
    assert refusal.status == 401
    assert b"<h1>Unauthorized</h1>" in refusal.body
    assert refusal.headers["content-type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("status", [403, 418, 503])
def test_a_refusal_comes_with_its_body_before_anything_else(server: Server, transport: type[Client], status: int) -> None:
    refusal = refusal_of(transport(server, refuse=status))
    assert (refusal.status, json.loads(refusal.body)) == (status, {"why": "members only"})
    assert refusal.headers["content-type"] == "application/json"


@pytest.mark.parametrize("target", ["/comet?refuse=403", "/comet?refuse=403&v=1"])
def test_a_post_is_refused_with_the_body_too(server: Server, target: str) -> None:
    for headers in ({}, {"Comet-Key": new_key()}):
        status, _, body = server.request("POST", target, b'{"data":1}', headers)
        assert (status, json.loads(body)) == (403, {"why": "members only"})


def test_a_redirect_refuses_and_is_not_followed(server: Server) -> None:
    status, headers, body = server.request("GET", "/comet?redirect=1&transport=sse")
    assert (status, headers["Location"]) == (302, None)
    assert b"Redirecting" in body


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_every_view_sees_the_clients_own_cookies(server: Server, transport: type[Client]) -> None:
    cookies = {name: server.login(name) for name in ("ann", "bob")}
    with ExitStack() as stack:
        clients = {name: stack.enter_context(transport(server, cookie=cookie, login=1)) for name, cookie in cookies.items()}
        for name, client in clients.items():
            seen = client.ask("whoami", None, 1)
            assert seen["user"] == name
            assert "session=" + seen["cookies"]["session"] == cookies[name]
            assert seen["url"] == "http://127.0.0.1/realtime/event/whoami"
            (line,) = server.journal(1, client=client.id, kind="open")
            assert (line["user"], line["transport"]) == (name, {PlainPoll: "poll"}.get(transport, transport.transport))


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_stranger_is_refused_by_the_view_that_requires_a_login(server: Server, transport: type[Client]) -> None:
    with transport(server) as client:
        error = error_of(client, "whoami", None, 1)
        assert (error["code"], error["status"], error["message"]) == ("refused", 401, "Unauthorized")
        assert "<h1>Unauthorized</h1>" in error["body"]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_view_refuses_one_message_and_the_next_is_handled(server: Server, transport: type[Client]) -> None:
    with transport(server) as client:
        assert error_of(client, "refused", None, 1) == {
            "code": "refused", "message": HTTPStatus(422).phrase, "status": 422, "body": {"field": "name"},
        }  # fmt: skip
        assert client.ask("move", {"name": "Ann"}, 2) == {"name": "Ann"}
        error = error_of(client, "nowhere", None, 3)
        assert (error["code"], error["status"]) == ("refused", 404)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_view_lets_join_and_leave_and_publishes(server: Server, transport: type[Client]) -> None:
    room = f"room:{new_key()}"
    with transport(server) as client, transport(server) as other:
        for who in (client, other):
            assert who.ask("move", {"join": [room], "ok": True}, 1) == {"ok": True}
        publish = [{"data": "to the room", "to": room, "event": "news"}, {"data": "not to me", "to": room, "but": client.id}]
        client.send({"publish": publish}, event="move", n=2)
        assert client.data(1) == ["to the room"]
        assert other.data(2) == ["to the room", "not to me"]
        assert other.ask("move", {"leave": [room]}, 2) is None
        server.post("/publish", data="later", to=room)
        server.post("/publish", data="to both", to=[f"client:{client.id}", f"client:{other.id}"])
        assert client.data(2) == ["later", "to both"]
        assert other.data(1) == ["to both"]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_every_opening_has_its_close(server: Server, transport: type[Client]) -> None:
    cookie = server.login("ann")
    with transport(server, cookie=cookie, lobby=1) as client:
        client.send("hello", n=1)
        assert client.data(1) == [{"from": "ann", "text": "hello"}]
        client.leave()
        (line,) = server.journal(1, client=client.id, kind="close")
        assert (line["reason"], line["user"]) == ("left", "ann")
        assert server.life_of(client.id) == ["open", "message", "close"]


def test_who_drops_out_is_closed_when_the_grace_is_over() -> None:
    with testing.Client(flask_site.app) as client:
        ann = client.connect()
        ann.drop()
        client.clock.advance(59.75)
        assert flask_site.journal.read({"client": ann.id, "kind": "close"}) == []
        client.clock.advance(0.25)
        (line,) = flask_site.journal.read({"client": ann.id, "kind": "close"})
        assert line["reason"] == "timeout"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_clients_messages_reach_the_view_one_at_a_time_and_in_order(server: Server, transport: type[Client]) -> None:
    with transport(server) as client:
        for number in range(1, 31):
            client.send(number, event="note", n=number)
        client.acknowledged(30) if isinstance(client, WebSocket) else [client.answer() for _ in range(30)]
        lines = server.journal(60, client=client.id)[1:]
        assert [(line["kind"], line["data"]) for line in lines] == [
            (kind, number) for number in range(1, 31) for kind in ("begin", "end")
        ]


def test_a_view_that_waits_delays_nobody_else(server: Server) -> None:
    gate = new_key()
    with WebSocket(server) as slow, WebSocket(server) as other:
        slow.send(gate, event="wait", n=1, reply=True)
        server.journal(1, kind="begin", data=gate)
        assert other.ask("move", 1, 1) == 1
        server.post(f"/gate/{gate}")
        assert slow.data(1) == ["done"]


@pytest.mark.parametrize("event", ["wait", "sleep"])
def test_a_view_that_takes_too_long_is_ended_and_the_next_message_is_handled(hasty_server: Server, event: str) -> None:
    mark = new_key()
    with WebSocket(hasty_server) as client:
        error = error_of(client, event, mark, 1)
        assert error == {
            "code": "refused", "message": "the application took longer than Limits.hook_seconds=2", "status": 504,
        }  # fmt: skip
        (line,) = hasty_server.journal(1, kind="torn down", data=mark)
        assert line["error"] == "GreenletExit"
        assert client.ask("move", 1, 2) == 1


def test_a_view_that_blocks_its_thread_delays_nobody_else_and_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THREADS", "2")
    with serve(PATIENT | {"hook_seconds": 2}, application="tests.hooks.flask_site:app") as server:
        cookie = server.login("ann")
        with WebSocket(server, cookie=cookie, login=1) as slow, WebSocket(server, cookie=cookie) as other:
            slow.send(4, event="block", n=1, reply=True)
            slow.send(None, event="whoami", n=2, reply=True)
            assert other.ask("whoami", None, 1)["user"] == "ann"
            assert slow.receive()["error"]["status"] == 504
            assert slow.receive()["data"]["user"] == "ann"


def test_the_sites_own_protection_stands_for_everybody_but_the_channel(server: Server) -> None:
    cookie = server.login("ann")
    forged = {"Cookie": cookie, "Cometware-Hook": "1", "cometware.hook": "1"}
    status, _, body = server.request("POST", "/form", b"", forged)
    assert status == 400 and b"CSRF" in body
    for path in ("/realtime/message", "/realtime/event/whoami", "//realtime/message", "/%72ealtime/message", "/realtime"):
        assert server.request("POST", path, b"{}", forged | {"Content-Type": "application/json"})[0] == 404
    with WebSocket(server, cookie=cookie) as client:
        assert client.ask("whoami", None, 1)["user"] == "ann"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_python_handler_wins(server: Server, transport: type[Client]) -> None:
    with transport(server, cookie=server.login("ann")) as client:
        assert client.ask("python", None, 1) == {"by": "a handler", "of": "ann"}
        assert client.ask("whoami", None, 2)["user"] == "ann"


def test_a_client_that_polls_is_known_by_todays_cookies(server: Server) -> None:
    """A session in a cookie changes; what the views see is what came last."""
    old, new = server.login("ann"), server.login("ann") + "; theme=dark"
    key = new_key()
    with LongPoll(server, key=key, cookie=old) as client:
        assert "theme" not in client.ask("whoami", None, 1)["cookies"]
        client.cookie = new
        assert client.ask("whoami", None, 2)["cookies"]["theme"] == "dark"
