"""A user of Redis with the least rights that docs/stores.md shows: all works; without any one of them, it is told at once."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from cometware import Channel, Limits, LogUnavailable
from cometware.core.events import Close
from cometware.roster.base import Arrival, State
from cometware.roster.redis import RedisFacts
from cometware.roster.shared import SharedRoster
from cometware.stores.redis import RedisStore
from cometware.stores.rights import CLIENTS, Rights
from tests.redis_server import SECONDS, RedisServer

DOCS = Path(__file__).parents[2] / "docs" / "stores.md"
PASSWORD = "s3cret"
RULES = Rights("cometware:{comet}:").rules.split()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture
def user(server: RedisServer) -> Iterator[RedisServer]:
    """Give the server a user with the least rights, and nothing else."""
    server.client().flushall()
    allow(server, RULES)
    yield server
    server.client().execute_command("ACL", "DELUSER", "shop")


def allow(server: RedisServer, rules: list[str]) -> None:
    server.client().execute_command("ACL", "SETUSER", "shop", "reset", "on", f">{PASSWORD}", *rules)


def url(server: RedisServer, scheme: str = "redis") -> str:
    return f"{scheme}://shop:{PASSWORD}@127.0.0.1:{server.port}"


@contextmanager
def at(place: str) -> Iterator[Channel]:
    """A channel whose caller waits for ever: what is not told at once, is not told within the test."""
    channel = Channel(place, limits=Limits(store_seconds=3600))
    yield channel
    assert channel._opened is not None
    channel._opened[0].close()


def everything(place: str) -> None:
    """Do all that a channel does in its store, from two processes' sides."""
    limits = Limits(store_seconds=SECONDS, lease_seconds=3600, once_keys=2, window_entries=20)
    with ExitStack() as stack:
        one, other = Channel(place, limits=limits), Channel(place, limits=limits)
        for channel in (one, other):
            channel.log.open()
            stack.callback(channel.log.close)
        heard = threading.Event()
        stack.callback(other.log.subscribe(heard.set))
        for number in range(70):  # old entries and keys are forgotten on the way
            one.publish(number, once=f"key {number}")
        assert heard.wait(SECONDS)
        deadline = time.monotonic() + SECONDS
        while other.recent()[-1:] != [69]:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        one.log.sync()
        rosters = []
        for _ in range(2):
            store = RedisStore(place, "comet", limits)
            stack.callback(store.close)
            rosters.append(SharedRoster(limits, RedisFacts(store)))
        here, there = rosters
        for roster in rosters:
            roster.renew(0)
        for roster in rosters:
            record = roster.open(Arrival("a", "key", "ann", "poll", "native", 1.0)).record
            if record.state is State.OPENING:
                roster.settle(record)
                record.state = State.OPEN
        here.renew(1)
        assert here.join("a", "room:x") and here.leave("a", "room:x")
        assert there.turn(record, 1).value == "go"
        there.accept(record, 1)
        assert [client.user for client in here.presence("*")] == ["ann"]
        there.revoke("ann", Close(4403))
        record.state = State.ENDED
        assert there.may_close(record)
        there.closed(record)
        there.drop(record)
        assert here.presence("*") == []
        there.resign()
        here.follow(here.renew(3600 * 10))
        here.follow(here.renew(3600 * 20))


def test_the_docs_show_the_least_rights(user: RedisServer) -> None:
    shown = re.search(r"^ACL SETUSER shop on >\S+ (.*?)$", DOCS.read_text(), re.MULTILINE)
    assert shown is not None
    assert shown[1].split() == RULES


def test_with_the_least_rights_all_works(user: RedisServer) -> None:
    everything(url(user))
    denied = [entry for entry in user.client().acl_log() if entry[b"username"] == b"shop"]
    assert [entry[b"object"] for entry in denied if entry[b"object"] not in (b"client|setinfo",)] == []


