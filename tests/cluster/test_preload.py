"""A channel that is made, and published to, before the workers are forked: each of them has a store, a thread and a name of
its own, and all are one channel."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.live.clients import Client, EventStream, WebSocket
from tests.live.server import LIMIT_SECONDS, PATIENT, serve
from tests.proxies.foreground import free_port
from tests.redis_server import RedisServer

LIMITS = PATIENT | {"store_seconds": 20}
APPLICATION = "tests.live.preloaded:app"
GUNICORN = (sys.executable, "-m", "gunicorn", APPLICATION, "--bind", "127.0.0.1:0", "--graceful-timeout", "1")
GEVENT = (*GUNICORN, "-k", "gevent")
GTHREAD = (*GUNICORN, "-k", "gthread", "--threads", "30", "--keep-alive", "0")
OURS = (sys.executable, "-m", "cometware", "serve", APPLICATION)


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/channel.db"
        return
    redis = RedisServer(tmp_path / "redis")
    yield redis.url
    redis.stop()


def cases() -> Iterator[object]:
    kinds = {
        "gevent": ((*GEVENT, "--preload"), WebSocket),
        "gthread": ((*GTHREAD, "--preload"), EventStream),
        "ours": (OURS, WebSocket),
    }
    for name, (command, transport) in kinds.items():
        for store in ("sqlite", "redis"):
            yield pytest.param(command, transport, store, 4, marks=pytest.mark.full, id=f"{name}-{store}-4")
            if (name, store) == ("gevent", "sqlite"):
                yield pytest.param(command, transport, store, 2, id=f"{name}-{store}-2")


@pytest.mark.parametrize(("command", "transport", "url", "count"), [*cases()], indirect=["url"])
def test_what_any_worker_publishes_reaches_the_clients_of_every_worker(
    command: tuple[str, ...], transport: type[Client], url: str, count: int, tmp_path: Path
) -> None:
    (tmp_path / "journal").mkdir()
    environ = {"CHANNEL": url, "JOURNAL": str(tmp_path / "journal")}
    if command == OURS:  # it loads the application in each worker
        command = (*OURS, "--bind", f"127.0.0.1:{free_port()}", "--channel", url)
    workers = ("--workers", str(count))
    with serve(LIMITS, command=(*command, *workers), environ=environ) as server, ExitStack() as stack:
        deadline = time.monotonic() + LIMIT_SECONDS
        clients: dict[int, Client] = {}
        """One at each worker, by its process."""
        while len(clients) < count:
            assert time.monotonic() < deadline, f"only {sorted(clients)} serve"
            client = transport(server)
            client.open()
            (line,) = server.journal(1, kind="open", client=client.id)
            if line["pid"] in clients:
                client.drop()
            else:
                clients[line["pid"]] = client
                stack.callback(client.drop)
        names: dict[int, str] = {}
        published: list[object] = []
        while len(names) < count:
            assert time.monotonic() < deadline, f"only {sorted(names)} publish"
            published.append(server.post("/worker"))
            pid, name = published[-1]
            assert names.setdefault(pid, name) == name
        assert names.keys() == clients.keys()
        assert len(set(names.values())) == count, "two workers have one name"
        for client in clients.values():
            assert client.data(len(published)) == published
        assert [data for _, data in server.get("/history/1000")] == ["while loading", *published]
        here = {client.id for client in clients.values()}
        server.until("/presence/*", lambda present: here <= {one["id"] for one in present})
