"""`cometware tail`, `send` and `publish`, as a shell sees them: lines, exit status, signals."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cometware import Channel
from tests.live.restarting import restarting
from tests.live.server import LIMIT_SECONDS, PATIENT, ROOT, STOP_SECONDS, Server
from tests.live.test_shell import line_of, running
from tests.proxies.foreground import free_port

LIMITS = PATIENT
COMETWARE = (sys.executable, "-m", "cometware")


def cometware(*arguments: str, stdin: str = "") -> tuple[int, str, str]:
    """Run a command; return its status, output and errors."""
    done = subprocess.run(
        [*COMETWARE, *arguments], cwd=ROOT, input=stdin, capture_output=True, text=True, timeout=2 * LIMIT_SECONDS
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def url(server: Server) -> str:
    return f"http://127.0.0.1:{server.port}/comet"


# tail


def test_tail_shows_one_line_for_each_message(server: Server, url: str) -> None:
    server.publish("before")
    with running(*COMETWARE, "tail", url, "--last", "1") as tail:
        assert line_of(tail) == "before"
        for data in ("hello Ω", "two\nlines", "\x1b[2J", {"a": [1, None]}, 7, "7"):
            server.publish(data)
        server.publish({"order": 7}, event="order")
        expected = ["hello Ω", '"two\\nlines"', '"\\u001b[2J"', '{"a":[1,null]}', "7", "7", 'order {"order":7}']
        assert [line_of(tail) for _ in expected] == expected
        tail.send_signal(signal.SIGINT)
        assert tail.wait(STOP_SECONDS) == 130
        assert tail.stderr is not None and tail.stderr.read() == ""


@pytest.mark.parametrize("transport", ["stream", "poll"])
def test_tail_shows_the_events_that_are_asked_for_as_json(server: Server, url: str, transport: str) -> None:
    server.publish("seen", event="order")
    with running(*COMETWARE, "tail", url, "--json", "--event", "order", "--last", "1", "--transport", transport) as tail:
        assert json.loads(line_of(tail))["data"] == "seen"
        server.publish("passed over")
        position = server.publish({"order": 7}, event="order")
        assert line_of(tail) == f'{{"position": "{position}", "event": "order", "data": {{"order":7}}}}'


def test_tail_survives_a_restart_of_the_server_and_says_what_it_cost() -> None:
    with restarting() as place:
        place.server.publish("before")
        with running(*COMETWARE, "tail", place.url, "--last", "1") as tail:
            assert line_of(tail) == "before"
            place.restart().publish("after")
            assert line_of(tail) == "after"
            tail.send_signal(signal.SIGINT)
            assert tail.wait(STOP_SECONDS) == 130
            assert tail.stderr is not None
            assert re.fullmatch(r"cometware: history is lost \(epoch\); on from \w+-\d+\n", tail.stderr.read())


def test_tail_ends_quietly_when_nobody_reads_it_any_more(server: Server, url: str) -> None:
    with running("/bin/sh", "-c", f"'{sys.executable}' -m cometware tail {url} --last 1 | head -n 1") as pipe:
        server.publish("first")
        assert line_of(pipe) == "first"
        while pipe.poll() is None:
            server.publish("more")
        assert pipe.stderr is not None and pipe.stderr.read() == ""


def test_tail_says_who_refuses_and_fails(server: Server, url: str) -> None:
    told = f"Error: {url}?refuse=403 says 403: members only\n"
    assert cometware("tail", url + "?refuse=403") == (1, "", told)


def test_tail_says_when_the_application_ends_it(server: Server, url: str) -> None:
    cookie = server.login("ann")
    server.publish("here")
    with running(*COMETWARE, "tail", url, "--last", "1", "--header", f"Cookie: {cookie}") as tail:
        assert line_of(tail) == "here"
        server.post("/channel/revoke", user="ann")
        assert tail.wait(STOP_SECONDS) == 1
        assert tail.stderr is not None
        assert tail.stderr.read() == f"Error: {url} has ended this client: closed with 4410: revoked\n"


def test_where_nobody_listens_both_fail_and_say_so(closed_port: int) -> None:
    url = f"http://127.0.0.1:{closed_port}/comet"
    told = f"Error: {url} is not reachable: Connection refused (websocket)\n"
    assert cometware("tail", url, "--timeout", "0.1") == (1, "", told)
    assert cometware("send", url, "hello", "--timeout", "0.1") == (1, "", told)


@pytest.fixture
def closed_port() -> int:
    return free_port()


# send


def test_send_waits_until_the_application_has_handled_it(server: Server, url: str) -> None:
    assert cometware("send", url, "hello from a shell") == (0, "", "")
    (line,) = server.journal(1, kind="message", data="hello from a shell")
    assert server.journal(1, kind="close", client=line["client"])[0]["reason"] == "left"


def test_send_shows_the_reply_and_reads_standard_input(server: Server, url: str) -> None:
    assert cometware("send", url, "-", "--event", "echo", "--reply", stdin="two\nlines") == (0, '"two\\nlines"\n', "")
    echoed = cometware("send", url, '{"a": [1]}', "--json", "--event", "echo", "--reply", "--transport", "poll")
    assert echoed == (0, '{"a":[1]}\n', "")


def test_send_fails_where_the_application_does(server: Server, url: str) -> None:
    told = "Error: the application did not take it: refused: pay first\n"
    assert cometware("send", url, "x", "--event", "forbidden") == (1, "", told)
    status, output, errors = cometware("send", url, "x", "--event", "nobody's")
    assert (status, output) == (1, "") and "event: no handler for" in errors
    status, output, errors = cometware("send", url, "{", "--json")
    assert (status, output) == (2, "") and "expected JSON, got '{'" in errors


# publish


LEFT_OUT = ("--but", "c1", "--but", "c2")


def test_publish_puts_a_message_into_the_log_of_the_servers(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/channel.db"
    status, position, errors = cometware("publish", store, "hello", "--once", "1", "--name", "shop")
    assert (status, errors) == (0, "")
    assert cometware("publish", store, "hello", "--once", "1", "--name", "shop") == (0, position, "")
    order = cometware(
        "publish", store, '{"order": 7}', "--json", "--event", "order", "--to", "room:a", "--to", "user:b", *LEFT_OUT
    )
    assert order[0] == 0
    (entry,) = Channel(store, name="shop").recent_entries()
    assert (str(entry.position), entry.data) == (position.strip(), "hello")
    (entry,) = Channel(store).recent_entries("user:b")
    assert (entry.message.event, entry.message.to, entry.data) == ("order", ("room:a", "user:b"), {"order": 7})
    assert entry.message.left_out == ("c1", "c2")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["memory:", "hello"], "memory: is a log in one process"),
        (["carrier:pigeon", "hello"], "unknown scheme 'carrier'"),
        (["sqlite:///nowhere/at/all.db", "hello"], "nowhere"),
        (["sqlite:///:memory:", "hello", "--event", "close"], "reserved"),
        (["sqlite:///:memory:", "hello", "--to", "ann"], "expected '*', 'client:<id>', 'user:<name>' or 'room:<name>'"),
    ],
)
def test_publish_fails_and_says_why(tmp_path: Path, arguments: list[str], told: str) -> None:
    arguments = [argument.replace(":memory:", f"{tmp_path}/c.db") for argument in arguments]
    status, output, errors = cometware("publish", *arguments)
    assert status in (1, 2) and output == ""
    assert told in " ".join(errors.split()) and "Traceback" not in errors
