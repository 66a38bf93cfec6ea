"""No browser guesses what an answer of ours is: what a stranger wrote into a URL, or into a message, is no page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conformance.sockjs.session import fresh, stream
from tests.live.raw import Line, ask, request
from tests.live.server import Server, serve

ANSWERS: list[tuple[str, str, int, dict[str, Any]]] = [
    ("GET", "/comet/%3Cscript%3E", 404, {}),
    ("GET", "/comet/status", 401, {}),
    ("GET", "/comet/status", 200, {"authorization": "Bearer token"}),
    ("POST", "/comet/publish", 401, {}),
    ("GET", "/comet/publish", 405, {"authorization": "Bearer token"}),
    ("POST", "/comet/publish", 400, {"authorization": "Bearer token", "body": b"%3Cscript%3E"}),
    ("POST", "/comet/publish", 200, {"authorization": "Bearer token", "body": b'{"data":1}'}),
    ("GET", "/comet/client.js", 200, {}),
    ("GET", "/comet", 200, {"accept": "text/html"}),
    ("GET", "/comet", 200, {}),
    ("GET", "/comet?callback=a", 200, {}),
    ("GET", "/comet?last=%3Cscript%3E", 400, {}),
    ("GET", "/comet?callback=a&last=%3Cscript%3E", 200, {}),
    ("GET", "/comet", 403, {"origin": "http://evil.example"}),
    ("PUT", "/comet", 405, {}),
    ("OPTIONS", "/comet", 204, {}),
    ("POST", "/comet", 400, {"body": b"%3Cscript%3E", "content_type": "application/json"}),
    ("POST", "/comet", 404, {"body": b'{"event":"<script>"}', "content_type": "application/json"}),
    ("GET", "/realtime/open", 404, {}),
    ("GET", "/comet/sockjs/", 200, {}),
    ("GET", "/comet/sockjs/info", 200, {}),
    ("OPTIONS", "/comet/sockjs/info", 204, {}),
    ("GET", "/comet/sockjs/%3Cscript%3E", 404, {}),
    ("GET", "/comet/sockjs/iframe.html", 200, {}),
    ("PUT", "/comet/sockjs/000/a/xhr", 405, {}),
    ("POST", "/comet/sockjs/000/a/xhr_send", 404, {"body": b'["a"]'}),
    ("POST", "/comet/sockjs/000/a/xhr", 200, {}),
    ("POST", "/comet/sockjs/000/a/xhr_send", 500, {"body": b"%3Cscript%3E"}),
    ("POST", "/comet/sockjs/000/a/xhr_send", 204, {"body": b'["a"]'}),
    ("GET", "/comet/sockjs/000/b/jsonp", 500, {}),
    ("GET", "/comet/sockjs/000/b/jsonp?c=a", 200, {}),
    ("GET", "/comet/sockjs/000/b/websocket", 400, {}),
    ("GET", "/comet/socket.io/%3Cscript%3E", 404, {}),
    ("GET", "/comet/socket.io/", 400, {}),
    ("GET", "/comet/socket.io/?EIO=4&transport=polling", 200, {}),
    ("GET", "/comet/socket.io/?EIO=4&transport=polling&j=0", 200, {}),
    ("POST", "/comet/socket.io/?EIO=4&transport=polling&sid=%3Cscript%3E", 400, {}),
    ("GET", "/comet/socket.io/?EIO=4&transport=polling", 403, {"origin": "http://evil.example"}),
    ("OPTIONS", "/comet/socket.io/?EIO=4&transport=polling", 204, {}),
]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(application="tests.live.answering:app") as server:
        yield server


@pytest.mark.parametrize(("method", "target", "status", "more"), ANSWERS)
def test_an_answer_says_that_its_type_is_no_guess(
    server: Server, method: str, target: str, status: int, more: dict[str, Any]
) -> None:
    answer = ask(server.port, request(method, target, **{"body": b"" if method == "POST" else None, **more}))
    assert (answer.status, answer.headers.get("x-content-type-options")) == (status, "nosniff")


@pytest.mark.parametrize("accept", ["text/event-stream", "application/x-ndjson"])
def test_so_does_what_never_ends(server: Server, accept: str) -> None:
    with Line(server.port) as line:
        assert line.send(request(accept=accept)).head().headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("transport", ["xhr_streaming", "eventsource", "htmlfile?c=a"])
def test_so_do_the_streams_of_sockjs(server: Server, transport: str) -> None:
    method = "POST" if transport == "xhr_streaming" else "GET"
    answer, line = stream(server.port, f"/comet/sockjs{fresh('')}/{transport}", method)
    with line:
        assert (answer.status, answer.headers["x-content-type-options"]) == (200, "nosniff")


@pytest.mark.parametrize(("data", "status"), [(b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400), (b"<script>\r\n\r\n", 400)])
def test_so_does_what_is_no_request(server: Server, data: bytes, status: int) -> None:
    answer = ask(server.port, data)
    assert (answer.status, answer.headers["x-content-type-options"]) == (status, "nosniff")
