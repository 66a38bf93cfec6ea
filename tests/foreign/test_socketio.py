"""Unmodified socket.io-client 2, 3 and 4 in Node, by each transport that they can be forced to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.foreign.clients import SocketIO
from tests.live.server import Server, serve

HOSTILE = 'quote " backslash \\ newline \n \\n \r tab \t ls \u2028\u2029 rs \x1e é€😀 </script> 1:2'
WAYS = {"websocket": ["websocket"], "polling": ["polling"], "upgrade": ["polling", "websocket"]}
CLIENTS = [pytest.param(version, way, id=f"{version} {way}") for version in (2, 3, 4) for way in WAYS]
BEST = [
    pytest.param(*client.values, id=client.id, marks=() if client.id in ("2 polling", "4 websocket") else pytest.mark.full)
    for client in CLIENTS
]
"""Where the version and the transport make no difference that another test does not see."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(application="tests.foreign.app:app") as server:
        yield server


def client(version: int, way: str, server: Server, **options: Any) -> SocketIO:
    return SocketIO(version, server.port, transports=WAYS[way], **options)


@pytest.mark.parametrize(("version", "way"), CLIENTS)
def test_events_and_acknowledgements_go_both_ways(version: int, way: str, server: Server) -> None:
    with client(version, way, server, acks=["question"]) as it:
        it.connected()
        assert it.ask("echo", HOSTILE, {"x": [1, None, 2.5]}, b"\x00\xff") == [HOSTILE, {"x": [1, None, 2.5]}, b"\x00\xff"]
        assert it.event("echo") == [HOSTILE, {"x": [1, None, 2.5]}, b"\x00\xff"]
        assert it.ask("echo", {"deep": [b"one", {"two": b""}]}) == [{"deep": [b"one", {"two": b""}]}]
        assert it.ask("ask", "a", b"\x01", 3) == ["a", b"\x01", 3]
        assert it.event("question") == ["a", b"\x01", 3]
        if way == "upgrade":
            it.wait(on="upgrade")
        assert it.ask("who")[0]["transport"] == ("poll" if way == "polling" else "websocket")
