"""The test kit sees what a client of a live server sees: one story, told by both, shape for shape."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.live import clients
from tests.live.clients import EventStream, LongPoll, PlainPoll, Refusal, Stream, WebSocket
from tests.live.server import Server

Shape = dict[str, Any]
TRANSPORTS: list[tuple[type[clients.Client], str, dict[str, Any]]] = [
    (WebSocket, "websocket", {}),
    (EventStream, "sse", {}),
    (Stream, "stream", {}),
    (LongPoll, "poll", {}),
    (PlainPoll, "poll", {"wait": 0}),
]


class LiveVisitor:
    """A client of `tests.live.clients` on a live server."""

    def __init__(self, server: Server, transport: type[clients.Client]) -> None:
        self._server = server
        self._transport = transport
        self._number = 0

    def post(self, path: str, **arguments: Any) -> None:
        self._server.post(path, **arguments)

    def connect(self, **query: Any) -> Shape:
        self._client = self._transport(self._server, **query)
        try:
            return {"open": self._client.open()}
        except Refusal as refusal:
            self._client.drop()
            return {"status": refusal.status, "body": refusal.body.decode()}

    def reconnect(self) -> None:
        self._client.drop()
        self._client = self._client.hop(self._transport)
        self._client.open()

    def ask(self, event: str, data: Any) -> None:
        self._number += 1
        self._client.send(data, event=event, n=self._number, reply=True)

    def hear(self, count: int) -> list[Shape]:
        self._client.listen()
        return [self._client.receive() for _ in range(count)]

    @property
    def id(self) -> str:
        return self._client.id

    def end(self) -> None:
        self._client.drop()


class KitVisitor:
    """The same in the process of the test."""

    def __init__(self, transport: str, query: dict[str, Any]) -> None:
        from cometware.testing import Client
        from tests.live.app import app

        self._client = Client(app, host="127.0.0.1")
        self._transport = transport
        self._query = query
        self._seen = 0

    def post(self, path: str, **arguments: Any) -> None:
        assert self._client.post(path, json=arguments).status_code == 200

    def connect(self, **query: Any) -> Shape:
        from cometware import Refused

        try:
            self._ann = self._client.connect(self._transport, query=self._query | query)
        except Refused as refused:
            return {"status": refused.status, "body": refused.body.decode()}
        return {"open": self._ann.greeting}

    def reconnect(self) -> None:
        self._ann.reconnect()

    def ask(self, event: str, data: Any) -> None:
        try:
            self._ann.ask(event, data)
        except Exception:
            pass  # told by its shape

    def hear(self, count: int) -> list[Shape]:
        """Return all that is new: it has to be just as much."""
        assert self._ann.messages is not None
        shapes = [shape for shape in self._ann.shapes if not {"open", "ping", "accepted"} & shape.keys()]
        new, self._seen = shapes[self._seen :], len(shapes)
        assert len(new) == count
        return new

    @property
    def id(self) -> str:
        return self._ann.id

    def end(self) -> None:
        self._client.close()


def story(visitor: LiveVisitor | KitVisitor) -> Iterator[Any]:
    """Everything that a client may meet; yields what it was told."""
    yield visitor.connect(refuse=402)
    yield visitor.connect(room="room:story")
    visitor.post("/channel/publish", data={"a": [1, None, "Ω"]})
    visitor.post("/channel/publish", data="to the room", to="room:story", event="order placed")
    visitor.post("/channel/publish", data="not for us", to="room:elsewhere")
    visitor.post("/channel/publish", data="not for us either", but=visitor.id)
    visitor.post("/burst", messages=[{"data": number} for number in range(3)])
    yield visitor.hear(5)
    for event, data in (("echo", {"x": 1}), ("forbidden", None), ("failing", None), ("nonsense", None), ("rename", "Ann")):
        visitor.ask(event, data)
        yield visitor.hear(1)
    visitor.reconnect()
    visitor.post("/channel/join", client_id=visitor.id, room="room:late")
    visitor.post("/channel/publish", data="came late", to="room:late")
    yield visitor.hear(1)
    visitor.post("/channel/close", client_id=visitor.id, code=4403, reason="no more of you")
    yield visitor.hear(1)


def told(visitor: LiveVisitor | KitVisitor) -> Any:
    """Return the story without what is each server's own: its name, its limits and the epoch of its log."""
    try:
        text = json.dumps(list(story(visitor)))
    finally:
        visitor.end()
    text = text.replace(visitor.id, "<id>")
    text = re.sub(r'"server": \{[^}]*\}|"limits": \{[^}]*\}|"heartbeat": \d+', '"of": "the server"', text)
    first = int(re.findall(r'"position": "[0-9a-f]{8}-(\d+)"', text)[0])
    return json.loads(re.sub(r"[0-9a-f]{8}-(\d+)", lambda found: f"<epoch>-{int(found[1]) - first}", text))


@pytest.mark.parametrize(("live", "transport", "query"), TRANSPORTS, ids=[kind.__name__ for kind, _, _ in TRANSPORTS])
def test_the_kit_is_told_what_a_client_of_a_live_server_is_told(
    server: Server, live: type[clients.Client], transport: str, query: dict[str, Any]
) -> None:
    assert told(KitVisitor(transport, query)) == told(LiveVisitor(server, live))
