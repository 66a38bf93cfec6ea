"""Clients of all kinds that say more than they may: they are slowed down, and nothing is lost, doubled or out of order."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cometware import connect
from tests.conformance.engineio.sessions import Polls, Socket, get
from tests.conformance.sockjs.session import fresh, opened, post
from tests.live.clients import new_key
from tests.live.raw import Answer, ask, masked, open_websocket, request
from tests.live.server import LIMIT_SECONDS, PATIENT, Server, serve

COUNT = 60
PER_SECOND, AT_ONCE = 40, 20
LEAST_SECONDS = (COUNT - AT_ONCE) / PER_SECOND
LIMITS = PATIENT | {
    "rates": {"client_messages": [PER_SECOND, AT_ONCE], "client_connections": None},
    "rate_patience_seconds": 0.5,
}
Say = Callable[[Server, list[str]], None]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(LIMITS) as server:
        yield server


def by_client(transport: str) -> Say:
    def say(server: Server, texts: list[str]) -> None:
        with connect(f"http://127.0.0.1:{server.port}/comet", transport) as connection:
            for text in texts:
                connection.send(text)
            assert connection.flush(LIMIT_SECONDS)
            assert connection.ask("echo", "done", LIMIT_SECONDS) == "done"

    return say


def by_sockjs_websocket(server: Server, texts: list[str]) -> None:
    with open_websocket(server.port, f"{fresh('/comet/sockjs')}/websocket") as line:
        assert line.frame() == (1, b"o")
        for some in (texts[:-1], texts[-1:]):
            line.send(b"".join([masked(1, json.dumps([text]).encode()) for text in some]))
            while some[-1].encode() not in line.frame()[1]:
                pass


def by_sockjs_posts(server: Server, texts: list[str]) -> None:
    session = fresh("/comet/sockjs")
    opened(server.port, session)
    for first in range(0, COUNT, 15):
        answer = post(server.port, session + "/xhr_send", json.dumps(texts[first : first + 15]).encode())
        assert answer.status == 204


def by_socketio_websocket(server: Server, texts: list[str]) -> None:
    with Socket(server.port, "EIO=4&transport=websocket") as socket:
        assert str(socket.read()).startswith("0{")
        socket.send("40")
        assert str(socket.read()).startswith("40{")
        for some in (texts[:-1], texts[-1:]):
            socket.send(*[f'42["message",{json.dumps(text)}]' for text in some])
            while some[-1] not in str(socket.read()):
                pass


def by_socketio_posts(server: Server, texts: list[str]) -> None:
    polls = Polls(server.port)
    assert polls.post("40").status == 200
    assert polls.get().startswith("40{")
    for first in range(0, COUNT, 15):
        body = "\x1e".join([f'42["message",{json.dumps(text)}]' for text in texts[first : first + 15]])
        assert polls.post(body).status == 200


WAYS: dict[str, Say] = {
    **{f"client-{transport}": by_client(transport) for transport in ("websocket", "stream", "sse", "poll")},
    "sockjs-websocket": by_sockjs_websocket,
    "sockjs-posts": by_sockjs_posts,
    "socketio-websocket": by_socketio_websocket,
    "socketio-posts": by_socketio_posts,
}


@pytest.mark.parametrize("way", WAYS)
def test_who_says_more_than_it_may_is_slowed_down_and_nothing_of_it_is_lost(server: Server, way: str) -> None:
    texts, begin = [f"{way} {number}" for number in range(COUNT)], time.monotonic()
    WAYS[way](server, texts)
    assert time.monotonic() - begin > LEAST_SECONDS - 0.1
    server.until("/journal?kind=message", lambda lines: any(line["data"] == texts[-1] for line in lines))
    said = [line["data"] for line in server.journal(kind="message") if line["data"] in texts]
    assert said == texts


def test_a_sockjs_client_that_would_have_to_wait_for_long_is_refused(server: Server) -> None:
    session = fresh("/comet/sockjs")
    opened(server.port, session)
    assert post(server.port, session + "/xhr_send", json.dumps(["x"] * 1000).encode()).status == 204
    answer = post(server.port, session + "/xhr_send", b'["y"]')
    assert answer.status == 429 and 20 < int(answer.headers["retry-after"]) <= 30
    assert b"client_messages" in answer.body


# New clients


def by_poll(port: int, number: int) -> Answer:
    key = f"stranger{number}".ljust(22, "0")
    return ask(port, request("GET", "/comet?wait=0", comet_key=key, accept="application/json"))


def by_socketio(port: int, number: int) -> Answer:
    return get(port, "EIO=4&transport=polling")


def by_sockjs(port: int, number: int) -> Answer:
    return post(port, f"{fresh('/comet/sockjs')}/xhr")


@pytest.mark.parametrize("come", [by_poll, by_socketio, by_sockjs])
def test_new_clients_of_an_address_are_bounded_in_every_dialect(come: Callable[[int, int], Answer]) -> None:
    with serve(PATIENT | {"rates": {"address_opens": [0.01, 5]}}) as server:
        answers = [come(server.port, number) for number in range(6)]
        assert [answer.status for answer in answers] == [200] * 5 + [429]
        assert int(answers[-1].headers["retry-after"]) > 30


@pytest.mark.parametrize("store", ["memory:", "sqlite:"])
def test_who_never_came_back_makes_room_on_every_roster(tmp_path: Path, store: str) -> None:
    url = f"sqlite:///{tmp_path}/channel.db" if store == "sqlite:" else store
    with (
        serve(PATIENT | {"max_clients": 5, "rates": None}, environ={"CHANNEL": url}) as server,
        connect(f"http://127.0.0.1:{server.port}/comet") as ann,
        connect(f"http://127.0.0.1:{server.port}/comet", "poll") as bob,
    ):
        assert [by_poll(server.port, number).status for number in range(30)] == [200] * 30
        assert (ann.ask("echo", 1), bob.ask("echo", 2)) == (1, 2)
        assert len(server.journal(27, kind="close", reason="timeout")) == 27


def test_a_socketio_session_that_never_came_into_a_namespace_makes_room() -> None:
    limits = PATIENT | {"max_clients": 5, "rates": None}
    with serve(limits) as server, Socket(server.port, "EIO=4&transport=websocket") as ann:
        assert str(ann.read()).startswith("0{")
        ann.send("40")
        assert str(ann.read()).startswith("40{")
        assert [by_socketio(server.port, number).status for number in range(20)] == [200] * 20
        ann.send('420["echo",1]')
        assert ann.read() == "430[1]"


def test_the_log_names_the_setting_when_many_of_one_address_are_turned_away() -> None:
    with serve({"rates": {"address_opens": [0.1, 2]}}) as server:
        answers = [ask(server.port, request(target="/comet?wait=0", comet_key=new_key())).status for _ in range(6)]
        assert answers == [200, 200, 429, 429, 429, 429]
        told = [line for line in server.errors.splitlines() if "refused with 429, from 127.0.0.1" in line]
    assert len(told) == 1 and "Rates.address_opens" in told[0] and "Cometware(addresses=…)" in told[0]
