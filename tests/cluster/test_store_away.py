"""The store of live workers goes away, comes back, or forgets everything: nobody hangs, and nobody misses anything unsaid."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from cometware import Channel, Limits, LogUnavailable
from tests.cluster.chaos import Worker
from tests.cluster.workers import cluster
from tests.live.clients import Ended, LongPoll, WebSocket, new_key
from tests.live.http import Body, connect, request
from tests.live.server import LIMIT_SECONDS, Server
from tests.redis_server import RedisServer

LIMITS = {"store_seconds": 1, "order_seconds": 1, "lease_seconds": 2, "heartbeat_seconds": 20}


class At(Server):
    def __init__(self, worker: Worker) -> None:
        self.port = worker.port
        self.pid = worker.process.pid


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    redis = RedisServer(tmp_path / "redis", "--appendonly", "yes", "--appendfsync", "always")
    yield redis
    redis.stop()


@contextmanager
def running(url: str, tmp_path: Path) -> Iterator[tuple[Server, Server]]:
    """Run two workers of one channel for the length of the block."""
    (tmp_path / "journal").mkdir()
    environ = {"CHANNEL": url, "JOURNAL": str(tmp_path / "journal"), "LIMITS": json.dumps(LIMITS)}
    with ExitStack() as stack:
        workers = [Worker(environ, tmp_path / "errors") for _ in range(2)]
        for worker in workers:
            stack.callback(worker.close)
            worker.await_start()
        one, two = (At(worker) for worker in workers)
        for server in (one, two):
            server.get("/position")
        yield one, two


@pytest.fixture
def servers(redis: RedisServer, tmp_path: Path) -> Iterator[tuple[Server, Server]]:
    with running(redis.url, tmp_path) as both:
        yield both


@pytest.mark.parametrize("away_seconds", [0, pytest.param(30, marks=pytest.mark.full)])
def test_while_redis_is_away_publish_fails_in_time_and_clients_stay(
    redis: RedisServer, servers: tuple[Server, Server], away_seconds: float
) -> None:
    one, two = servers
    publisher = Channel(redis.url, limits=Limits(store_seconds=1))
    with WebSocket(one) as socket, LongPoll(two) as poll:
        publisher.publish("before", once="before")
        for client in (socket, poll):
            assert client.data(1) == ["before"]
        redis.kill()
        killed = time.monotonic()
        while True:
            begin = time.monotonic()
            with pytest.raises(LogUnavailable):
                publisher.publish("while away", once="while away")
            assert time.monotonic() - begin < 30
            assert [client.waiting(1) for client in (socket, poll)] == [[], []]  # and they answer pings
            if time.monotonic() - killed >= away_seconds:
                break
        redis.start()
        while True:
            try:
                publisher.publish("while away", once="while away")
                break
            except LogUnavailable:
                continue
        for client in (socket, poll):
            assert client.data(1) == ["while away"]
            assert len(one.journal(kind="open", client=client.id)) == 1


@pytest.mark.full
def test_a_message_is_not_acknowledged_before_all_workers_know_that_it_is_handled(
    redis: RedisServer, servers: tuple[Server, Server]
) -> None:
    one, two = servers
    gate = new_key()
    with LongPoll(one) as client:
        headers = {"Comet-Key": client.key, "Content-Type": "application/json"}
        with closing(connect(one.port)) as post:
            post.sendall(request("POST", "/comet", headers, json.dumps({"n": 1, "event": "wait", "data": gate}).encode()))
            one.journal(1, kind="begin", client=client.id)
            redis.kill()
            one.post(f"/gate/{gate}")
            one.journal(1, kind="end", client=client.id)
            post.settimeout(3 * LIMITS["store_seconds"])
            with pytest.raises(TimeoutError):
                post.recv(4096)
            redis.start()
            post.settimeout(LIMIT_SECONDS)
            body = Body()
            while not body.ended:
                text = body.feed(post.recv(4096))
            assert json.loads(text) == {"accepted": 1}
        message = json.dumps({"n": 2, "event": "note", "data": "next"}).encode()
        status, _, answer = two.request("POST", "/comet", message, headers)
        assert (status, json.loads(answer)) == (200, {"accepted": 2})
        assert [line["data"] for line in two.journal(kind="begin", client=client.id)] == [gate, "next"]


@pytest.mark.parametrize("way", ["post", "websocket"])
def test_who_cannot_ask_redis_says_of_no_message_that_one_before_it_is_missing(
    redis: RedisServer, servers: tuple[Server, Server], way: str
) -> None:
    """Its numbers would begin anew, and what it sends then be taken for a repeat."""
    one, two = servers
    message = {"n": 2, "event": "note", "data": "second"}
    with WebSocket(two) as socket:
        headers = {"Comet-Key": socket.key, "Content-Type": "application/json"}
        status, _, _ = one.request("POST", "/comet", b'{"n":1,"event":"note","data":"first"}', headers)
        assert status == 200
        redis.kill()
        if way == "post":
            status, _, body = two.request("POST", "/comet", json.dumps(message).encode(), headers)
            assert (status, json.loads(body)["error"]["code"]) == (503, "away")
        else:
            socket.send_shape(message)
            with pytest.raises(Ended):
                socket.answer()
            assert socket.close_code is not None and socket.close_code[0] == 4004
        redis.start()
        status = 503
        while status == 503:
            status, _, body = two.request("POST", "/comet", json.dumps(message).encode(), headers)
        assert (status, json.loads(body)) == (200, {"accepted": 2})
        assert [line["data"] for line in one.journal(2, kind="begin", client=socket.id)] == ["first", "second"]


def test_when_redis_forgets_everything_it_is_told_and_goes_on(redis: RedisServer, servers: tuple[Server, Server]) -> None:
    one, two = servers
    with WebSocket(one, room="room:x") as socket, LongPoll(two) as poll:
        one.publish("before")
        for client in (socket, poll):
            assert client.data(1) == ["before"]
        with redis.client() as admin:
            admin.flushall()
        for client in (socket, poll):
            assert client.receive()["reset"]["reason"] in ("epoch", "ahead")
        one.publish("after", to="room:x")
        assert socket.data(1) == ["after"]
        two.publish("for all")
        for client in (socket, poll):
            assert client.data(1) == ["for all"]
        here = {socket.id, poll.id}
        one.until("/presence/*", lambda present: {client["id"] for client in present} == here)


@pytest.mark.parametrize("suffixes", [("", "-wal", "-shm"), pytest.param(("",), marks=pytest.mark.full)])
def test_when_the_file_of_sqlite_is_deleted_everybody_is_told_and_it_goes_on(
    tmp_path: Path, suffixes: tuple[str, ...]
) -> None:
    file = tmp_path / "channel.db"
    with running(f"sqlite:///{file}", tmp_path) as (one, two), WebSocket(one) as socket, LongPoll(two) as poll:
        one.publish("before")
        for client in (socket, poll):
            assert client.data(1) == ["before"]
        for suffix in suffixes:
            Path(f"{file}{suffix}").unlink()
        for client in (socket, poll):
            assert client.receive()["reset"]["reason"] in ("epoch", "ahead")
        one.publish("after")
        two.publish("for all")
        for client in (socket, poll):
            assert client.data(2) == ["after", "for all"]


def test_a_worker_that_has_not_heard_the_newest_entry_asks_redis_before_it_says_that_it_was_lost(redis: RedisServer) -> None:
    with cluster(redis.url, {"tail_seconds": 0}) as both:
        one, two = both.workers
        headers = {"Comet-Key": new_key(), "Accept": "application/json"}
        for number in range(100):
            position = one.publish(number)
            status, _, body = two.request("GET", f"/comet?after={position}&wait=0", headers=headers)
            assert (status, [shape for shape in json.loads(body) if "reset" in shape]) == (200, [])
