"""One publisher, every kind of client at once: all hear the same messages in the same order."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import islice

import pytest

from tests.foreign.clients import SocketIO
from tests.foreign.test_sockjs_client import page
from tests.live import clients
from tests.live.plain import EventSource, PlainWebSocket
from tests.live.server import PATIENT, Server, serve

COUNT = 5000
PIECES = [
    "", "a", " ", "\n", "\r\n", "\r", "\t", "\0", "\x1e", "\\n", "\\", '"', "'", "</script>", "]]>", "%", "%41", "&amp;", "é",
    "e\u0301", "\u200f", "\u2028", "\u2029", "\ufeff", "\ufffd", "\uffff", "😀", "👩‍👩‍👧", "\U0010ffff", "data: x", "42[1]",
    "1:2", "null", '{"$bytes":1}', "中文", "\x7f", "\x85",
]  # fmt: skip
Heard = Callable[[], Iterator[str]]


def hostile() -> list[str]:
    """Texts that break whoever splits, escapes or counts wrongly; each is known by its number."""
    dice = random.Random(7)
    return [f"{number} {''.join(dice.choices(PIECES, k=dice.randrange(8)))}" for number in range(COUNT)]


def as_an_event_source_reads_it(text: str) -> str:
    """SSE has one kind of line break."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


@contextmanager
def native(kind: type[clients.Client], server: Server) -> Iterator[Heard]:
    with kind(server) as client:
        yield lambda: (client.receive()["data"] for _ in range(COUNT))


@contextmanager
def curl(server: Server) -> Iterator[Heard]:
    url = f"http://127.0.0.1:{server.port}/comet"
    command = ["curl", "-sN", "-H", "Accept: application/x-ndjson", url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = map(json.loads, process.stdout)
        assert "open" in next(lines)
        yield lambda: (line["data"] for line in lines if "data" in line)
        process.terminate()


@contextmanager
def event_source(server: Server) -> Iterator[Heard]:
    with EventSource(server) as source:
        yield lambda: (source.event().data for _ in range(COUNT))


@contextmanager
def raw_websocket(server: Server) -> Iterator[Heard]:
    with PlainWebSocket(server) as socket:
        yield lambda: (str(socket.receive()) for _ in range(COUNT))


@contextmanager
def socketio(version: int, transport: str, server: Server) -> Iterator[Heard]:
    with SocketIO(version, server.port, transports=[transport]) as client:
        client.connected()
        yield lambda: (client.event("message")[0] for _ in range(COUNT))


@contextmanager
def sockjs(transport: str, server: Server) -> Iterator[Heard]:
    with page(f"http://127.0.0.1:{server.port}/comet/sockjs", transport) as client:
        assert "open" in client.next()
        yield lambda: (client.next()["message"] for _ in range(COUNT))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(PATIENT, application="tests.foreign.app:app") as server:
        yield server


def test_everybody_hears_the_same_in_the_same_order(server: Server) -> None:
    with ExitStack() as stack:
        kinds = {
            "native websocket": native(clients.WebSocket, server),
            "native poll": native(clients.LongPoll, server),
            "curl": curl(server),
            "EventSource": event_source(server),
            "raw websocket": raw_websocket(server),
            "socket.io 2 polling": socketio(2, "polling", server),
            "socket.io 3 polling": socketio(3, "polling", server),
            "socket.io 4 websocket": socketio(4, "websocket", server),
            "sockjs xhr-streaming": sockjs("xhr-streaming", server),
            "sockjs xhr-polling": sockjs("xhr-polling", server),
        }
        listening = {name: stack.enter_context(kind) for name, kind in kinds.items()}
        threads = stack.enter_context(ThreadPoolExecutor(len(listening)))
        heard = {name: threads.submit(lambda h=h: list(islice(h(), COUNT))) for name, h in listening.items()}
        sent = hostile()
        publisher = stack.enter_context(clients.WebSocket(server))
        for text in sent:
            publisher.send(text)
        for name, future in heard.items():
            expected = list(map(as_an_event_source_reads_it, sent)) if name == "EventSource" else sent
            assert future.result() == expected, name
