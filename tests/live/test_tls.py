"""`cometware serve --certfile`: the process ends TLS itself, and parks its connections all the same.

The whole contract is tried over TLS in tests/contract/servers; here is what TLS alone can do.
"""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.live.certificate import folder, trusting
from tests.live.clients import Client, EventStream, LongPoll, Stream, WebSocket
from tests.live.http import connect
from tests.live.server import PATIENT, ROOT, Server, serve

KINDS = [WebSocket, EventStream, Stream, LongPoll]
LARGE = "é" * 100_000


def command(*more: str) -> list[str]:
    own = [sys.executable, "-m", "cometware", "serve", "tests.live.app:app", "--bind", "127.0.0.1:0"]
    return [*own, "--certfile", str(folder() / "certificate.pem"), "--keyfile", str(folder() / "key.pem"), *more]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(PATIENT | {"max_message_bytes": 1 << 20}, command=command()) as server:
        server.tls = trusting()
        yield server


@pytest.mark.parametrize("kind", KINDS)
def test_large_messages_come_and_go(server: Server, kind: type[Client]) -> None:
    with kind(server) as client:
        assert client.greeting["server"]["transports"] == ["websocket", "sse", "stream", "poll"]
        server.publish(LARGE, to=f"client:{client.id}")
        assert client.receive()["data"] == LARGE
        client.send(LARGE, event="note", n=1)
        assert client.acknowledged(1)["accepted"] == 1


@pytest.mark.parametrize("kind", [WebSocket, EventStream, Stream])
def test_a_slow_reader_gets_everything_in_its_order(server: Server, kind: type[Client]) -> None:
    """What the socket does not take waits, and goes on in the middle of a record."""
    client = kind(server)
    client.receive_buffer = 4096
    with client:
        for number in range(30):
            server.publish([number, LARGE], to=f"client:{client.id}")
        assert [client.receive()["data"] for _ in range(30)] == [[number, LARGE] for number in range(30)]


def test_many_frames_in_one_record_are_all_read(server: Server) -> None:
    with WebSocket(server) as client:
        assert client.frames is not None and client._sock is not None
        frames = [client.frames.text(json.dumps({"n": n, "event": "note", "data": n})) for n in range(1, 51)]
        data = b"".join(frames)
        assert len(data) < 16384  # one record
        client._sock.sendall(data)
        assert client.acknowledged(50)["accepted"] == 50


def test_the_server_says_why_it_closes_and_ends_tls_in_order(server: Server) -> None:
    with WebSocket(server) as client:
        server.post("/channel/close", client_id=client.id, code=4100, reason="over")
        assert client.receive()["close"]["code"] == 4100


def test_whoever_speaks_no_tls_is_no_error(server: Server) -> None:
    with connect(server.port) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        with suppress(ConnectionResetError):
            while plain.recv(65536):
                pass
    connect(server.port).close()
    with socket.create_connection(("127.0.0.1", server.port)) as cut:
        cut.sendall(b"\x16\x03\x01")
    assert server.get("/journal", kind="none") == []
    assert "Traceback" not in server.errors


def test_a_handshake_that_never_ends_is_ended() -> None:
    application = "tests.live.hasty:app"
    own = [part.replace("tests.live.app:app", application) for part in command()]
    with serve(command=own) as server, connect(server.port) as silent:
        silent.sendall(b"\x16\x03\x01\x02")
        assert silent.recv(1) == b""


@pytest.mark.parametrize("kind", KINDS)
def test_with_several_workers_too(kind: type[Client], several: Server) -> None:
    with kind(several) as client:
        several.publish("hello", to=f"client:{client.id}")
        assert client.receive()["data"] == "hello"


@pytest.fixture(scope="module")
def several() -> Iterator[Server]:
    with serve(PATIENT, command=command("--max-requests", "100000")) as server:
        server.tls = trusting()
        yield server


def test_a_poll_keeps_its_connection(server: Server) -> None:
    with LongPoll(server) as client:
        for number in range(3):
            server.publish(number, to=f"client:{client.id}")
            assert client.receive()["data"] == number
            sock = client._sock
            assert sock is not None
        assert client._sock is sock


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--keyfile", "key.pem"], "got a key without a certificate"),
        (["--certfile", "nowhere.pem"], "No such file"),
        (["--certfile", "certificate.pem"], "expected a certificate and its key"),
        (["--certfile", "key.pem", "--keyfile", "key.pem"], "expected a certificate and its key"),
    ],
)
def test_what_is_no_certificate_is_told_at_once(options: list[str], said: str) -> None:
    own = [sys.executable, "-m", "cometware", "serve", "tests.live.app:app", "--bind", "0"]
    paths = [str(folder() / part) if part.endswith(".pem") else part for part in options]
    done = subprocess.run([*own, *paths], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())


def test_a_client_of_ours_needs_no_more_than_the_certificate(server: Server) -> None:
    from cometware.remote import connect as connect_client

    for transport in ("websocket", "stream", "sse", "poll"):
        context = ssl.create_default_context(cafile=str(folder() / "certificate.pem"))
        with connect_client(f"https://localhost:{server.port}/comet", transport, tls=context, timeout=30) as connection:
            server.publish("hello", to=f"client:{connection.client}")
            assert connection.receive(timeout=30).data == "hello"
