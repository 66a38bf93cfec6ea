"""A Socket.IO event without a handler of its own, where `channel.on("*")` takes it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.engineio.sessions import Socket
from tests.live.server import PATIENT, Server, serve


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(PATIENT, application="tests.conformance.socketio.owned:app") as server:
        yield server


@pytest.mark.parametrize("version", [3, 4])
def test_an_event_comes_with_its_name_and_is_acknowledged(server: Server, version: int) -> None:
    with Socket(server.port, f"EIO={version}&transport=websocket") as socket:
        socket.read()
        if version == 4:
            socket.send("40")
        assert str(socket.read()).startswith("40")
        socket.send('421["anything",{"a":1}]')
        assert socket.read() == '431[["anything",{"a":1}]]'
        socket.send('422["several",1,"two"]')
        assert socket.read() == '432[["several",[1,"two"]]]'
        socket.send('423["*"]')
        assert socket.read() == '433[["*",null]]'
