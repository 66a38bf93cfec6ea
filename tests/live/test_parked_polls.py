"""A request on a parked connection is a client's next poll only if it is that client's: nobody hears another's mail."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conformance.engineio.sessions import Polls
from tests.live.clients import new_key
from tests.live.raw import Line, ask, request
from tests.live.server import PATIENT, Server

LIMITS = PATIENT | {"poll_seconds": 0.3, "heartbeat_seconds": 0.5}
SOCKETIO = "/comet/socket.io/"


def parked(server: Server, target: str, method: str = "GET", **headers: str) -> Line:
    """Make this poll twice on one line, so that it is parked and its head is known; return the line, at rest."""
    body = b"" if method == "POST" else None
    line = Line(server.port)
    for _ in range(2):
        line.send(request(method, target, body, **headers))
        assert line.answer().status == 200
    return line


def open_native(server: Server) -> tuple[str, str]:
    """Open a client; return its key and its id."""
    key = new_key()
    greeting = ask(server.port, request(target=f"/comet?key={key}")).json[0]["open"]
    return key, greeting["client"]


@pytest.mark.parametrize("query", ["?after={p}&key={k}", "?key={k}&after={p}", "?wait=1&after={p}&key={k}&x=1"])
def test_who_leaves_out_the_key_is_another_client(server: Server, query: str) -> None:
    key, client = open_native(server)
    position = server.publish("before")
    with parked(server, "/comet" + query.format(p=position, k=key)) as line:
        server.publish("private", to=f"client:{client}")
        stranger = "/comet" + query.replace("&key={k}", "").replace("key={k}&", "").format(p=position)
        answer = line.send(request(target=stranger)).answer()
    assert b"private" not in answer.body
    assert key not in answer.headers["link"]
    assert answer.json[0]["open"]["client"] != client


@pytest.mark.parametrize("query", ["?after={p}", "?after={p}&key={k}2", "?key={k}2&after={p}", "?after={p}&Key={k}"])
def test_a_key_of_another_client_behind_the_position_is_not_overlooked(server: Server, query: str) -> None:
    key, client = open_native(server)
    position = server.publish("before")
    with parked(server, f"/comet?after={position}&key={key}") as line:
        server.publish("private", to=f"client:{client}")
        answer = line.send(request(target="/comet" + query.format(p=position, k=key))).answer()
    assert b"private" not in answer.body
    assert answer.json[0]["open"]["client"] != client


@pytest.mark.parametrize("headers", [{"cookie": "session=b"}, {"last_event_id": "x-1"}, {}], ids=["cookie", "last", "less"])
def test_whose_head_differs_elsewhere_is_asked_who_he_is(server: Server, headers: dict[str, str]) -> None:
    key, client = open_native(server)
    position = server.publish("before")
    ann = {"cookie": server.login("ann")}
    greeting = ask(server.port, request(target=f"/comet?key={key}", **ann)).json[0]["open"]
    assert greeting["client"] != client, "a client is its key and its user"
    with parked(server, f"/comet?key={key}&after={position}", **ann) as line:
        server.publish("private", to="user:ann")
        answer = line.send(request(target=f"/comet?key={key}&after={position}", **headers)).answer()
    assert b"private" not in answer.body


def test_last_event_id_counts_also_where_the_query_has_a_position(server: Server) -> None:
    """The header goes before `after` (docs/protocol.md): what changes in the query then changes nothing."""
    key, _ = open_native(server)
    first = server.publish("first")
    with parked(server, f"/comet?key={key}&after={first}", last_event_id=first) as line:
        second = server.publish("second")
        line.send(request(target=f"/comet?key={key}&after={second}", last_event_id=first))
        assert [entry["data"] for entry in line.answer().json] == ["second"]


def connected(server: Server, more: str) -> Polls:
    """Open a Socket.IO session whose query has this behind its transport."""
    session = Polls(server.port, more=more)
    session.post("40")
    assert session.get().startswith("40")
    return session


@pytest.mark.parametrize("more", ["&after=7", "&after=x-7", "&t=a", "&after=x-7&t=a", "&t=a&after=x-7", ""])
def test_two_sessions_of_equal_headers_hear_their_own(server: Server, more: str) -> None:
    """`io(url, {query: {after: 7}})`, behind a proxy that makes their other headers equal and pools connections."""
    sessions = [connected(server, more) for _ in range(2)]
    heard: list[list[Any]] = [[], []]
    with Line(server.port) as line:
        for turn in range(12):
            which = turn * 5 % 2  # on one connection, now this client, now that
            session = sessions[which]
            session.post(f'421["echo",{turn}]')
            packets = line.send(request(target=f"{SOCKETIO}?{session.query}")).answer().body.decode().split("\x1e")
            heard[which] += [json.loads(packet[3:]) for packet in packets if packet.startswith("43")]
    assert heard == [[[turn] for turn in range(12) if turn * 5 % 2 == which] for which in (0, 1)]


def test_two_sockjs_sessions_whose_names_look_like_cache_busters_are_two(server: Server) -> None:
    first, second = (f"/comet/sockjs/000/a&t={number}/xhr" for number in (1, 2))
    before = len(server.journal(0, kind="open"))
    for target in (first, second):
        assert ask(server.port, request("POST", target, b"")).body == b"o\n"
    client = server.journal(before + 2, kind="open")[before]["client"]
    with parked(server, first, "POST") as line:
        server.publish("private", to=f"client:{client}")
        body = line.send(request("POST", second, b"")).answer().body
    assert b"private" not in body
    assert b"private" in ask(server.port, request("POST", first, b"")).body
