"""Whoever listens, and by whatever protocol: all hear the same messages in the same order, hostile ones too."""

from __future__ import annotations

import http.client
import json
import random
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest
from websockets.sync.client import connect

from tests.foreign.clients import SocketIO
from tests.foreign.test_sockjs_client import page
from tests.live.server import LIMIT_SECONDS, PATIENT, Server, serve

COUNT = 5000
HOSTILE = [*"\0\t\n\r\"'\\/<>%&+ {}[]()\x7f\x85é\u200d\u2028\ufeff\uffff😀", "\ud800", "\udc00", "</script>", "<!--<script>"]


def messages() -> list[str]:
    chance = random.Random(6)
    return [f"{number} {''.join(chance.choices(HOSTILE, k=chance.randrange(12)))}" for number in range(COUNT)]


def as_utf8(text: str) -> str:
    """Return what is left of a text where it is not escaped: half of a pair is U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def joined(text: str) -> str:
    """Return the same with its pairs made one character, as JSON's escapes do."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def in_lines(text: str) -> str:
    """Return what Server-Sent Events leave of it: every line break is one."""
    return re.sub("\r\n|\r", "\n", as_utf8(text))


@contextmanager
def websocket(server: Server, path: str) -> Iterator[Iterator[str]]:
    with connect(f"ws://127.0.0.1:{server.port}{path}", open_timeout=LIMIT_SECONDS, max_size=None) as socket:
        if "v=1" in path or "sockjs/" in path:
            socket.recv(LIMIT_SECONDS)
        yield (str(socket.recv(LIMIT_SECONDS)) for _ in iter(int, 1))


@contextmanager
def raw_websocket(server: Server) -> Iterator[Iterator[str]]:
    with websocket(server, "/comet") as frames:
        yield frames


@contextmanager
def native_websocket(server: Server) -> Iterator[Iterator[str]]:
    with websocket(server, "/comet?v=1") as frames:
        yield (shape["data"] for shape in map(json.loads, frames) if "data" in shape)


@contextmanager
def sockjs_websocket(server: Server) -> Iterator[Iterator[str]]:
    with websocket(server, "/comet/sockjs/1/a/websocket") as frames:
        yield (text for frame in frames if frame[0] == "a" for text in json.loads(frame[1:]))


@contextmanager
def sse(server: Server) -> Iterator[Iterator[str]]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=LIMIT_SECONDS)
    connection.request("GET", "/comet?transport=sse")
    response = connection.getresponse()

    def events() -> Iterator[str]:
        data: list[str] = []
        for line in iter(response.readline, b""):
            text = line.decode().removesuffix("\n")
            if text.startswith("data: "):
                data.append(text[6:])
            elif not text and data:
                yield "\n".join(data)
                data = []

    yield events()
    connection.close()


@contextmanager
def curl(server: Server) -> Iterator[Iterator[str]]:
    url = f"http://127.0.0.1:{server.port}/comet?transport=stream"
    command = ["curl", "--silent", "--no-buffer", "--max-time", str(LIMIT_SECONDS), url]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert b'"open"' in process.stdout.readline()
        yield (shape["data"] for shape in map(json.loads, process.stdout) if "data" in shape)
        process.terminate()


@contextmanager
def sockjs_client(server: Server, transport: str) -> Iterator[Iterator[str]]:
    with page(f"http://127.0.0.1:{server.port}/comet/sockjs", transport) as one:
        assert one.next() == {"open": transport}
        yield (one.next()["message"] for _ in iter(int, 1))


@contextmanager
def sockjs_jsonp(server: Server) -> Iterator[Iterator[str]]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=LIMIT_SECONDS)

    def poll() -> str:
        connection.request("GET", "/comet/sockjs/1/jsonp/jsonp?c=f")
        body = connection.getresponse().read().decode()
        return str(json.loads(body.removeprefix("/**/f(").removesuffix(");\r\n")))

    assert poll() == "o"
    yield (text for frame in iter(poll, "") if frame[0] == "a" for text in json.loads(frame[1:]))
    connection.close()


@contextmanager
def socketio(server: Server, version: int, transport: str) -> Iterator[Iterator[str]]:
    with SocketIO(version, server.port, transports=[transport]) as one:
        one.connected()
        yield (one.event("message")[0] for _ in iter(int, 1))


LISTENERS = {
    "native websocket": (native_websocket, joined),
    "raw websocket": (raw_websocket, as_utf8),
    "Server-Sent Events": (sse, in_lines),
    "curl": (curl, joined),
    "sockjs websocket": (sockjs_websocket, joined),
    "sockjs xhr-streaming": (lambda server: sockjs_client(server, "xhr-streaming"), joined),
    "sockjs xhr-polling": (lambda server: sockjs_client(server, "xhr-polling"), joined),
    "sockjs jsonp": (sockjs_jsonp, joined),
    "socket.io 2 polling": (lambda server: socketio(server, 2, "polling"), joined),
    "socket.io 3 polling": (lambda server: socketio(server, 3, "polling"), joined),
    "socket.io 4 websocket": (lambda server: socketio(server, 4, "websocket"), joined),
}
"""Who listens, and what a text is when it arrives there."""


@pytest.fixture
def server() -> Iterator[Server]:
    with serve(PATIENT | {"rates": None}) as server:
        yield server


def test_everybody_hears_the_same_sequence(server: Server) -> None:
    texts = messages()
    with ExitStack() as stack, ThreadPoolExecutor(len(LISTENERS)) as threads:
        heard = {name: stack.enter_context(listen(server)) for name, (listen, _) in LISTENERS.items()}
        reading = {name: threads.submit(lambda each: [next(each) for _ in texts], each) for name, each in heard.items()}
        for start in range(0, COUNT, 50):
            body = json.dumps([{"event": "publish", "data": text} for text in texts[start : start + 50]]).encode()
            assert server.request("POST", "/comet", body, {"Content-Type": "application/json"})[0] == 200
        for name, (_, arrives) in LISTENERS.items():
            assert reading[name].result(2 * LIMIT_SECONDS) == [arrives(text) for text in texts], name
