"""A SockJS session as the application sees it: its user, its presence, its end; on a server of ordinary clients."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import pytest

from tests.conformance.sockjs.session import PRELUDE, fresh, opened, post, post_bytes, stream
from tests.live.raw import UPGRADE, Line, ask, head, open_websocket
from tests.live.server import PATIENT, Server, serve

BASE = "/comet/sockjs"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(PATIENT | {"session_seconds": 60}) as server:
        yield server


@pytest.fixture(scope="module")
def forgetful() -> Iterator[Server]:
    with serve(PATIENT | {"session_seconds": 1}) as server:
        yield server


@pytest.fixture(scope="module")
def hasty() -> Iterator[Server]:
    with serve({"heartbeat_seconds": 0.5, "reauthorise_seconds": 0.5}) as server:
        yield server


def test_it_is_present_and_its_name_is_shown_nowhere(forgetful: Server) -> None:
    server = forgetful
    session = fresh(BASE)
    _, line = stream(server.port, session + "/xhr_streaming")
    with line:
        assert (line.chunk(), line.chunk()) == (PRELUDE, b"o\n")
        here = [one for one in server.get("/presence/*") if one["dialect"] == "sockjs"]
        assert [one["transport"] for one in here] == ["stream"]
        assert session.rpartition("/")[2] not in json.dumps(here)
        client = here[0]["id"]
    server.journal(1, kind="close", client=client)
    assert server.life_of(client) == ["open", "close"]


def test_an_event_shows_its_data_alone(server: Server) -> None:
    with open_websocket(server.port, fresh(BASE) + "/websocket") as line:
        assert line.frame() == (1, b"o")
        server.publish({"order": 7}, event="order")
        assert line.frame() == (1, b'a["{\\"order\\":7}"]')


def test_a_session_is_its_users_alone(server: Server) -> None:
    cookie = server.login("ann")
    session = fresh(BASE)
    assert post(server.port, session + "/xhr", cookie=cookie).body == b"o\n"
    assert post(server.port, session + "/xhr_send", b'["a"]').status == 404
    assert post(server.port, session + "/xhr_send", b'["a"]', cookie=server.login("bob")).status == 404
    assert post(server.port, session + "/xhr", cookie=server.login("bob")).body == b"o\n"
    assert post(server.port, session + "/xhr_send", b'["a"]', cookie=cookie).status == 204


def test_a_receiver_without_cookies_is_spoken_for_with_them(server: Server) -> None:
    session = fresh(BASE)
    opened(server.port, session)
    assert post(server.port, session + "/xhr_send", b'["mine"]', cookie=server.login("ann")).status == 204
    assert b"mine" in post(server.port, session + "/xhr").body


def test_a_refusal_is_told_in_a_frame_and_to_a_websocket_by_its_status(server: Server) -> None:
    assert post(server.port, fresh(BASE) + "/xhr?refuse=403").body == b'c[4403,"members only"]\n'
    assert post(server.port, fresh(BASE) + "/xhr?refuse=401").body == b'c[4401,"members only"]\n'
    assert post(server.port, fresh(BASE) + "/xhr?refuse=503").status == 503
    _, line = stream(server.port, fresh(BASE) + "/xhr_streaming?refuse=403")
    with line:
        assert (line.chunk(), line.chunk(), line.chunk()) == (PRELUDE, b'c[4403,"members only"]\n', b"")
    target = fresh(BASE) + "/websocket?refuse=403"
    assert ask(server.port, head("GET", target, {"Host": "127.0.0.1"} | UPGRADE)).status == 403


def test_a_refusal_behind_the_101_of_another_server_is_told_in_a_frame() -> None:
    command = [sys.executable, "-m", "tests.contract.servers.launch", "geventwebsocket"]
    with serve(command=command) as server, open_websocket(server.port, fresh(BASE) + "/websocket?refuse=403") as line:
        assert line.frame() == (1, b'c[4403,"members only"]')
        assert line.close_code() == 1000


def test_a_session_that_nobody_asks_for_ends(forgetful: Server) -> None:
    session = fresh(BASE)
    before = len(forgetful.journal(kind="close"))
    opened(forgetful.port, session)
    forgetful.journal(before + 1, kind="close")
    assert post(forgetful.port, session + "/xhr_send", b'["a"]').status == 404


def test_a_user_who_is_revoked_is_told_at_the_poll_and_at_the_next(server: Server) -> None:
    cookie = server.login("eve")
    session = fresh(BASE)
    assert post(server.port, session + "/xhr", cookie=cookie).body == b"o\n"
    server.post("/channel/revoke", user="eve")
    for _ in range(2):
        assert post(server.port, session + "/xhr", cookie=cookie).body == b'c[4410,"revoked"]\n'


def test_who_hears_nothing_hears_a_heartbeat(hasty: Server) -> None:
    session = fresh(BASE)
    opened(hasty.port, session)
    with Line(hasty.port) as line:
        for _ in range(2):
            assert line.send(post_bytes(session + "/xhr")).answer().body == b"h\n"
    for transport, method, beat in (("xhr_streaming", "POST", b"h\n"), ("eventsource", "GET", b"data: h\r\n\r\n")):
        _, line = stream(hasty.port, f"{fresh(BASE)}/{transport}", method)
        with line:
            line.chunk()
            line.chunk()
            assert (line.chunk(), line.chunk()) == (beat, beat)
    with open_websocket(hasty.port, fresh(BASE) + "/websocket") as line:
        assert line.frame() == (1, b"o")
        assert (line.frame(), line.frame()) == ((1, b"h"), (9, b""))


def test_a_users_stream_ends_now_and_then_so_that_the_next_comes_through_the_login(hasty: Server) -> None:
    cookie = hasty.login("ann")
    session = fresh(BASE)
    for beginning in ([PRELUDE, b"o\n"], [PRELUDE]):
        _, line = stream(hasty.port, session + "/xhr_streaming", cookie=cookie)
        with line:
            chunks = list(iter(line.chunk, b""))
        assert chunks[: len(beginning)] == beginning
        assert not [chunk for chunk in chunks if chunk.startswith(b"c")]
