"""`cometware serve`: what it serves, where it listens, what it logs, and how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.live.clients import EventStream, WebSocket
from tests.live.server import LIMIT_SECONDS, PATIENT, ROOT, Server, serve
from tests.proxies.foreground import free_port

SERVE = (sys.executable, "-m", "cometware", "serve")
FACTORY = "tests.live.wrapped:create_app"
full = pytest.mark.full


# What it serves


@pytest.mark.parametrize(
    ("application", "greeting"),
    [
        pytest.param(f"{FACTORY}('hello', loud=True)", "HELLO", id="arguments"),
        pytest.param(FACTORY, "made", id="bare"),
        pytest.param(f"{FACTORY}()", "made", id="call", marks=full),
    ],
)
@pytest.mark.parametrize("workers", [pytest.param("1"), pytest.param("2", marks=full)])
def test_a_factory_makes_the_application(application: str, greeting: str, workers: str) -> None:
    place = f"127.0.0.1:{free_port()}"
    with serve(command=(*SERVE, application, "--bind", place, "--workers", workers)) as server:
        assert server.get("/greeting") == greeting
        with WebSocket(server):
            assert "at /comet · log memory:" in server.errors


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("tests.live.wrapped:create_with",), "expected 'tests.live.wrapped:create_with(…)'"),
        ((f"{FACTORY}(1, 2, 3)",), "cannot be called so: too many positional arguments"),
        ((f"{FACTORY}(open('x'))",), "expected a name, or a call"),
        (
            ("tests.live.app:app", "--bind", "localhost"),
            "expected HOST:PORT like 127.0.0.1:8000, PORT, unix:PATH or fd://NUMBER",
        ),
    ],
)
def test_what_cannot_be_served_is_said_in_one_line(arguments: tuple[str, ...], said: str) -> None:
    done = subprocess.run([*SERVE, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_SECONDS)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


# Where it listens


@contextmanager
def started(*arguments: str, wait: str, cwd: Path = ROOT, fds: tuple[int, ...] = ()) -> Iterator[subprocess.Popen[str]]:
    """Run it until it has written a line."""
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [*SERVE, *arguments], cwd=cwd, env=environ, pass_fds=fds, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            read_until(process, wait)
            yield process
        finally:
            process.terminate()
            rest, _ = process.communicate(timeout=LIMIT_SECONDS)
        assert process.returncode == 0, rest


def read_until(process: subprocess.Popen[str], pattern: str) -> str:
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if re.search(pattern, line):
            return line
    raise AssertionError(f"{pattern!r} did not come: {lines}")


def ask(family: int, place: str | tuple[str, int], path: str = "/") -> bytes:
    with socket.socket(family) as sock:
        sock.settimeout(LIMIT_SECONDS)
        sock.connect(place)
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n".encode())
        data = b""
        while more := sock.recv(65536):
            data += more
        return data


WORKERS = [pytest.param("1"), pytest.param("2", marks=full)]


@pytest.mark.parametrize("workers", WORKERS)
def test_it_listens_at_several_places_one_of_them_a_unix_socket(workers: str, tmp_path: Path) -> None:
    path, port = f"{tmp_path}/shop.sock", free_port()
    with socket.socket(socket.AF_UNIX) as left:  # by one who has ended
        left.bind(path)
    places = ("--bind", f"unix:{path}", "--bind", str(port))
    with started("tests.live.app:app", *places, "--workers", workers, wait=rf"unix:{path}, http://127\.0\.0\.1:{port} ·"):
        assert b"the application as it was" in ask(socket.AF_UNIX, path)
        assert b'{"open"' in ask(socket.AF_UNIX, path, "/comet?transport=poll&key=" + "k" * 24)
        assert b"the application as it was" in ask(socket.AF_INET, ("127.0.0.1", port))
    assert not os.path.exists(path)


@pytest.mark.parametrize("workers", WORKERS)
def test_it_takes_a_socket_that_somebody_else_has_opened(workers: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        place, number = listener.getsockname(), listener.fileno()
        bind = ("--bind", f"fd://{number}", "--workers", workers)
        with started("tests.live.app:app", *bind, wait=f"http://127.0.0.1:{place[1]} ·", fds=(number,)):
            assert b"the application as it was" in ask(socket.AF_INET, place)


# What it logs


@pytest.mark.parametrize("workers", WORKERS)
def test_an_application_that_says_how_it_logs_is_heard(workers: str) -> None:
    bind = ("--bind", f"127.0.0.1:{free_port()}", "--workers", workers)
    with serve(command=(*SERVE, "tests.live.logging_app:app", *bind, "--log-level", "warning")) as server:
        server.get("/log")
        assert "SITE DEBUG shop loaded\n" in server.errors
        assert server.errors.count("a sale\n") == 1
        assert "of ours" not in server.errors


@pytest.mark.parametrize("level", ["info", "error"])
def test_without_a_word_of_the_application_the_level_is_that_of_the_command(level: str) -> None:
    command = (*SERVE, "tests.live.quiet:app", "--bind", "127.0.0.1:0", "--log-level", level)
    with serve(command=command) as server:
        server.get("/log")
        assert ("INFO shop: a sale\n" in server.errors) == (level == "info")


# How it ends


@pytest.mark.parametrize("workers", WORKERS)
def test_for_the_shutdown_delay_it_goes_on_and_says_that_it_is_not_ready(workers: str, tmp_path: Path) -> None:
    bind = ("--bind", f"127.0.0.1:{free_port()}", "--workers", workers, "--channel", f"sqlite:///{tmp_path}/channel.db")
    with serve(PATIENT, command=(*SERVE, "tests.live.app:app", *bind, "--shutdown-delay", "600")) as server:
        assert server.get("/comet/ready") == {"ready": True}
        with EventStream(server) as stream:
            os.kill(server.pid, signal.SIGTERM)
            assert_says_503(server)
            with WebSocket(server) as late:
                server.publish("still here")
                assert stream.data(1) == late.data(1) == ["still here"]
                os.kill(server.pid, signal.SIGTERM)  # whoever cannot wait says it again
                assert "reconnect" in stream.receive()
                assert "reconnect" in late.receive()


def test_for_the_shutdown_delay_it_goes_on_though_all_its_processes_are_told_at_once(tmp_path: Path) -> None:
    """As systemd does it."""
    bind = ("--bind", f"127.0.0.1:{free_port()}", "--workers", "2", "--channel", f"sqlite:///{tmp_path}/channel.db")
    with serve(PATIENT, command=(*SERVE, "tests.live.app:app", *bind, "--shutdown-delay", "600")) as server:
        workers = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
        with EventStream(server) as stream:
            for pid in (server.pid, *workers):
                os.kill(int(pid), signal.SIGTERM)
            assert_says_503(server)
            for _ in range(4):  # whichever process takes them
                with WebSocket(server) as late:
                    server.publish("still here")
                    assert late.data(1) == stream.data(1) == ["still here"]
            os.kill(server.pid, signal.SIGTERM)
            assert "reconnect" in stream.receive()


def test_under_stock_gunicorn_who_is_connected_hears_that_it_is_not_ready() -> None:
    bind = ("tests.live.app:app", "-k", "gevent", "--bind", "127.0.0.1:0", "--graceful-timeout", "60")
    with serve(PATIENT, command=(sys.executable, "-m", "gunicorn", *bind)) as server:
        balancer = HTTPConnection("127.0.0.1", server.port, timeout=LIMIT_SECONDS)

        def ask_it() -> tuple[int, bytes]:
            balancer.request("GET", "/comet/ready")
            answer = balancer.getresponse()
            return answer.status, answer.read()

        assert ask_it() == (200, b'{"ready":true}\n')
        os.kill(server.pid, signal.SIGTERM)
        deadline = time.monotonic() + LIMIT_SECONDS
        while (said := ask_it())[0] == 200:
            assert time.monotonic() < deadline
        assert said == (503, b'{"ready":false}\n')
        balancer.close()


def assert_says_503(server: Server) -> None:
    deadline = time.monotonic() + LIMIT_SECONDS
    while (answer := server.request("GET", "/comet/ready"))[0] == 200:
        assert time.monotonic() < deadline
    assert (answer[0], json.loads(answer[2])) == (503, {"ready": False})


# While it is written


def test_a_change_of_the_code_begins_it_anew_and_a_mistake_waits_for_the_next(tmp_path: Path) -> None:
    code, port = tmp_path / "shop.py", free_port()
    text = "from tests.live.wrapped import create_app\napp = create_app({!r})\n"
    code.write_text(text.format("one"))
    ready = rf"shop:app on http://127\.0\.0\.1:{port}"
    with started("shop:app", "--bind", str(port), "--reload", wait=ready, cwd=tmp_path) as process:
        assert ask(socket.AF_INET, ("127.0.0.1", port), "/greeting").endswith(b"one")
        code.write_text("app = (\n")
        read_until(process, "SyntaxError")
        code.write_text(text.format("three"))
        read_until(process, ready)
        assert ask(socket.AF_INET, ("127.0.0.1", port), "/greeting").endswith(b"three")
