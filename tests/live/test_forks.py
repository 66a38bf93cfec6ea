"""A view forks, and the child lives on: what the process serves stays its own, and a close is heard though the child holds
the descriptors, too."""

from __future__ import annotations

import select
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.live.clients import Client, Ended, EventStream, LongPoll, Stream, WebSocket
from tests.live.server import LIMIT_SECONDS, PATIENT, Server, serve
from tests.proxies.foreground import free_port

APPLICATION = "tests.live.forking:app"
GUNICORN = (sys.executable, "-m", "gunicorn", APPLICATION, "--bind", "127.0.0.1:0", "--graceful-timeout", "1")
GEVENT = (*GUNICORN, "-k", "gevent")
GTHREAD = (*GUNICORN, "-k", "gthread", "--threads", "12")
OURS = (sys.executable, "-m", "cometware", "serve", APPLICATION, "--bind", "127.0.0.1:{port}")
FLASK = (sys.executable, "-m", "flask", "--app", APPLICATION, "run", "--port", "0", "--no-reload")
PARKED = (WebSocket, EventStream, Stream, LongPoll)
PULLED = (EventStream, Stream, LongPoll)
MESSAGES = 200
full = pytest.mark.full


def cases() -> Iterator[object]:
    for how in ("process", "fork", "executor"):
        yield pytest.param(OURS, PARKED, how, id=f"ours-{how}", marks=() if how == "process" else full)
        yield pytest.param(GEVENT, PARKED, how, id=f"gevent-{how}", marks=() if how == "fork" else full)
    for how in ("process", "fork", "executor", "pool"):
        yield pytest.param(GTHREAD, PULLED, how, id=f"gthread-{how}", marks=() if how == "process" else full)
    yield pytest.param((*OURS, "--workers", "2"), PARKED, "process", id="workers-process", marks=full)
    yield pytest.param(("env", "GEVENT_NOWAITPID=1", "THREADS=4", *OURS), PARKED, "process", id="threads-process", marks=full)
    yield pytest.param((*GEVENT, "--preload"), PARKED, "process", id="preload-process", marks=full)
    yield pytest.param(FLASK, PULLED, "process", id="flask-process", marks=full)


@pytest.mark.parametrize(("command", "kinds", "how"), [*cases()])
def test_a_child_leaves_its_parents_connections_alone(
    command: tuple[str, ...], kinds: tuple[type[Client], ...], how: str, tmp_path: Path
) -> None:
    alive = tmp_path / "alive"
    alive.touch()
    (tmp_path / "journal").mkdir()
    environ = {"ALIVE": str(alive), "CHANNEL": f"sqlite:///{tmp_path / 'channel.db'}", "JOURNAL": str(tmp_path / "journal")}
    command = tuple(part.format(port=free_port()) for part in command)
    with serve(PATIENT, command=command, environ=environ) as server, ExitStack() as stack:
        clients = [stack.enter_context(kind(server)) for kind in kinds]
        for client in clients:
            client.listen()
        parents = {line["pid"] for line in server.journal(len(kinds), kind="open")}
        children = {server.post(f"/fork/{how}")}
        stack.callback(alive.unlink, missing_ok=True)
        for client in clients:
            ((who, child),) = client.data(1)
            assert who == "from the child" and child not in parents
            children.add(child)
        numbers = list(range(1, MESSAGES + 1))
        for number in numbers:
            clients[0].send(number, n=number)
            if not isinstance(clients[0], WebSocket):
                clients[0].acknowledged(number)
        assert [said["data"] for said in clients[0].data(MESSAGES)] == numbers
        assert handled(server, clients[0]) == numbers
        for client in clients[1:]:
            assert [said["data"] for said in client.data(MESSAGES)] == numbers
        late = stack.enter_context(kinds[-1](server))
        assert not children & {line["pid"] for line in server.journal(len(kinds) + 1, kind="open")}
        late.drop()
        for client in clients:
            client.listen()
            assert server.post("/channel/close", client_id=client.id, reason="over")
        for client in clients:
            client.listen()
            assert client.receive()["close"]["reason"] == "over"
            if client.transport != "poll":
                with pytest.raises(Ended):
                    client.receive()
                if kinds == PARKED:
                    assert_hears_the_end(client)


def handled(server: Server, client: Client) -> list[int]:
    return [line["data"] for line in server.journal(MESSAGES, kind="message", client=client.id)]


def assert_hears_the_end(client: Client) -> None:
    """Its socket is ended by the server, while the child is still there."""
    sock = client._sock
    assert isinstance(sock, socket.socket)
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    while True:
        assert poll.poll(1000 * LIMIT_SECONDS), "no FIN came"
        if not sock.recv(65536):
            return
