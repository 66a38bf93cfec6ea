"""What a client reads on each transport: bytes in, shapes out. No I/O.

A native shape is as the protocol has it; what the plain dialect says is written as the same shapes.
"""

from __future__ import annotations

import json
from typing import Any, ClassVar

from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, OPEN, Protocol

from cometware.core.data import untagged
from cometware.core.negotiation import SUBPROTOCOL

Shape = dict[str, Any]

TRANSPORTS = ("websocket", "sse", "stream", "poll", "jsonp")
_CALLBACK = "received"


class Wire:
    """One answer of the server. `plain`: it speaks the plain dialect."""

    accept: ClassVar[str] = "*/*"

    def __init__(self, *, plain: bool) -> None:
        self.plain = plain
        self._in_head = True
        self._data = b""

    @classmethod
    def request(cls, key: str | None, position: str | None, *, plain: bool) -> tuple[dict[str, str], dict[str, str]]:
        """Return the headers and the query that ask for this transport."""
        headers, query = {"Accept": cls.accept}, {}
        if key is not None:
            headers["Comet-Key"] = key
        if position is not None:
            query["after"] = position
        return headers, query

    def feed(self, data: bytes) -> list[Shape]:
        """Return the shapes that are complete now; b"" says that the server has closed its side."""
        self._data += data
        if self._in_head:
            _, end, rest = self._data.partition(b"\r\n\r\n")
            if not end:
                return []
            self._in_head, self._data = False, rest
        return [_understood(shape) for shape in self.read(ended=not data)]

    def read(self, *, ended: bool) -> list[Shape]:
        """Take shapes off the body in `_data`."""
        raise NotImplementedError

    def to_send(self) -> bytes:
        """Return what the protocol itself has to answer."""
        return b""


class WebSocketWire(Wire):
    """Pongs are sent by themselves, as every browser does."""

    def __init__(self, *, plain: bool) -> None:
        super().__init__(plain=plain)
        self._protocol = Protocol(CLIENT, state=OPEN, max_size=None)
        self._told_why = False

    @classmethod
    def request(cls, key: str | None, position: str | None, *, plain: bool) -> tuple[dict[str, str], dict[str, str]]:
        headers, query = super().request(None, position, plain=plain)
        headers |= {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
        headers["Sec-WebSocket-Key"] = "dGhlIHNhbXBsZSBub25jZQ=="
        if not plain:
            headers["Sec-WebSocket-Protocol"] = f"{SUBPROTOCOL}, key.{key}"
        elif key is not None:
            query["key"] = key
        return headers, query

    def read(self, *, ended: bool) -> list[Shape]:
        data, self._data = self._data, b""
        if ended:
            self._protocol.receive_eof()
        else:
            self._protocol.receive_data(data)
        shapes = []
        for frame in self._protocol.events_received():
            if isinstance(frame, Frame) and frame.opcode in (Opcode.TEXT, Opcode.BINARY):
                body = bytes(frame.data)
                shapes.append(
                    _plain(body if frame.opcode is Opcode.BINARY else body.decode()) if self.plain else json.loads(body)
                )
        close = self._protocol.close_rcvd
        self._told_why = self._told_why or any("close" in shape for shape in shapes)
        if close is not None and not self._told_why:
            self._told_why = True
            shapes.append({"close": {"code": int(close.code), "reason": close.reason}})
        return shapes

    def write(self, body: str | bytes) -> bytes:
        """Write one message."""
        if isinstance(body, str):
            self._protocol.send_text(body.encode())
        else:
            self._protocol.send_binary(body)
        return self.to_send()

    def to_send(self) -> bytes:
        return b"".join(self._protocol.data_to_send())


class EventStreamWire(Wire):
    accept = "text/event-stream"

    @classmethod
    def request(cls, key: str | None, position: str | None, *, plain: bool) -> tuple[dict[str, str], dict[str, str]]:
        headers, query = super().request(key, position, plain=plain)
        if not plain:
            return headers, query | {"v": "1"}
        if key is not None:
            query["key"] = headers.pop("Comet-Key")
        if position is not None:
            headers["Last-Event-ID"] = query.pop("after")
        return headers, query

    def read(self, *, ended: bool) -> list[Shape]:
        *events, self._data = self._data.split(b"\n\n")
        return [shape for event in events if (shape := self._event(event.decode()))]

    def _event(self, event: str) -> Shape:
        fields: dict[str, list[str]] = {}
        for line in event.split("\n"):
            name, _, value = line.partition(": ")
            fields.setdefault(name, []).append(value)
        position = fields.get("id", [""])[0]
        if "data" not in fields:
            return {"begin" if "retry" in fields else "ping": position} if self.plain and position else {}
        text = "\n".join(fields["data"])
        if not self.plain:
            shape: Shape = json.loads(text)
            return shape
        name = fields.get("event", ["message"])[0]
        if name in ("reset", "error"):
            return {name: json.loads(text)}
        return _plain(text) | {"event": name, "id": position}


class StreamWire(Wire):
    accept = "application/x-ndjson"

    def read(self, *, ended: bool) -> list[Shape]:
        *lines, self._data = self._data.split(b"\n")
        return [json.loads(line) for line in lines if line.strip()]


class PollWire(Wire):
    accept = "application/json"

    def read(self, *, ended: bool) -> list[Shape]:
        return list(self.unwrap(self._data)) if ended else []

    def unwrap(self, body: bytes) -> list[Shape]:
        """Read a whole body."""
        shapes = json.loads(body)
        return shapes if isinstance(shapes, list) else [shapes]

    def whole(self, body: bytes) -> list[Shape]:
        """Understand an answer that came at once."""
        return [_understood(shape) for shape in self.unwrap(body)]


class ScriptWire(PollWire):
    """JSONP: a script cannot send headers, so all is in the URL."""

    @classmethod
    def request(cls, key: str | None, position: str | None, *, plain: bool) -> tuple[dict[str, str], dict[str, str]]:
        headers, query = super().request(key, position, plain=plain)
        if key is not None:
            query["key"] = headers.pop("Comet-Key")
        return headers, query | {"callback": _CALLBACK}

    def unwrap(self, body: bytes) -> list[Shape]:
        prefix, suffix = f"/**/{_CALLBACK}(".encode(), b");"
        assert body.startswith(prefix) and body.endswith(suffix), body
        return super().unwrap(body[len(prefix) : -len(suffix)])


WIRES: dict[str, type[Wire]] = dict(
    zip(TRANSPORTS, (WebSocketWire, EventStreamWire, StreamWire, PollWire, ScriptWire), strict=True)
)


def _plain(data: str | bytes) -> Shape:
    return {"event": "message", "data": data}


def _understood(shape: Shape) -> Shape:
    """Turn what stands for bytes into bytes."""
    return shape | {"data": untagged(shape["data"])} if "data" in shape else shape
