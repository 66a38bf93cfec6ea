"""What stands around the middleware: it is found, drained and moved all the same, and below a prefix all transports work."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conformance.sockjs.session import fresh, post
from tests.foreign.clients import SocketIO
from tests.live.clients import Client, EventStream, LongPoll, Stream, WebSocket
from tests.live.raw import masked, open_websocket
from tests.live.server import LIMIT_SECONDS, PATIENT, ROOT, Server, serve

WRAPPED = "tests.live.wrapped:{}"
SERVE = (sys.executable, "-m", "cometware", "serve")
GUNICORN = (sys.executable, "-m", "gunicorn", WRAPPED.format("mount"), "--bind", "127.0.0.1:0", "--graceful-timeout", "1")
PARKED: tuple[type[Client], ...] = (WebSocket, EventStream, Stream, LongPoll)
full = pytest.mark.full


NAMES = ["everything", *(pytest.param(name, marks=full) for name in ("proxy_fix", "closure", "instrumented", "packages"))]


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


PACKAGES = ["packages", *(pytest.param(name, marks=full) for name in ("white_noise", "telemetry"))]
SERVERS = [pytest.param(SERVE, id="ours"), pytest.param((*GUNICORN[:3], "-k", "gevent"), id="gevent", marks=full)]


@pytest.mark.parametrize("command", SERVERS)
@pytest.mark.parametrize("name", PACKAGES)
def test_around_packages_of_others_every_transport_works(name: str, command: tuple[str, ...]) -> None:
    with serve(PATIENT, command=(*command, WRAPPED.format(name), "--bind", "127.0.0.1:0")) as server:
        for kind in PARKED:
            with kind(server) as client:
                client.send("hello", n=1)
                assert client.receive()["data"] == {"from": client.id, "data": "hello"}
        if name != "telemetry":
            assert server.request("GET", "/static/wrapped.py")[2] == Path(__file__).with_name("wrapped.py").read_bytes()


COMMANDS = [
    pytest.param((*SERVE, "tests.live.below:app"), id="dispatcher"),
    pytest.param((*SERVE, "{site}", "--script-name", "/shop"), id="script-name", marks=full),
    pytest.param((*GUNICORN[:3], "tests.live.below:app", "-k", "gevent"), id="gevent", marks=full),
]


@contextmanager
def mounted(command: tuple[str, ...], site: str, **environ: str) -> Iterator[Server]:
    command = tuple(part.format(site=site) for part in (*command, "--bind", "127.0.0.1:0"))
    with serve(PATIENT, command=command, environ={"SITE": site} | environ) as server:
        yield server


@pytest.mark.parametrize("command", COMMANDS)
def test_below_a_prefix_django_knows_its_users_in_the_channel(command: tuple[str, ...], tmp_path: Path) -> None:
    environ = {"DJANGO_DATABASE": str(tmp_path / "site.db"), "DJANGO_SETTINGS_MODULE": "tests.live.django_project.settings"}
    make_user = (
        "import django; django.setup()\n"
        "from django.core.management import call_command; call_command('migrate', verbosity=0)\n"
        "from django.contrib.auth.models import User; User.objects.create_user('ann', password='secret')\n"
    )
    subprocess.run([sys.executable, "-c", make_user], cwd=ROOT, env=os.environ | environ, check=True, timeout=LIMIT_SECONDS)
    with mounted(command, "tests.live.django_project.wsgi:application", **environ) as server:
        assert server.request("GET", "/shop/")[2] == b"hello stranger"
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        status, headers, _ = server.request("POST", "/shop/login", "username=ann&password=secret", form)
        assert status == 200
        cookie = {"Cookie": headers["Set-Cookie"].partition(";")[0]}
        assert server.request("GET", "/shop/", None, cookie)[2] == b"hello ann"
        asked = server.request("POST", "/shop/comet", '{"event":"who"}', cookie | {"Content-Type": "application/json"})
        assert json.loads(asked[2])["data"]["user"] == "ann"
        with open_websocket(server.port, "/shop/comet?v=1", cookie=cookie["Cookie"]) as line:
            assert b'"open"' in line.frame()[1]
            assert server.request("POST", "/shop/tell", "text=hello", form)[0] == 204
            assert b"hello" in line.frame()[1]


@pytest.mark.parametrize("command", COMMANDS)
def test_below_a_prefix_a_socketio_client_has_its_whole_session(command: tuple[str, ...]) -> None:
    with mounted(command, "tests.foreign.app:app") as server:
        for transports in (["websocket"], ["polling"], ["polling", "websocket"]):
            with SocketIO(4, server.port, path="/shop/comet/socket.io", transports=transports) as it:
                it.connected()
                assert it.ask("echo", "hello", b"\x00") == ["hello", b"\x00"]
                assert it.event("echo") == ["hello", b"\x00"]


@pytest.mark.parametrize("command", COMMANDS)
def test_below_a_prefix_a_sockjs_session_is_whole(command: tuple[str, ...]) -> None:
    with mounted(command, "tests.live.app:app") as server:
        session = fresh("/shop/comet/sockjs")
        assert post(server.port, session + "/xhr").body == b"o\n"
        assert post(server.port, session + "/xhr_send", b'["mine"]').status == 204
        assert b"mine" in post(server.port, session + "/xhr").body
        with open_websocket(server.port, fresh("/shop/comet/sockjs") + "/websocket") as line:
            assert line.frame() == (1, b"o")
            line.send(masked(1, b'["ours"]'))
            assert b"ours" in line.frame()[1]


def below(prefix: str, kind: type[Client]) -> type[Client]:
    """The same client, for a channel below a prefix."""

    class Mounted(kind):  # type: ignore[misc, valid-type]
        root = prefix + "/comet"

    return Mounted
