"""Workers die, and what was at home there goes on elsewhere. Each worker is a process of its own at an address of its own."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.chaos import Worker
from tests.live.clients import LongPoll, WebSocket, new_key
from tests.live.server import LIMIT_SECONDS, PATIENT, Server
from tests.redis_server import RedisServer

LEASE = PATIENT | {"lease_seconds": 3, "heartbeat_seconds": 20}
SOON_GONE = pytest.mark.parametrize("limits", [LEASE | {"grace_seconds": 1}], ids=["soon gone"])


class Crew(Server):
    """Workers of one channel; what is asked of all may be asked of any that lives."""

    def __init__(self, workers: Sequence[Worker]) -> None:
        self.workers = workers
        self.servers = [_At(worker) for worker in workers]

    @property
    def port(self) -> int:  # type: ignore[override]
        return next(worker.port for worker in self.workers if worker.process.poll() is None)

    def kill(self, index: int) -> None:
        self.workers[index].kill()

    def eventually(self, look: Callable[[], Any], wanted: Any) -> None:
        deadline = time.monotonic() + LIMIT_SECONDS
        while (found := look()) != wanted:
            assert time.monotonic() < deadline, f"expected {wanted}, still {found}"
            time.sleep(0.02)


class _At(Server):
    def __init__(self, worker: Worker) -> None:
        self.port = worker.port
        self.pid = worker.process.pid


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.full)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/channel.db"
        return
    redis = RedisServer(tmp_path / "redis", "--appendonly", "yes", "--appendfsync", "always")
    yield redis.url
    redis.stop()


@pytest.fixture
def limits() -> dict[str, float]:
    return LEASE


@pytest.fixture
def crew(url: str, tmp_path: Path, limits: dict[str, float]) -> Iterator[Crew]:
    (tmp_path / "journal").mkdir()
    environ = {"CHANNEL": url, "JOURNAL": str(tmp_path / "journal"), "LIMITS": json.dumps(limits)}
    with ExitStack() as stack:
        workers = [Worker(environ, tmp_path / "errors") for _ in range(2)]
        for worker in workers:
            stack.callback(worker.close)
            worker.await_start()
            _At(worker).get("/position")
        yield Crew(workers)
    errors = (tmp_path / "errors").read_text()
    assert "Traceback" not in errors, errors


def test_a_client_goes_on_at_another_worker_when_its_own_was_killed(crew: Crew) -> None:
    one, two = crew.servers
    with WebSocket(one, room="room:x") as client:
        assert client.ask("rename", "Ann", 1) == {"was": None, "name": "Ann"}
        assert client.acknowledged(1) == {"accepted": 1}
        crew.kill(0)
        two.publish("meanwhile", to="room:x")
        client.server = two
        client.drop()
        with client.hop(WebSocket) as again:
            assert (again.greeting["client"], again.greeting["recovered"], again.greeting["accepted"]) == (client.id, True, 1)
            assert again.data(1) == ["meanwhile"]
            assert again.ask("rename", "Bob", 2) == {"was": "Ann", "name": "Bob"}
            assert two.life_of(client.id) == ["open"]


@SOON_GONE
def test_who_does_not_come_back_after_its_worker_died_is_closed_once(crew: Crew) -> None:
    one, two = crew.servers
    with WebSocket(one) as client, WebSocket(two) as other:
        crew.kill(0)
        (line,) = two.journal(1, kind="close")
        assert (line["client"], line["reason"]) == (client.id, "timeout")
        crew.eventually(lambda: [present["id"] for present in two.get("/presence/*")], [other.id])
        assert len(two.journal(kind="close", client=client.id)) == 1


def test_a_message_whose_worker_died_in_its_handler_is_handled_by_another_in_order(crew: Crew) -> None:
    one, two = crew.servers
    gate = new_key()
    with WebSocket(one) as client:
        client.send(gate, event="wait", n=1, reply=True)
        two.journal(1, kind="begin", client=client.id)
        with LongPoll(two, key=client.key, after=client.position) as other:
            other.send("second", event="note", n=2)
            crew.kill(0)
            other.send(gate, event="wait", n=1, reply=True)
            two.journal(2, kind="begin", data=gate)
            two.post(f"/gate/{gate}")
            lines = [line["data"] for line in two.journal(3, kind="begin", client=client.id)]
            assert lines == [gate, gate, "second"]


def test_a_repeat_at_another_worker_is_acknowledged_and_not_handled_again(crew: Crew) -> None:
    one, two = crew.servers
    with LongPoll(one) as client:
        client.send("once", event="note", n=1)
        assert client.acknowledged(1) == {"accepted": 1}
        client.server = two
        client.send("once", event="note", n=1)
        assert client.acknowledged(1) == {"accepted": 1}
        client.send("next", event="note", n=2)
        assert client.acknowledged(2) == {"accepted": 2}
        assert [line["data"] for line in two.journal(kind="begin")] == ["once", "next"]


@pytest.mark.parametrize("transport", [WebSocket, LongPoll])
def test_what_a_view_of_one_worker_does_reaches_the_clients_of_another(crew: Crew, transport: type[WebSocket]) -> None:
    one, two = crew.servers
    with transport(one, cookie=one.login("ann")) as client:
        assert two.post("/channel/join", client_id=client.id, room="room:x") is True
        two.publish("in the room", to="room:x")
        assert client.data(1) == ["in the room"]
        assert two.post("/channel/leave", client_id=client.id, room="room:x") is True
        two.publish("not heard", to="room:x")
        two.publish("for ann", to="user:ann")
        assert client.data(1) == ["for ann"]
        assert [present["id"] for present in two.get("/presence/user:ann")] == [client.id]
        two.post("/channel/revoke", user="ann")
        assert client.receive()["close"]["code"] == 4410
        (line,) = one.journal(1, kind="close", client=client.id)
        assert line["reason"] == "revoked"


@pytest.mark.full
def test_a_client_that_is_being_opened_can_be_revoked_elsewhere(crew: Crew) -> None:
    one, two = crew.servers
    gate = new_key()
    client = WebSocket(one, cookie=one.login("ann"), gate=gate)
    client.begin()
    two.journal(1, kind="open", user="ann")
    two.post("/channel/revoke", user="ann")
    two.post(f"/gate/{gate}")
    try:
        assert client.receive()["close"]["code"] == 4410
    finally:
        client.drop()


@SOON_GONE
def test_a_worker_that_stood_still_for_longer_than_its_lease_comes_back_in_order(crew: Crew) -> None:
    one, two = crew.servers
    with WebSocket(one) as client, WebSocket(two) as witness:
        crew.workers[0].process.send_signal(signal.SIGSTOP)
        two.publish("while it stands")
        assert witness.data(1) == ["while it stands"]
        two.journal(1, kind="close", client=client.id)
        crew.workers[0].process.send_signal(signal.SIGCONT)
        assert client.data(1) == ["while it stands"]
        with client.hop(WebSocket) as again:
            two.publish("afterwards")
            assert again.data(1) == ["afterwards"]
            assert two.life_of(client.id) == ["open", "close", "open"]


@pytest.mark.full
def test_when_all_workers_died_their_clients_go_on_with_new_ones(crew: Crew) -> None:
    one, two = crew.servers
    with WebSocket(one, room="room:x") as client:
        one.publish("before", to="room:x")
        assert client.data(1) == ["before"]
        one.publish("unheard", to="room:x")
        for worker in crew.workers:
            worker.kill()
        for worker in crew.workers:
            worker.start()
            worker.await_start()
        client.drop()
        client.server = two
        with client.hop(WebSocket) as again:
            assert again.data(1) == ["unheard"]
            assert two.life_of(client.id) == ["open"]
