"""What a review provoked, once each: whatever a peer does, nothing is left behind and nobody else is kept waiting."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.live.clients import new_key
from tests.live.http import drop
from tests.live.raw import Answer, Line, ask, masked, open_websocket, request, shape
from tests.live.server import PATIENT, Server, serve

APPLICATION = "tests.live.watched:app"
LIMITS = PATIENT | {"poll_seconds": 60, "order_seconds": 60, "max_waiting_messages": 100}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(LIMITS, application=APPLICATION) as server:
        server.get("/")
        ask(server.port, request(target="/comet?wait=0"))
        yield server


@pytest.fixture(scope="module")
def forgetful() -> Iterator[Server]:
    """A server whose log forgets soon, and that soon ends replaced connections."""
    with serve(PATIENT | {"window_entries": 100, "overlap_seconds": 0.5}, application=APPLICATION) as server:
        yield server


def opened(server: Server, key: str, **headers: str) -> dict[str, Any]:
    """Open a client and return its greeting."""
    greeting: dict[str, Any] = ask(server.port, request(comet_key=key, **headers)).json[0]["open"]
    return greeting


def listeners(server: Server) -> int:
    return int(server.get("/watch")["listeners"])


def held(server: Server, line: Line, poll: bytes) -> None:
    """Send a poll, and wait until it is held."""
    before = listeners(server)
    line.send(poll)
    server.until("/watch", lambda seen: seen["listeners"] == before + 1)


def websocket(server: Server, **headers: str) -> tuple[Line, str]:
    line = open_websocket(server.port, "/comet?v=1", **headers)
    return line, shape(line, "open")["client"]


def say(line: Line, *shapes: Any) -> None:
    line.send(masked(1, json.dumps(shapes).encode()))


# Requests


@pytest.mark.parametrize("chunked", [False, True], ids=["by its length", "in chunks"])
def test_no_byte_of_a_gets_body_is_taken_for_the_next_request(server: Server, chunked: bool) -> None:
    key = new_key()
    opened(server, key)
    target = f"/comet?after={server.publish('before')}"
    smuggled = request(target="/position")
    if chunked:
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(smuggled), smuggled)
        poll = request(target=target, comet_key=key, transfer_encoding="chunked") + body
    else:
        poll = request(target=target, body=smuggled, comet_key=key)
    with Line(server.port) as line:
        held(server, line, poll)
        server.publish("news")
        assert [one["data"] for one in line.answer().json] == ["news"]
        assert line.read_to_end() == b""


def test_a_callback_whose_name_is_escaped_is_jsonp_too(server: Server) -> None:
    cookie, key = server.login("ann"), new_key()
    answer = ask(server.port, request(target=f"/comet?%63allback=hear&key={key}", cookie=cookie))
    assert answer.body.startswith(b"/**/hear(")
    client = json.loads(answer.body[len(b"/**/hear(") : -len(b");")])[0]["open"]["client"]
    assert [line["user"] for line in server.journal(1, client=client, kind="open")] == [None]


def test_a_position_ahead_of_the_log_is_a_reset_on_a_known_line_too(server: Server) -> None:
    key = new_key()
    opened(server, key)
    with Line(server.port) as line:
        for number in range(2):
            position = str(server.get("/position"))
            held(server, line, request(target=f"/comet?after={position}", comet_key=key))
            server.publish(number)
            assert [one["data"] for one in line.answer().json] == [number]
        position = str(server.get("/position"))
        ahead = position.partition("-")[0] + "-999999"
        (reset,) = line.send(request(target=f"/comet?after={ahead}", comet_key=key)).answer().json
        assert reset == {"reset": {"reason": "ahead", "position": position}}


def test_a_request_behind_a_large_answer_to_a_slow_reader_is_answered_intact(server: Server) -> None:
    key = new_key()
    opened(server, key)
    position = server.publish("before")
    with Line(server.port) as line:
        line.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        held(server, line, request(target=f"/comet?after={position}", comet_key=key))
        line.send(request(target="/held"))
        server.until("/watch", lambda seen: seen["early requests"] == 1)
        server.post("/burst", messages=[{"data": "x" * 60_000} for _ in range(200)])
        data = [one["data"] for one in line.answer().json]
        assert data and set(data) == {"x" * 60_000}
        assert "greenlets" in line.answer().json


def test_there_is_one_plan_for_a_clients_polls_and_it_goes_with_the_client(server: Server) -> None:
    key = new_key()
    client = opened(server, key)["client"]
    before = server.get("/watch")["plans"]
    with Line(server.port) as line:
        for number in range(5):
            position = server.get("/position")
            held(server, line, request(target=f"/comet?wait=3{number}&after={position}", comet_key=key))
            server.publish(number)
            assert line.answer().status == 200
        assert server.get("/watch")["plans"] == before + 1
    server.post("/channel/close", client_id=client, code=4400)
    server.until("/watch", lambda seen: seen["plans"] == before)


# Clients that vanish


def test_a_reset_while_on_open_runs_leaves_no_ghost(server: Server) -> None:
    count = len(server.journal(kind="open"))
    with Line(server.port) as line:
        line.send(request(target="/comet?transport=sse&gate=ghost"))
        client = server.journal(count + 1, kind="open")[-1]["client"]
        drop(line.sock, reset=True)
        server.post("/gate/ghost")
    server.journal(1, client=client, kind="close")
    assert server.life_of(client) == ["open", "close"]


def test_connections_that_die_while_they_catch_up_leave_no_listener(server: Server) -> None:
    opens, closes = len(server.journal(kind="open")), len(server.journal(kind="close"))
    server.post("/burst", messages=[{"data": number} for number in range(20)])
    epoch = server.get("/position").partition("-")[0]
    for _ in range(50):
        with Line(server.port) as line:
            line.send(request(target=f"/comet?transport=sse&after={epoch}-0"))
    server.journal(opens + 50, kind="open")
    server.journal(closes + 50, kind="close")
    seen = server.get("/watch")
    assert (seen["dead listeners"], seen["clients alone"]) == (0, 0)


def test_a_client_that_only_posts_keeps_its_grace(server: Server) -> None:
    def post(number: int) -> None:
        body = json.dumps({"n": number, "data": number}).encode()
        answer = ask(server.port, request("POST", body=body, content_type="application/json", comet_key=key))
        assert answer.json == {"accepted": number}

    key = new_key()
    client = opened(server, key)["client"]
    post(1)
    first = server.get("/watch")
    server.until("/watch", lambda seen: seen["tick"] > first["tick"] + 1)
    post(2)
    assert server.get("/watch")["away"][client] > first["away"][client]


# Messages


def test_an_array_of_pings_is_answered_once(server: Server) -> None:
    line, _ = websocket(server)
    with line:
        line.send(masked(1, b"[" + b",".join([b'{"ping":0}'] * 100) + b"]"))
        line.send(masked(1, b"{"))
        heard: list[str] = []
        while "error" not in heard:
            opcode, payload = line.frame()
            assert opcode == 1
            heard += json.loads(payload)
        assert heard == ["ping", "error"]


def test_early_numbers_are_bounded_though_they_are_all_the_same(server: Server) -> None:
    line, client = websocket(server)
    with line:
        say(line, *[{"n": 9, "data": 0}] * 100)
        say(line, {"n": 9, "data": 0})
        assert shape(line, "error")["code"] == "number"
        assert server.get("/watch")["early messages"][client] == 100


def test_two_posts_with_the_same_early_number_are_both_answered(server: Server) -> None:
    def post(number: int) -> Answer:
        body = json.dumps({"n": number, "data": number}).encode()
        return ask(server.port, request("POST", body=body, content_type="application/json", comet_key=key))

    key = new_key()
    client = opened(server, key)["client"]
    with ThreadPoolExecutor(2) as pool:
        early = [pool.submit(post, 2) for _ in range(2)]
        server.until("/watch", lambda seen: seen["early messages"][client] == 2)
        assert post(1).status == 200
        assert [one.result().json for one in early] == [{"accepted": 2}, {"accepted": 2}]


def test_empty_continuation_frames_cost_nothing(server: Server) -> None:
    with open_websocket(server.port) as line:
        line.send(masked(1, b"x", fin=False) + masked(0, b"", fin=False) * 10_000 + masked(9, b"here"))
        assert line.frame() == (10, b"here")
        assert server.get("/watch")["parts"] == [1]


# The log


def test_newcomers_are_served_during_a_steady_flood(server: Server) -> None:
    server.post("/steady_flood/on")
    try:
        with Line(server.port) as line:
            line.send(request(target="/comet?transport=stream")).head()
            while b'"data":"flood"' not in line.chunk():
                pass
    finally:
        server.post("/steady_flood/off")


def test_a_revoked_user_is_gone_though_the_log_has_forgotten_that(forgetful: Server) -> None:
    line, client = websocket(forgetful, cookie=forgetful.login("ann"))
    with line:
        forgetful.post("/flood_after/revoke", user="ann")
        assert line.close_code() == 4410
    forgetful.journal(1, client=client, kind="close", reason="revoked")


def test_who_was_joined_hears_the_room_though_the_log_has_forgotten_that(forgetful: Server) -> None:
    line, client = websocket(forgetful)
    with line:
        forgetful.post("/flood_after/join", client_id=client, room="room:late")
        forgetful.publish("to the room", to="room:late")
        forgetful.publish("to all")
        assert shape(line, "data") == "to the room"


def test_replaced_connections_end_for_who_is_logged_in_too(forgetful: Server) -> None:
    who = {"cookie": forgetful.login("bob"), "comet_key": new_key()}
    older, _ = websocket(forgetful, **who)
    newer, _ = websocket(forgetful, **who)
    with older, newer:
        assert older.close_code() == 4003


# The access log


def test_the_access_log_does_not_tell_a_clients_key() -> None:
    key = new_key()
    command = [sys.executable, "-m", "cometware", "serve", APPLICATION, "--bind", "127.0.0.1:0", "--access-log"]
    with serve(application=APPLICATION, command=command) as server:
        assert ask(server.port, request(target=f"/comet?wait=0&key={key}&last=1")).status == 200
        server.until("/position", lambda _: "GET /comet?wait=0" in server.errors)
        assert "GET /comet?wait=0&key=…&last=1 HTTP/1.1" in server.errors
        assert key not in server.errors
