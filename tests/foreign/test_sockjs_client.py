"""sockjs-client 1.6.1 from npm, unmodified, in Node: by each transport that it has there."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.live.server import LIMIT_SECONDS, Server, serve
from tests.proxies.foreground import free_port

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / ".tools/sockjs/node_modules/sockjs-client"
TRANSPORTS = ("websocket", "xhr-streaming", "eventsource", "xhr-polling")
HOSTILE = ("", " ", "é", "\u2028\u2029", "100% %41 %zz", "a\nb\r\0\tc", '"\\</script><!--<script>', "😀", "\ud800", "x" * 5000)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(application="tests.conformance.sockjs.services:app") as server:
        yield server


class Page:
    """A running client."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def next(self) -> Any:
        """Wait for what it sees next."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the client has ended"
        return json.loads(line)

    def tell(self, **asked: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()


@contextmanager
def page(url: str, transport: str = "") -> Iterator[Page]:
    node = shutil.which("node")
    assert node is not None and CLIENT.exists(), "run .ci/install-system"
    command = ["timeout", str(int(LIMIT_SECONDS)), node, str(ROOT / "tests/foreign/sockjs_client.js"), CLIENT, url, transport]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Page(process)
        finally:
            process.terminate()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_what_is_sent_comes_back_as_it_was(server: Server, transport: str) -> None:
    with page(f"http://127.0.0.1:{server.port}/echo", transport) as one:
        assert one.next() == {"open": transport}
        for text in HOSTILE:
            one.tell(send=text)
        assert [one.next() for _ in HOSTILE] == [{"message": text} for text in HOSTILE]
        one.tell(close=[3001, "enough"])
        assert one.next() == {"close": [3001, "enough"]}


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_what_the_application_says_when_it_closes_is_told(server: Server, transport: str) -> None:
    with page(f"http://127.0.0.1:{server.port}/close", transport) as one:
        assert one.next() == {"open": transport}
        assert one.next() == {"close": [3000, "Go away!"]}


def test_a_server_that_restarts_says_so_and_the_next_client_comes_to_the_new_one() -> None:
    port = free_port()
    command = [sys.executable, "-m", "cometware", "serve", "tests.live.watched:app", "--bind", f"127.0.0.1:{port}"]
    url = f"http://127.0.0.1:{port}/comet/sockjs"
    with ExitStack() as stack:
        with serve(command=command) as server:
            old = [stack.enter_context(page(url, transport)) for transport in TRANSPORTS]
            assert [one.next() for one in old] == [{"open": transport} for transport in TRANSPORTS]
            # Who is between two polls when the server ends finds nobody, and can be told nothing.
            server.until("/watch", lambda seen: seen["listeners"] == len(TRANSPORTS))
        assert [one.next() for one in old] == [{"close": [4000, "the server restarts"]}] * len(TRANSPORTS)
        with serve(command=command), page(url) as new:
            assert new.next() == {"open": "websocket"}
            new.tell(send="hello")
            assert '"data":"hello"' in new.next()["message"]