@pytest.mark.parametrize("rule", RULES)
def test_without_any_one_of_them_it_is_told_at_once_which(
    user: RedisServer, rule: str, caplog: pytest.LogCaptureFixture
) -> None:
    allow(user, [other for other in RULES if other != rule])
    with at(url(user)) as channel, pytest.raises(LogUnavailable) as failed:
        channel.publish("hello")
        assert rule in CLIENTS  # whom who only publishes does not need
        everything(url(user))
    assert f"its user lacks {rule}. " in str(failed.value)
    assert " ".join(RULES) in str(failed.value)
    assert f"lacks {rule}" in caplog.text
    assert PASSWORD not in caplog.text + str(failed.value)


def test_what_is_allowed_later_works_without_a_restart(user: RedisServer) -> None:
    allow(user, [rule for rule in RULES if rule != "+xread"])
    with at(url(user)) as channel:
        with pytest.raises(LogUnavailable):
            channel.publish("hello")
        allow(user, RULES)
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                channel.publish("hello", once="1")
                break
            except LogUnavailable:
                assert time.monotonic() < deadline
        assert channel.recent() == ["hello"]


def test_a_right_that_is_taken_away_while_all_runs_is_told_at_once(
    user: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    with at(url(user)) as channel:
        channel.publish("hello")
        user.client().execute_command("ACL", "SETUSER", "shop", "-xadd")
        for _ in range(3):
            with pytest.raises(LogUnavailable, match=r"its user lacks \+xadd\. "):
                channel.publish("again")
    assert caplog.text.count("lacks +xadd. ") == 1


def test_the_command_says_so_in_a_line(user: RedisServer) -> None:
    allow(user, [rule for rule in RULES if rule != "+evalsha"])
    command = [sys.executable, "-m", "cometware", "publish", url(user), "hello"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 1
    assert re.search(r"^Error: .*its user lacks \+evalsha", done.stderr, re.MULTILINE)
    assert PASSWORD not in done.stderr


def test_another_database_needs_select(user: RedisServer) -> None:
    with at(url(user) + "/3") as channel, pytest.raises(LogUnavailable, match=r"lacks \+select"):
        channel.publish("hello")
    allow(user, [*RULES, "+select"])
    with at(url(user) + "/3") as channel:
        channel.publish("hello")


# The keys that a script touches are declared, as clusters and Dragonfly want it


def test_a_script_touches_no_key_that_it_does_not_declare(user: RedisServer) -> None:
    seen: list[dict[str, Any]] = []
    with user.client().monitor() as monitor:
        everything(url(user))
        user.client().execute_command("ECHO", "the end")
        for entry in monitor.listen():
            seen.append(entry)
            if "the end" in entry["command"]:
                break
    declared: set[str] = set()
    touched = []
    for entry in seen:
        words = entry["command"].split(" ")
        if entry["client_type"] != "lua":
            declared = (
                set(words[3 : 3 + int(words[2])]) if words[0].upper() in ("EVAL", "EVALSHA") and words[2].isdigit() else set()
            )
        elif words[0].upper() != "TIME":
            touched.append(words[1])
            assert words[1] in declared, entry["command"]
    assert {key.rpartition("}:")[2].partition(":")[0] for key in touched} == {
        "log", "once", "once-offsets", "epochs", "facts", "newest", "leases", "buried", "user", "worker", "moved",
    }  # fmt: skip


def test_a_cluster_of_one_node_serves_it_too(tmp_path: Path) -> None:
    server = RedisServer(tmp_path, "--cluster-enabled", "yes")
    try:
        server.client().execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        deadline = time.monotonic() + SECONDS
        while server.client().cluster("info")["cluster_state"] != "ok":
            assert time.monotonic() < deadline
            time.sleep(0.02)
        allow(server, [*RULES, "+cluster|slots", "+command"])
        everything(url(server, "redis+cluster"))
    finally:
        server.kill()


def test_rules_of_a_name_with_signs_mean_that_name_alone() -> None:
    assert Rights("cometware:{a*b?[c]}:").keys == r"~cometware:{a\*b\?\[c\]}:*"
    assert json.dumps(Rights("cometware:{a}:").rules).startswith('"~cometware:{a}:* +del')
