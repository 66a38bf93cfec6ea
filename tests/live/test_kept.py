"""What is kept of a stranger's words beyond his request is bounded: for each, and for all who are nobody yet."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from cometware import Channel, Cometware
from cometware.testing import Client
from cometware.transports import engine
from tests.conformance.engineio.sessions import Polls, get
from tests.live.clients import new_key
from tests.live.raw import UPGRADE, ask, head, request
from tests.live.server import PATIENT, Server, serve

LONG = "x" * 3000


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(PATIENT | {"max_kept_bytes": 2500}, application="tests.foreign.app:app") as server:
        yield server


def test_a_socket_io_session_begins_with_no_longer_head_than_is_kept(server: Server) -> None:
    for query in (f"EIO=4&transport=polling&x={LONG}", f"EIO=3&transport=polling&x={LONG}"):
        answer = get(server.port, query)
        assert answer.status == 431
        assert answer.json["message"].endswith("would have to be kept; Limits.max_kept_bytes allows 2500")
    target = "/comet/socket.io/?EIO=4&transport=websocket"
    assert ask(server.port, head("GET", target, {"Host": "x", **UPGRADE, "Cookie": LONG})).status == 431
    assert Polls(server.port).post("40").status == 200


def test_the_auth_of_a_namespace_is_bounded_too(server: Server) -> None:
    session = Polls(server.port)
    session.post("40" + json.dumps({"token": LONG}))
    assert session.get().startswith('44{"message":"auth of 3012 bytes would have to be kept')
    session.post("40" + json.dumps({"token": "short"}))
    assert session.get().startswith("40{")


def app(environ: object, start_response: object) -> list[bytes]:
    raise AssertionError("nobody is asked")


def test_cookies_of_hooks_are_bounded_before_the_application_is_asked() -> None:
    with Client(Cometware(app, Channel(), hooks="/realtime")) as client:
        for number in range(10):
            client.set_cookie(f"session{number}", "x" * 3300)
        answer = client.get("/comet?transport=poll&wait=0", headers={"Comet-Key": new_key()})
        assert (answer.status_code, answer.json["error"]["message"][:9]) == (431, "cookies o")


def test_those_who_open_sessions_and_do_nothing_with_them_keep_no_more_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest makes room, also for who comes honestly."""
    monkeypatch.setattr(engine, "_NEWCOMERS_BYTES", 100_000)
    channel = Channel()
    with Client(Cometware(app, channel)) as client:
        path = "/comet/socket.io/?EIO=4&transport=polling"

        def opened(agent: str = "") -> str:
            text = client.get(path, headers={"User-Agent": agent}).text
            return str(json.loads(text[1:])["sid"])

        joined = opened()
        assert client.post(f"{path}&sid={joined}", data=b"40").status_code == 200
        assert client.get(f"{path}&sid={joined}").text.startswith("40")
        sessions = [opened("x" * 20_000) for _ in range(10)]
        gone = [sid for sid in sessions if client.post(f"{path}&sid={sid}", data=b"3").status_code == 400]
        assert gone == sessions[:6]
        assert client.post(f"{path}&sid={joined}", data=b"3").status_code == 200


def test_what_sockjs_says_again_of_a_strangers_headers_is_cut(server: Server) -> None:
    headers = {"Access-Control-Request-Headers": LONG}
    answer = ask(server.port, request("POST", f"/comet/sockjs/000/{new_key()}/xhr", b"", **headers))
    assert (answer.status, answer.headers["access-control-allow-headers"]) == (200, LONG[:1000])
