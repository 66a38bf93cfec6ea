"""Unmodified socket.io-client 2, 3 and 4 in Node, by each transport that they can be forced to."""

from __future__ import annotations

import queue
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.foreign.clients import SocketIO
from tests.live.server import PATIENT, Server, serve
from tests.proxies.foreground import free_port

HOSTILE = 'quote " backslash \\ newline \n \\n \r tab \t ls \u2028\u2029 rs \x1e é€😀 </script> 1:2'
WAYS = {"websocket": ["websocket"], "polling": ["polling"], "upgrade": ["polling", "websocket"]}
CLIENTS = [pytest.param(version, way, id=f"{version} {way}") for version in (2, 3, 4) for way in WAYS]
USUAL = {"2 polling", "4 websocket", "4 upgrade"}
BEST = [pytest.param(*client.values, id=client.id, marks=() if client.id in USUAL else pytest.mark.full) for client in CLIENTS]
"""Where the version and the transport make no difference that another test does not see."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(PATIENT, application="tests.foreign.app:app") as server:
        yield server


def client(version: int, way: str, server: Server, **options: Any) -> SocketIO:
    return SocketIO(version, server.port, transports=WAYS[way], **options)


@pytest.mark.parametrize(("version", "way"), CLIENTS)
def test_events_and_acknowledgements_go_both_ways(version: int, way: str, server: Server) -> None:
    with client(version, way, server, acks=["question"]) as it:
        it.connected()
        assert it.ask("echo", HOSTILE, {"x": [1, None, 2.5]}, b"\x00\xff") == [HOSTILE, {"x": [1, None, 2.5]}, b"\x00\xff"]
        assert it.event("echo") == [HOSTILE, {"x": [1, None, 2.5]}, b"\x00\xff"]
        assert it.ask("echo", {"deep": [b"one", {"two": b""}]}) == [{"deep": [b"one", {"two": b""}]}]
        assert it.ask("ask", "a", b"\x01", 3) == ["a", b"\x01", 3]
        assert it.event("question") == ["a", b"\x01", 3]
        if way == "upgrade":
            it.wait(on="upgrade")
        assert it.ask("who")[0]["transport"] == ("poll" if way == "polling" else "websocket")


@pytest.mark.parametrize(("version", "way"), BEST)
def test_everybody_hears_it_but_the_sender(version: int, way: str, server: Server) -> None:
    with client(version, way, server) as one, client(version, way, server) as two:
        one.connected(), two.connected()
        one.emit("others", {"n": 1}, HOSTILE)
        assert two.event("others") == [{"n": 1}, HOSTILE]
        server.publish(HOSTILE)
        assert one.event("message") == two.event("message") == [HOSTILE]
        one.emit("others", 2)
        assert two.event("others") == [2]
        with pytest.raises(queue.Empty):
            one.told.get_nowait()


@pytest.mark.parametrize(("version", "way"), BEST)
def test_namespaces_are_channels_of_their_own(version: int, way: str, server: Server) -> None:
    admin = "/admin?word=sesame" if version == 2 else "/admin"
    auths = {"/admin": {"word": "sesame"}}
    with client(version, way, server, namespaces=["/", admin], auths=auths) as it:
        it.connected(), it.connected(admin)
        assert it.ask("echo", 1, namespace=admin) == [["admin", 1]]
        assert it.event("echo", admin) == ["admin", 1]
        assert it.ask("echo", 1) == [1]
        server.publish("for admins", admin=True)
        assert it.event("message", admin) == ["for admins"]


@pytest.mark.parametrize("way", ["websocket", "polling"])
def test_a_client_with_a_timeout_tells_an_answer_from_none(way: str, server: Server) -> None:
    with client(4, way, server) as it:
        it.connected()
        assert it.ask_within(0.2, "nobody handles this", 1) == ("Error: operation has timed out", [])
        assert it.ask_within(0.2, "error", 1) == ("Error: operation has timed out", [])
        assert it.ask_within(60, "note", "by timeout") == (None, [None])
        assert it.ask_within(60, "echo", 7) == (None, [7])


@pytest.mark.parametrize("options", [{}, {"ackTimeout": 30_000}], ids=["without a time-out", "with one"])
def test_a_client_that_retries_does_not_repeat_what_was_handled(options: dict[str, Any], server: Server) -> None:
    with client(4, "websocket", server, retries=3, **options) as it:
        it.connected()
        for data in ("first", "second", "third"):
            it.emit("note", data)
        counts = [it.event("noted")[0] for _ in range(3)]
        assert counts == [counts[0], counts[0] + 1, counts[0] + 2]
        assert server.get("/notes")[-3:] == ["first", "second", "third"]


@pytest.mark.parametrize(("version", "way"), BEST)
def test_a_refusal_reaches_the_client(version: int, way: str, server: Server) -> None:
    with client(version, way, server, namespaces=["/admin", "/nope"]) as it:
        name = "error" if version == 2 else "connect_error"
        told = it.wait(on=name, namespace="/admin")
        assert (told["message"], told["data"]) == ("say the word", None if version == 2 else {"status": 401})
        assert it.wait(on=name, namespace="/nope")["message"] == "Invalid namespace"


@pytest.mark.parametrize("version", [2, 4])
def test_a_client_that_is_sent_away_stays_away_and_one_that_is_to_come_back_does(version: int, server: Server) -> None:
    with client(version, "websocket", server) as it:
        it.connected()
        it.emit("kick", 4000)
        assert it.event("last") == ["last"]
        assert it.wait(on="disconnect")["reason"] in ("transport close", "transport error")
        it.connected()
        it.emit("kick", 4403)
        assert it.wait(on="disconnect")["reason"] == "io server disconnect"


@pytest.mark.parametrize(("version", "way"), BEST)
def test_a_server_that_restarts_is_found_again(version: int, way: str) -> None:
    with ExitStack() as stack:
        with serve(PATIENT, application="tests.foreign.app:app", port=free_port()) as first:
            it = stack.enter_context(client(version, way, first))
            it.connected()
        it.wait(on="disconnect")
        stack.enter_context(serve(PATIENT, application="tests.foreign.app:app", port=first.port))
        it.connected()
        assert it.ask("echo", 1) == [1]


@pytest.mark.parametrize("version", [2, 3, 4])
def test_an_upgrade_under_flood_loses_and_reorders_nothing(version: int, server: Server) -> None:
    with client(version, "upgrade", server) as it:
        it.connected()
        for number in range(300):
            it.emit("echo", number)
            if number % 10 == 0:
                server.publish(number)
        assert [it.event("echo") for _ in range(300)] == [[number] for number in range(300)]
        assert [it.event("message") for _ in range(30)] == [[number] for number in range(0, 300, 10)]
        it.wait(on="upgrade")


def test_a_client_recovers_what_it_missed_and_its_rooms() -> None:
    with serve(PATIENT, application="tests.foreign.app:app", environ={"RECOVERY": "1"}) as server:
        for way in ("polling", "websocket"):
            with client(4, way, server, auths={"/": {"room": "r"}}, reconnectionDelay=500) as it:
                before = it.connected()
                it.command(drop=True)
                it.wait(on="disconnect")
                position = server.publish("missed", to="room:r")
                after = it.connected()
                assert after["recovered"] is True
                assert after["id"] == before["id"]
                assert it.event("message") == ["missed", position]


TWO_WORKERS = [sys.executable, "-m", "gunicorn", "-k", "gevent", "-w", "2", "-b", "127.0.0.1:0", "tests.foreign.app:app"]


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two processes that take what comes: each request of a client that polls is on a connection of its own."""
    channel = f"sqlite:///{tmp_path_factory.mktemp('channel') / 'channel.db'}"
    with serve(PATIENT, command=TWO_WORKERS, environ={"CHANNEL": channel}) as server:
        yield server


