"""What stands around the middleware: it is found, drained and moved all the same, and below a prefix all transports work."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.live.clients import Client, EventStream, LongPoll, Stream, WebSocket
from tests.live.server import LIMIT_SECONDS, PATIENT, ROOT, serve

WRAPPED = "tests.live.wrapped:{}"
SERVE = (sys.executable, "-m", "cometware", "serve")
GUNICORN = (sys.executable, "-m", "gunicorn", WRAPPED.format("mount"), "--bind", "127.0.0.1:0", "--graceful-timeout", "1")
PARKED: tuple[type[Client], ...] = (WebSocket, EventStream, Stream, LongPoll)
full = pytest.mark.full


NAMES = ["everything", *(pytest.param(name, marks=full) for name in ("proxy_fix", "closure", "instrumented"))]


@pytest.mark.parametrize("name", NAMES)
def test_whatever_stands_around_it_the_channel_is_moved_and_its_clients_are_told_of_the_end(name: str, tmp_path: Path) -> None:
    where = f"sqlite:///{tmp_path / 'channel.db'}"
    command = (*SERVE, WRAPPED.format(name), "--bind", "127.0.0.1:0", "--channel", where)
    with serve(PATIENT, command=command) as server, WebSocket(server) as socket, EventStream(server) as stream:
        assert f"at /comet · log {where}" in server.errors
        os.kill(server.pid, signal.SIGTERM)
        assert "reconnect" in socket.receive()
        assert "reconnect" in stream.receive()


def refusal(*arguments: str) -> str:
    done = subprocess.run(
        [*SERVE, *arguments, "--bind", "127.0.0.1:0"], cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_SECONDS
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_of_two_channels_none_is_moved_without_its_name() -> None:
    said = refusal("tests.live.two_channels:app", "--channel", "memory:")
    assert "'orders' at memory:" in said
    assert "'chat' at sqlite:///chat.db" in said
    assert "--channel NAME=URL" in said
    assert "there is no channel 'other'" in refusal("tests.live.two_channels:app", "--channel", "other=memory:")


def test_of_two_channels_each_is_moved_by_its_name(tmp_path: Path) -> None:
    where = f"sqlite:///{tmp_path}/x.db?mode=0660"
    command = (*SERVE, "tests.live.two_channels:app", "--bind", "127.0.0.1:0", "--channel", f"orders={where}")
    with serve(command=(*command, "--channel", "chat=memory:")) as server:
        assert f"/orders · log {where}, /chat · log memory:" in server.errors


MOUNTED = [
    pytest.param((*SERVE, WRAPPED.format("mount"), "--bind", "127.0.0.1:0"), "/shop", id="dispatcher"),
    pytest.param((*SERVE, WRAPPED.format("mount_everything"), "--bind", "127.0.0.1:0"), "/shop", id="all", marks=full),
    pytest.param((*SERVE, "tests.live.app:app", "--bind", "127.0.0.1:0", "--script-name", "/shop"), "/shop", id="script-name"),
    pytest.param((*GUNICORN, "-k", "gevent"), "/shop", id="gevent", marks=full),
]


@pytest.mark.parametrize(("command", "prefix"), MOUNTED)
def test_below_a_prefix_every_transport_works(command: tuple[str, ...], prefix: str) -> None:
    with serve(PATIENT, command=command) as server:
        for kind in PARKED:
            with below(prefix, kind)(server) as client:
                client.send("hello", n=1)
                assert client.receive()["data"] == {"from": client.id, "data": "hello"}
                client.send("again", n=2)
                assert client.receive()["data"] == {"from": client.id, "data": "again"}
        status, _, page = server.request("GET", f"{prefix}/comet", headers={"Accept": "text/html"})
        script = re.search(rb'src="([^"]+client[^"]*\.js)"', page)
        assert status == 200 and script is not None, page
        assert server.request("GET", f"{prefix}/{script[1].decode()}")[0] == 200
        for path in ("client.js", "sockjs/info", "ready", "socket.io/?EIO=4&transport=polling"):
            assert server.request("GET", f"{prefix}/comet/{path}")[0] == 200, path


def below(prefix: str, kind: type[Client]) -> type[Client]:
    """The same client, for a channel below a prefix."""

    class Mounted(kind):  # type: ignore[misc, valid-type]
        root = prefix + "/comet"

    return Mounted
