"""`curl` and a shell: ten lines that follow the next link of a long poll are a whole client."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.live.clients import WebSocket
from tests.live.server import LIMIT_SECONDS, PATIENT, Server

LIMITS = PATIENT | {"poll_seconds": 1}

FOLLOW = """\
#!/bin/sh
# follow URL: print each message of a channel, for ever
base=$1 next=
while :; do
    answer=$(curl -sS -i "$base$next") || exit
    link=$(printf '%s' "$answer" | tr -d '\\r' | sed -n 's/^[Ll]ink: <\\(.*\\)>; rel="next"$/\\1/p')
    [ -n "$link" ] || { printf '%s\\n' "$answer" >&2; exit 1; }
    next=$link
    printf '%s\\n' "$answer" | tail -n 1
done
"""


@contextmanager
def running(*command: str) -> Iterator[subprocess.Popen[str]]:
    """Run a program for the length of the block, its output in a pipe."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.stderr and process.stderr.read()
    return line.rstrip("\n")


def curl(*arguments: str) -> str:
    done = subprocess.run(["curl", "-sS", *arguments], capture_output=True, text=True, timeout=LIMIT_SECONDS)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def url(server: Server) -> str:
    return f"http://127.0.0.1:{server.port}/comet"


def test_curl_reads_an_event_stream(server: Server, url: str) -> None:
    with running("curl", "-sSN", "-H", "Accept: text/event-stream", url) as process:
        begin = server.get("/position")
        assert [line_of(process) for _ in range(3)] == ["retry: 2000", f"id: {begin}", ""]
        first, second = server.publish("hello"), server.publish({"order": 7}, event="order")
        assert [line_of(process) for _ in range(7)] == [
            f"id: {first}",
            "data: hello",
            "",
            "event: order",
            f"id: {second}",
            'data: {"order":7}',
            "",
        ]


def test_curl_says_hello_and_everybody_sees_it(server: Server, url: str) -> None:
    with WebSocket(server) as witness:
        assert json.loads(curl("-d", "hello", url)) == {"accepted": 1}
        assert witness.receive()["data"]["data"] == "hello"


def test_curl_gets_the_reply_in_the_body(server: Server, url: str) -> None:
    answer = curl("-H", "Content-Type: application/json", "-d", '{"event": "echo", "data": [1, 2]}', url)
    assert json.loads(answer) == {"accepted": 1, "data": [1, 2]}


def test_curl_publishes_with_the_token(server: Server, url: str) -> None:
    with WebSocket(server) as witness:
        body = '[{"data": {"order": 7}, "event": "order"}, {"data": "for nobody", "to": "room:empty"}]'
        answer = json.loads(curl("-H", "Authorization: Bearer a secret", "-d", body, url + "/publish"))
        assert witness.receive() == {"id": answer[0]["position"], "event": "order", "data": {"order": 7}}
        assert answer[1]["position"] == server.get("/position")
        refused = json.loads(curl("-H", "Authorization: Bearer guess", "-d", "x" * 100_000, url + "/publish"))
        assert refused["error"]["code"] == "token"


def test_who_posts_without_a_key_comes_and_goes_with_the_message(server: Server, url: str) -> None:
    before = server.journal()
    curl("-d", "hello", url)
    server.journal(1 + sum(line["kind"] == "close" for line in before), kind="close")
    lines = server.journal()[len(before) :]
    assert [line["kind"] for line in lines] == ["open", "message", "close"]
    assert len({line["client"] for line in lines}) == 1


def test_curl_sees_where_the_next_poll_goes(server: Server, url: str) -> None:
    head, _, body = curl("-i", url + "?wait=5").replace("\r", "").partition("\n\n")
    position = server.get("/position")
    (greeting,) = json.loads(body)
    assert greeting["open"]["position"] == position
    links = [line for line in head.split("\n") if line.lower().startswith("link: ")]
    assert len(links) == 1
    assert links[0].endswith(f'&wait=5&after={position}>; rel="next"')


def test_a_shell_script_curl_and_a_websocket_see_one_order(server: Server, url: str) -> None:
    count = 300
    with (
        running("/bin/sh", "-c", FOLLOW, "follow", url) as script,
        running("curl", "-sSN", "-H", "Accept: application/x-ndjson", url) as stream,
        running("curl", "-sSN", "-H", "Accept: text/event-stream", url + "?v=1") as source,
        WebSocket(server) as socket,
    ):
        assert "open" in json.loads(line_of(script))[0]
        assert "open" in json.loads(line_of(stream))
        while not line_of(source).startswith('data: {"open"'):
            pass
        server.post("/flood", count=count, every=3, rest=2)
        expected = [socket.receive() for _ in range(count)]
        assert [entry["data"] for entry in expected] == list(range(1, count + 1))

        def shapes(process: subprocess.Popen[str], start: str) -> list[object]:
            found: list[object] = []
            while len(found) < count:
                line = line_of(process)
                if line.startswith(start):
                    shape = json.loads(line.removeprefix(start))
                    found += [one for one in (shape if isinstance(shape, list) else [shape]) if "ping" not in one]
            return found

        assert shapes(stream, "") == expected
        assert shapes(source, "data: ") == expected
        assert shapes(script, "") == expected