@pytest.mark.parametrize(("version", "way"), BEST)
def test_any_worker_takes_any_request(version: int, way: str, workers: Server) -> None:
    processes = set()
    while len(processes) < 2:
        with client(version, way, workers, acks=["question"]) as it:
            it.connected()
            for number in range(20):
                assert it.ask("echo", number, HOSTILE) == [number, HOSTILE]
            assert it.ask("ask", b"\x01") == [b"\x01"]
            assert [it.event("echo")[0] for _ in range(20)] == list(range(20))
            if way == "upgrade":
                it.wait(on="upgrade")
            processes.add(it.ask("who")[0]["process"])
            position = workers.publish({"from": "any worker"})
            assert position and it.event("message") == [{"from": "any worker"}]
            assert not [line for line in it.kept if line["on"] in ("disconnect", "connect_error", "error")]


def test_a_client_recovers_on_another_worker(tmp_path: Path) -> None:
    environ = {"CHANNEL": f"sqlite:///{tmp_path / 'channel.db'}", "RECOVERY": "1"}
    with (
        serve(PATIENT, command=TWO_WORKERS, environ=environ) as server,
        client(4, "websocket", server, auths={"/": {"room": "r"}}) as it,
    ):
        before, processes = it.connected(), set()
        while len(processes) < 2:
            processes.add(it.ask("who")[0]["process"])
            it.command(drop=True)
            it.wait(on="disconnect")
            position = server.publish("missed", to="room:r")
            after = it.connected()
            assert (after["recovered"], after["id"]) == (True, before["id"])
            assert it.event("message") == ["missed", position]


@pytest.mark.parametrize("version", [2, 4])
def test_a_handler_in_a_native_thread_may_ask_a_client(version: int) -> None:
    """Under a server with threads: no WebSocket there, so nothing of it is offered, and polls do it all."""
    command = [sys.executable, "-m", "gunicorn", "-k", "gthread", "--threads", "20", "-b", "127.0.0.1:0"]
    with (
        serve(PATIENT, command=[*command, "tests.foreign.app:app"]) as server,
        client(version, "upgrade", server, acks=["question"]) as it,
    ):
        it.connected()
        assert it.ask("ask", HOSTILE, b"\x01") == [HOSTILE, b"\x01"]
        assert it.ask("who")[0]["transport"] == "poll"
        server.publish(HOSTILE)
        assert it.event("message") == [HOSTILE]
