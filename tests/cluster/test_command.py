"""`cometware serve --workers N --channel URL`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.live.clients import LongPoll, WebSocket
from tests.live.server import LIMIT_SECONDS, ROOT, Server, serve
from tests.proxies.foreground import free_port


@contextmanager
def workers(
    channel: str, *options: str, journal: Path, application: str = "tests.live.app:app", **environ: str
) -> Iterator[Server]:
    command = [sys.executable, "-m", "cometware", "serve", application, "--bind", f"127.0.0.1:{free_port()}"]
    command += ["--workers", "2", "--channel", channel, *options]
    with serve({"lease_seconds": 1}, command=command, environ={"JOURNAL": str(journal), **environ}) as server:
        yield server


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/channel.db"


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_two_workers_are_one_channel(url: str, tmp_path: Path) -> None:
    with workers(url, journal=tmp_path) as server:
        assert "2 workers · websocket, sse, stream, poll at /comet · log sqlite:" in server.errors
        assert "several processes" not in server.errors
        with WebSocket(server) as one, LongPoll(server) as two:
            one.send("hello", n=1)
            for client in (one, two):
                assert client.data(1) == [{"from": one.id, "data": "hello"}]


def test_a_worker_that_is_killed_is_replaced_and_nobody_loses_anything(url: str, tmp_path: Path) -> None:
    with workers(url, journal=tmp_path) as server, WebSocket(server) as client:
        for pid in children(server.pid):
            os.kill(pid, signal.SIGKILL)
        Server.publish(server, "meanwhile")
        client.drop()
        with client.hop(WebSocket) as again:
            assert again.data(1) == ["meanwhile"]
            assert again.greeting["recovered"]
            assert server.life_of(client.id) == ["open"]


@pytest.mark.full
def test_a_reload_asks_every_client_to_come_back(url: str, tmp_path: Path) -> None:
    with workers(url, journal=tmp_path) as server, WebSocket(server) as client:
        os.kill(server.pid, signal.SIGHUP)
        assert "reconnect" in client.receive()
        with client.hop(WebSocket) as again:
            server.publish("after")
            assert again.data(1) == ["after"]


def test_several_workers_of_a_log_in_memory_are_warned_of_at_the_start(tmp_path: Path) -> None:
    with workers("memory:", journal=tmp_path) as server:
        with WebSocket(server):
            server.get("/")
        assert server.errors.count("several processes serve the channel, but its log 'memory:'") == 1


def test_one_worker_is_not_told_of_several(tmp_path: Path) -> None:
    with workers("memory:", "--workers", "1", "--max-requests", "1000", journal=tmp_path) as server:
        with WebSocket(server):
            server.get("/")
        assert " · 1 worker · websocket, sse, stream, poll at /comet · log memory:" in server.errors
        assert "several processes" not in server.errors


@pytest.mark.full
def test_who_uses_the_channel_while_loading_may_be_told_where_it_is(url: str, tmp_path: Path) -> None:
    with workers(url, journal=tmp_path, application="tests.live.preloaded:app", CHANNEL=url) as server:
        assert [data for _, data in server.get("/history/10")] == ["while loading"]


@pytest.mark.parametrize(
    ("application", "channel", "said"),
    [
        pytest.param(
            "tests.live.preloaded:app",
            "redis://ann:secret@host/0",
            "the channel was used at 'memory:' while the application was loaded, so it cannot be moved to "
            "'redis://ann:***@host/0'",
            marks=pytest.mark.full,
        ),
        pytest.param("tests.live.nothing:app", "memory:", "there is no module 'tests.live.nothing'", marks=pytest.mark.full),
        ("tests.live.app:app", "nosql://x", "unknown scheme 'nosql'"),
    ],
)
def test_what_cannot_be_served_is_said_once_and_ends_the_command(application: str, channel: str, said: str) -> None:
    command = [sys.executable, "-m", "cometware", "serve", application, "--bind", f"127.0.0.1:{free_port()}"]
    result = subprocess.run(
        [*command, "--workers", "2", "--channel", channel], cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_SECONDS
    )
    assert result.returncode == 4
    assert said in result.stderr
    assert "secret" not in result.stderr + result.stdout
    assert "Traceback" not in result.stderr
