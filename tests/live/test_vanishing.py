"""Clients that leave without a word: FIN and RST are seen at once, silence by the heartbeat; each is closed once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.live.clients import TRANSPORTS, Client, LongPoll, PlainPoll, WebSocket
from tests.live.http import connect, drop, request
from tests.live.raw import UPGRADE, Line
from tests.live.server import PATIENT, ROOT, Server, serve

LIMITS = PATIENT | {"poll_seconds": 60, "grace_seconds": 0.25}
"""Nothing but the end of a socket can be noticed on this server within a test's limit."""

HOLDING = [transport for transport in TRANSPORTS if transport is not PlainPoll]


@pytest.fixture(scope="module")
def polled_server() -> Iterator[Server]:
    """One that does not close a client between two polls, however late the next is."""
    with serve(LIMITS | {"grace_seconds": 3}) as server:
        yield server


@pytest.fixture(scope="module")
def hasty_server() -> Iterator[Server]:
    """A server that notices silence within seconds."""
    limits = {"heartbeat_seconds": 0.5, "pong_seconds": 2, "poll_seconds": 0.5, "grace_seconds": 0.5}
    with serve(limits) as server:
        yield server


@pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
@pytest.mark.parametrize("transport", HOLDING)
def test_the_end_of_a_socket_is_noticed_at_once(
    server: Server, polled_server: Server, transport: type[Client], reset: bool
) -> None:
    server = polled_server if transport is LongPoll else server
    client = transport(server)
    client.open()
    if isinstance(client, LongPoll):
        hold(client)
    client.drop(reset=reset)
    server.journal(1, client=client.id, kind="close")
    assert server.life_of(client.id) == ["open", "close"]


@pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
@pytest.mark.parametrize(
    "headers",
    [{"Accept": "text/event-stream"}, {"Accept": "application/x-ndjson"}],
    ids=["sse", "stream"],
)
def test_a_reader_without_a_key_has_left_with_its_connection(server: Server, headers: dict[str, str], reset: bool) -> None:
    before = len(server.journal(kind="close", reason="left"))
    sock = connect(server.port)
    sock.sendall(request("GET", "/comet", headers))
    assert sock.recv(4096).startswith(b"HTTP/1.1 200 OK\r\n")
    drop(sock, reset=reset)
    lines = server.journal(before + 1, kind="close")
    assert server.life_of(lines[-1]["client"]) == ["open", "close"]


def test_half_a_close_is_an_end_too(server: Server) -> None:
    with WebSocket(server) as client:
        client.half_close()
        server.journal(1, client=client.id, kind="close")


def test_a_poll_ends_an_older_poll_at_once(polled_server: Server) -> None:
    with LongPoll(polled_server) as older:
        hold(older)
        with older.hop(LongPoll) as newer:
            assert older.heartbeat() == {"ping": older.position}
            polled_server.publish("new")
            assert newer.data(1) == ["new"]


def test_a_client_with_two_connections_is_here_until_the_last_has_ended(server: Server) -> None:
    with WebSocket(server) as one, one.hop(WebSocket) as two:
        one.drop()
        assert two.ask("echo", "still here", 1) == "still here"
        assert server.life_of(one.id) == ["open"]
        two.drop()
        server.journal(1, client=one.id, kind="close")


def test_a_stopped_process_with_a_websocket_is_noticed_by_its_silence(hasty_server: Server) -> None:
    program = (
        "import sys, types; from tests.live.clients import WebSocket; from tests.live.http import connect\n"
        "port = int(sys.argv[1]); dial = lambda **options: connect(port, **options)\n"
        "client = WebSocket(types.SimpleNamespace(port=port, says_101=False, connect=dial)); client.open()\n"
        "print(client.id, flush=True); client.heartbeat(); print('alive', flush=True); client.receive(600)\n"
    )
    command = [sys.executable, "-c", program, str(hasty_server.port)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            client = process.stdout.readline().strip()
            assert process.stdout.readline() == "alive\n"
            assert hasty_server.life_of(client) == ["open"]
            os.kill(process.pid, signal.SIGSTOP)
            hasty_server.journal(1, client=client, kind="close")
            assert hasty_server.life_of(client) == ["open", "close"]
        finally:
            process.kill()


def test_a_websocket_that_answers_pings_is_kept(hasty_server: Server) -> None:
    with WebSocket(hasty_server) as client:
        for _ in range(6):  # the silent are gone by then
            client.heartbeat()
        assert client.frames is not None
        assert client.frames.pings >= 5
        assert hasty_server.life_of(client.id) == ["open"]


def test_a_pong_may_take_longer_than_a_heartbeat() -> None:
    with serve({"heartbeat_seconds": 0.5, "pong_seconds": 1.5}) as server, Line(server.port) as silent:
        silent.send(request("GET", "/comet", UPGRADE))
        assert silent.head().status == 101
        pings = silent.read_to_end()
        assert pings == b"\x89\0" * (len(pings) // 2)
        assert len(pings) >= 4


@pytest.mark.parametrize("transport", [transport for transport in HOLDING if transport is not LongPoll])
def test_a_stalled_stream_is_noticed_when_its_buffers_are_full(hasty_server: Server, transport: type[Client]) -> None:
    client = transport(hasty_server)
    client.receive_buffer = 4096
    client.open()
    try:
        for _ in range(16):
            hasty_server.publish("x" * 500_000, to=f"client:{client.id}")
        hasty_server.journal(1, client=client.id, kind="close")
        assert hasty_server.life_of(client.id) == ["open", "close"]
    finally:
        client.drop()


def test_every_opened_client_is_closed_once_in_the_end(server: Server) -> None:
    """Whatever the tests above did, nobody is left over."""
    opened = {line["client"] for line in server.journal(kind="open")}
    closed = [line["client"] for line in server.journal(len(opened), kind="close")]
    assert sorted(closed) == sorted(opened)
    assert server.get("/presence/*") == []


def hold(client: LongPoll) -> None:
    """Ask for the next batch, and wait until the server holds the request."""
    client.listen()
    client.server.until(f"/presence/client:{client.id}", lambda here: here[0]["transport"] == "poll")
