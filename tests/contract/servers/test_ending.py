"""gunicorn ends a worker: its clients are told to come back, none is cut, and each goes on where it was."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.live.clients import Client, EventStream, LongPoll, Stream, WebSocket
from tests.live.server import LIMIT_SECONDS, PATIENT, Server, serve

_GUNICORN = (sys.executable, "-m", "gunicorn", "tests.live.app:app", "--bind", "127.0.0.1:0", "--graceful-timeout", "10")
GEVENT = ("-k", "gevent")
GTHREAD = ("-k", "gthread", "--threads", "12", "--keep-alive", "0")
PARKED: tuple[type[Client], ...] = (WebSocket, EventStream, Stream, LongPoll)
PULLED: tuple[type[Client], ...] = (EventStream, Stream, LongPoll)
MAX_REQUESTS = 40


def children(server: Server) -> set[int]:
    """Return the processes of gunicorn's workers."""
    return {int(pid) for pid in Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()}


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def all_are_held(server: Server, count: int) -> None:
    """Wait until this worker has them: what it has not accepted yet is served by its successor, and has nothing to be told."""
    server.until("/held", lambda held: held["parked"] >= count)


def reload(server: Server) -> None:
    os.kill(server.pid, signal.SIGHUP)


def end_the_worker(server: Server) -> None:
    for pid in children(server):
        os.kill(pid, signal.SIGTERM)


def ask_until_it_has_had_enough(server: Server) -> None:
    (before,) = children(server)
    until(lambda: server.request("GET", "/")[0] == 200 and before not in children(server))


@pytest.mark.parametrize(
    ("worker", "kinds", "end"),
    [
        pytest.param(GEVENT, PARKED, reload, id="gevent-SIGHUP"),
        pytest.param(GEVENT, PARKED, end_the_worker, id="gevent-SIGTERM", marks=pytest.mark.full),
        pytest.param(GEVENT, PARKED, ask_until_it_has_had_enough, id="gevent-max_requests", marks=pytest.mark.full),
        pytest.param(GTHREAD, PULLED, reload, id="gthread-SIGHUP", marks=pytest.mark.full),
        pytest.param(GTHREAD, PULLED, end_the_worker, id="gthread-SIGTERM"),
        pytest.param(GTHREAD, PULLED, ask_until_it_has_had_enough, id="gthread-max_requests", marks=pytest.mark.full),
    ],
)
def test_a_worker_that_ends_sends_its_clients_back_and_nothing_is_lost(
    worker: tuple[str, ...], kinds: tuple[type[Client], ...], end: Callable[[Server], None], tmp_path: Path
) -> None:
    requests = ("--max-requests", str(MAX_REQUESTS)) if end is ask_until_it_has_had_enough else ()
    environ = {"CHANNEL": f"sqlite:///{tmp_path / 'channel.db'}"}
    with serve(PATIENT, command=(*_GUNICORN, *worker, *requests), environ=environ) as server, ExitStack() as stack:
        clients = [stack.enter_context(kind(server)) for kind in kinds]
        (before,) = children(server)
        server.publish("before")
        assert [client.data(1) for client in clients] == [["before"]] * len(clients)
        for client in clients:
            client.listen()
        all_are_held(server, len(clients))
        end(server)
        told = [client.receive() for client in clients]
        assert [shape for shape in told if not sends_back(shape)] == []
        for client in clients:
            client.drop()
        until(lambda: before not in children(server))
        server.publish("while they were away")
        again = [stack.enter_context(client.hop(type(client))) for client in clients]
        assert [client.data(1) for client in again] == [["while they were away"]] * len(clients)
        assert all(client.greeting["recovered"] for client in again)
        assert "graceful timeout" not in server.errors
        assert "SIGKILL" not in server.errors


def sends_back(shape: dict[str, dict[str, float]]) -> bool:
    """Does it say: come back? A poll that came too late to be told a moment of its own is ended by a code that says so."""
    if "reconnect" in shape:
        return 0 <= shape["reconnect"]["wait_seconds"] <= 3
    return shape["close"]["code"] == 4000


@pytest.mark.parametrize("worker", [pytest.param(GEVENT, id="gevent"), pytest.param(GTHREAD, id="gthread")])
def test_a_server_that_stops_tells_its_clients_so_and_stops_in_time(worker: tuple[str, ...]) -> None:
    with serve(PATIENT, command=(*_GUNICORN, *worker)) as server:
        with EventStream(server) as stream, LongPoll(server) as poll:
            poll.listen()
            all_are_held(server, 2)
            os.kill(server.pid, signal.SIGTERM)
            assert sends_back(stream.receive())
            assert sends_back(poll.receive())
        until(lambda: not children(server) or "Shutting down: Master" in server.errors)
        assert "graceful timeout" not in server.errors
