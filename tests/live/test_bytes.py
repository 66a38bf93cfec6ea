"""What each transport writes on its socket, byte by byte, from the first to the last."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.live.http import connect, request
from tests.live.server import LIMIT_SECONDS, PATIENT, Server, serve

HANDSHAKE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "x3JJHMbDL1EzLkh9GBhXDw==",
    "Sec-WebSocket-Version": "13",
}
SWITCHING = (
    "HTTP/1.1 101 Switching Protocols\r\n"
    "Date: …\r\n"
    "Upgrade: websocket\r\n"
    "Connection: Upgrade\r\n"
    "Sec-WebSocket-Accept: HSmrc0sMlYUkAGmm5OPpG2HaGWk=\r\n"
)
NEVER_ENDING = (
    "Transfer-Encoding: chunked\r\n"
    "Date: …\r\n"
    "X-Accel-Buffering: no\r\n"
    "Cache-Control: no-cache, no-store, no-transform, must-revalidate\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "Vary: Origin\r\n"
    "\r\n"
)
_PROOF = re.compile(r"30\r\nid: (\S+)\ndata: {\"ping\":\"\1\"}\n\n\r\n|18\r\n{\"ping\":\"\S+\"}\n\r\n")
"""The heartbeat that a native stream gets some moments after its greeting, wherever it falls."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(PATIENT) as server:
        server.post("/flood", count=100)  # from here on each position has twelve characters, so chunks have one size
        server.until("/position", lambda position: position.endswith("-100"))
        yield server


class Life:
    """A connection that hears two messages and is closed: `begin`, `first` and `second` are positions."""

    def __init__(self, server: Server, headers: dict[str, str], query: str = "") -> None:
        self.begin = server.get("/position")
        others = server.journal(kind="open")
        sock = connect(server.port)
        try:
            sock.settimeout(LIMIT_SECONDS)
            sock.sendall(request("GET", f"/comet{query}", headers))
            self.client = server.journal(len(others) + 1, kind="open")[-1]["client"]
            read = b""
            self.first = server.publish("hi")
            while b"hi" not in read:
                read += sock.recv(65536)
            self.second = server.publish({"a": [1, "ö"]}, event="x")
            server.post("/channel/close", client_id=self.client, code=4403, reason="no")
            while data := sock.recv(65536):
                read += data
        finally:
            sock.close()
        self.written = _PROOF.sub("", re.sub("Date: .* GMT", "Date: …", read.decode("utf-8", "surrogateescape")))

    @property
    def greeting(self) -> str:
        return (
            f'{{"open":{{"client":"{self.client}","position":"{self.begin}","accepted":0,"heartbeat":55,'
            '"limits":{"max_message_bytes":1048576,"max_waiting_messages":1000,"last_entries":1000,"last_bytes":1048576,'
            '"grace_seconds":120},'
            '"server":{"name":"pywsgi","transports":["websocket","sse","stream","poll"]},"recovered":true}}'
        )


def test_a_plain_websocket(server: Server) -> None:
    life = Life(server, HANDSHAKE)
    assert life.written == SWITCHING + '\r\n\udc81\x02hi\udc81\x0e{"a":[1,"ö"]}\udc88\x04\x113no'


def test_a_native_websocket(server: Server) -> None:
    life = Life(server, HANDSHAKE | {"Sec-WebSocket-Protocol": "chat, cometware.v1"})
    assert life.written == (
        f"{SWITCHING}Sec-WebSocket-Protocol: cometware.v1\r\n\r\n"
        f"\udc81~\x01A{life.greeting}"
        f'\udc813{{"id":"{life.first}","event":"message","data":"hi"}}'
        f'\udc817{{"id":"{life.second}","event":"x","data":{{"a":[1,"ö"]}}}}'
        '\udc81%{"close":{"code":4403,"reason":"no"}}'
        "\udc88\x04\x113no"
    )


def test_plain_server_sent_events(server: Server) -> None:
    life = Life(server, {"Accept": "text/event-stream"})
    assert life.written == (
        f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n{NEVER_ENDING}"
        f"1e\r\nretry: 2000\nid: {life.begin}\n\n\r\n"
        f"1b\r\nid: {life.first}\ndata: hi\n\n\r\n"
        f'30\r\nevent: x\nid: {life.second}\ndata: {{"a":[1,"ö"]}}\n\n\r\n'
        "0\r\n\r\n"
    )


def test_native_server_sent_events(server: Server) -> None:
    life = Life(server, {"Accept": "text/event-stream"}, "?v=1")
    assert life.written == (
        f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n{NEVER_ENDING}"
        f"1e\r\nretry: 2000\nid: {life.begin}\n\n\r\n"
        f"15a\r\nid: {life.begin}\ndata: {life.greeting}\n\n\r\n"
        f'4c\r\nid: {life.first}\ndata: {{"id":"{life.first}","event":"message","data":"hi"}}\n\n\r\n'
        f'50\r\nid: {life.second}\ndata: {{"id":"{life.second}","event":"x","data":{{"a":[1,"ö"]}}}}\n\n\r\n'
        '2d\r\ndata: {"close":{"code":4403,"reason":"no"}}\n\n\r\n'
        "0\r\n\r\n"
    )


def test_a_stream_of_lines(server: Server) -> None:
    life = Life(server, {"Accept": "application/x-ndjson"})
    assert life.written == (
        f"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson; charset=utf-8\r\n{NEVER_ENDING}"
        f"142\r\n{life.greeting}\n\r\n"
        f'34\r\n{{"id":"{life.first}","event":"message","data":"hi"}}\n\r\n'
        f'38\r\n{{"id":"{life.second}","event":"x","data":{{"a":[1,"ö"]}}}}\n\r\n'
        '26\r\n{"close":{"code":4403,"reason":"no"}}\n\r\n'
        "0\r\n\r\n"
    )


def test_a_long_poll(server: Server) -> None:
    begin = server.get("/position")
    first, second = server.publish("hi"), server.publish({"a": [1, "ö"]}, event="x")
    key = "0123456789abcdefABCDEF"
    server.request("GET", f"/comet?key={key}")  # is greeted
    status, headers, body = server.request("GET", f"/comet?key={key}&transport=poll&after={begin}")
    assert (status, body.decode()) == (
        200,
        f'[{{"id":"{first}","event":"message","data":"hi"}},{{"id":"{second}","event":"x","data":{{"a":[1,"ö"]}}}}]',
    )
    assert headers["Link"] == f'<?key={key}&transport=poll&after={second}>; rel="next"'
    status, headers, body = server.request("GET", f"/comet?key={key}&wait=0&after={second}")
    assert (status, body.decode()) == (200, f'[{{"ping":"{second}"}}]')
    assert headers["Link"] == f'<?key={key}&wait=0&after={second}>; rel="next"'
    assert headers["Content-Type"] == "application/json"
    assert headers["Cache-Control"] == "no-cache, no-store, no-transform, must-revalidate"
