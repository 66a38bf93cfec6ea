"""Several processes at one log, by each kind of store that can be shared."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from cometware import Channel, Limits
from tests.logs.waiting import SECONDS, until
from tests.redis_server import RedisServer

Writer: TypeAlias = Callable[..., subprocess.Popen[str]]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", "redis"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/channel.db"
    server: RedisServer = request.getfixturevalue("server")
    server.client().flushall()
    return server.url


@pytest.fixture
def writer() -> Iterator[Writer]:
    started: list[subprocess.Popen[str]] = []

    def start(url: str, *arguments: object, name: str = "comet") -> subprocess.Popen[str]:
        command = [sys.executable, "-W", "error", "-m", "tests.logs.writer", url, name, *map(str, arguments)]
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline().strip(), "the writer did not come up"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def open_channel(url: str, name: str = "comet") -> Channel:
    return Channel(url, name=name, limits=Limits(store_seconds=SECONDS))


def begin(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def test_every_entry_is_there_once_and_in_one_order_everywhere(url: str, writer: Writer) -> None:
    channel = open_channel(url)
    writers = [writer(url, tag, 300, 900) for tag in "ab"]
    for process in writers:
        begin(process)
    for number in range(300):
        channel.publish(["here", number])
    until(channel.log, lambda: channel.position.offset >= 900)
    mine = [[entry.position.offset, entry.data] for entry in channel.log.since(0)]
    assert [offset for offset, _ in mine] == list(range(1, 901))
    for tag in ("a", "b", "here"):
        assert [number for _, (whose, number) in mine if whose == tag] == list(range(300))
    for process in writers:
        lines = process.communicate(timeout=240)[0].splitlines()
        assert json.loads(lines[-1]) == mine
        assert process.returncode == 0


def test_a_process_that_publishes_wakes_the_others_at_once(url: str, writer: Writer) -> None:
    channel = open_channel(url)
    channel.log._store.safety_seconds = 3600  # type: ignore[attr-defined]
    assert channel.position.offset == 0
    woken = threading.Event()
    channel.log.subscribe(woken.set)
    begin(writer(url, "a", 1))
    while not channel.recent():  # it may be woken for another reason first
        assert woken.wait(SECONDS)
        woken.clear()
    assert channel.recent() == [["a", 0]]


def test_what_a_killed_process_was_told_is_in_the_log_is_there(url: str, writer: Writer) -> None:
    channel = open_channel(url)
    process = writer(url, "a", 1_000_000)
    begin(process)
    assert process.stdout is not None
    told = [int(process.stdout.readline()) for _ in range(100)]
    process.kill()
    told += [int(line) for line in process.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
    until(channel.log, lambda: channel.position.offset >= told[-1])
    fresh = open_channel(url)
    assert fresh.position.epoch == channel.position.epoch
    end = fresh.publish("behind").offset
    entries = fresh.log.since(max(0, end - 5000))
    offsets = [entry.position.offset for entry in entries]
    assert offsets == list(range(offsets[0], end + 1))
    assert [entry.data for entry in entries[:-1]] == [["a", offset - 1] for offset in offsets[:-1]]
    assert told == list(range(1, told[-1] + 1))
    assert told[-1] <= end


def test_two_channels_in_one_store_are_apart(url: str, writer: Writer) -> None:
    chat, orders = open_channel(url, "chat"), open_channel(url, "orders")
    chat.publish("hello")
    begin(writer(url, "a", 1, name="orders"))
    until(orders.log, lambda: orders.position.offset == 1)
    assert (chat.recent(), orders.recent()) == (["hello"], [["a", 0]])
    assert chat.position.epoch != orders.position.epoch


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_has_a_connection_of_its_own(url: str) -> None:
    channel = open_channel(url)
    channel.publish("before")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            channel.publish("child")
            status = 0 if channel.recent()[:1] == ["before"] else 2
        finally:
            os._exit(status)
    channel.publish("parent")
    assert os.waitpid(child, 0)[1] == 0
    until(channel.log, lambda: channel.position.offset == 3)
    assert channel.recent()[0] == "before"
    assert sorted(channel.recent()[1:]) == ["child", "parent"]


SCRIPT = """
import sys
from cometware import Channel
channel = Channel(sys.argv[1])
channel.publish({"order": 7}, event="order", once="order-7")
channel.publish({"order": 7}, event="order", once="order-7")
assert channel.recent() == [{"order": 7}]
assert channel.presence() == []
assert not {"gevent", "greenlet", "werkzeug", "websockets"} & set(sys.modules), set(sys.modules)
"""


def test_a_script_without_gevent_publishes_and_ends_without_a_word(url: str) -> None:
    done = subprocess.run([sys.executable, "-W", "error", "-c", SCRIPT, url], capture_output=True, timeout=240, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


GREEN = """
from gevent import monkey; monkey.patch_all()
import sys, gevent
from cometware import Channel, Limits
channel = Channel(sys.argv[1], limits=Limits(store_seconds=20))
turns = []

def work(number):
    channel.publish(number)
    turns.append(number)

with gevent.Timeout(30):
    gevent.joinall([gevent.spawn(work, number) for number in range(100)], raise_error=True)
assert sorted(channel.recent(n=200)) == list(range(100))
"""


def test_a_hundred_greenlets_publish_at_once_under_gevent(url: str) -> None:
    done = subprocess.run([sys.executable, "-c", GREEN, url], capture_output=True, timeout=240, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


POOL = """
import multiprocessing, os, sys
from cometware import Channel, Limits

channel = Channel(sys.argv[1], limits=Limits(store_seconds=30))
channel.publish("parent")

def work(number):
    channel.publish([number, os.getpid()])
    return os.getpid()

with multiprocessing.get_context("fork").Pool(2) as pool:
    used = pool.map(work, range(100), chunksize=1)
    pool.close()
    pool.join()
channel.publish("parent again")
assert os.getpid() not in used
assert "gevent" not in sys.modules
"""


def test_every_child_of_a_forking_pool_publishes_on_the_channel_that_its_parent_used(url: str) -> None:
    reader = open_channel(url)
    assert reader.position.offset == 0
    done = subprocess.run([sys.executable, "-c", POOL, url], capture_output=True, timeout=240, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    until(reader.log, lambda: reader.position.offset >= 102)
    first, *published, last = [entry.data for entry in reader.log.since(0)]
    assert (first, last) == ("parent", "parent again")
    assert sorted(number for number, _ in published) == list(range(100))
