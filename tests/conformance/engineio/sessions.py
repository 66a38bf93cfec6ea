"""Engine.IO by hand: one request, one frame at a time."""

from __future__ import annotations

import json
import threading
from typing import Any

from tests.live.raw import Answer, Line, ask, masked, open_websocket, request

PATH = "/comet/socket.io/"


def get(port: int, query: str, **headers: str) -> Answer:
    return ask(port, request("GET", f"{PATH}?{query}", **headers))


class Polls:
    """A session that polls. `first` is the body of its handshake; `headers` are those of each request."""

    def __init__(self, port: int, version: int = 4, more: str = "", **headers: str) -> None:
        self.port = port
        self.headers = headers
        self.base = f"EIO={version}&transport=polling{more}"
        self.handshake = ask(port, request("GET", f"{PATH}?{self.base}", **headers))
        assert self.handshake.status == 200, self.handshake
        self.first = self.handshake.body.decode()
        opening = self.first[self.first.index("{") :].replace('\\"', '"')
        self.opening: dict[str, Any] = json.JSONDecoder().raw_decode(opening)[0]
        self.sid = self.opening["sid"]
        self.query = f"{self.base}&sid={self.sid}"

    def poll(self, more: str = "") -> Answer:
        return get(self.port, self.query + more, **self.headers)

    def get(self) -> str:
        """Poll until there is something else than a ping."""
        answer = self.poll()
        assert answer.status == 200, answer
        return answer.body.decode()

    def hold(self) -> Line:
        """Begin a poll, and wait for its answer later."""
        return Line(self.port).send(request("GET", f"{PATH}?{self.query}", **self.headers))

    def post(self, body: str | bytes, content_type: str = "text/plain;charset=UTF-8") -> Answer:
        data = body.encode() if isinstance(body, str) else body
        return ask(self.port, request("POST", f"{PATH}?{self.query}", data, content_type=content_type, **self.headers))

    def probe(self) -> Socket:
        """Open a WebSocket for this session."""
        return Socket(self.port, self.query.replace("polling", "websocket"), **self.headers)


class Socket:
    """A WebSocket, with or without a session."""

    def __init__(self, port: int, query: str, **headers: str) -> None:
        self.line = open_websocket(port, f"{PATH}?{query}", **headers)

    def __enter__(self) -> Socket:
        return self

    def __exit__(self, *_: object) -> None:
        self.line.sock.close()

    def send(self, *frames: str | bytes) -> None:
        self.line.send(b"".join([masked(1, f.encode()) if isinstance(f, str) else masked(2, f) for f in frames]))

    def read(self) -> str | bytes:
        """Return the next message; pings of WebSocket itself are none."""
        opcode, payload = self.line.frame()
        assert opcode in (1, 2), f"{opcode} {payload!r}"
        return payload.decode() if opcode == 1 else payload

    def is_closed(self) -> bool:
        """Read until the server closes."""
        return self.line.close_code() >= 1000


def beside(call: Any) -> threading.Thread:
    thread = threading.Thread(target=call)
    thread.start()
    return thread
