"""xhr_streaming, eventsource and htmlfile (classes XhrStreaming, EventSource, HtmlFile, Http10, Http11)."""

from __future__ import annotations

import pytest

from tests.conformance.sockjs.session import (
    PRELUDE,
    XHR_TYPE,
    check_cors,
    check_uncached,
    fields,
    fresh,
    get,
    opened,
    post,
    stream,
)
from tests.live.raw import Line, head
from tests.live.server import Server

HTMLFILE = b"""<!doctype html>
<html><head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
</head><body><h2>Don't panic!</h2>
  <script>
    document.domain = document.domain;
    var c = parent.callback;
    c.start();
    function p(d) {c.message(d);};
    window.onload = function() {c.stop();};
  </script>"""


@pytest.mark.parametrize("origin", [None, "http://test"])
def test_xhr_streaming(port: int, origin: str | None) -> None:
    session = fresh()
    answer, line = stream(port, session + "/xhr_streaming", **({} if origin is None else {"origin": origin}))
    with line:
        assert answer.status == 200
        assert answer.headers["content-type"] == XHR_TYPE
        check_cors(answer, origin)
        check_uncached(answer)
        assert line.chunk() == PRELUDE
        assert line.chunk() == b"o\n"
        assert post(port, session + "/xhr_send", b'["x"]').status == 204
        assert line.chunk() == b'a["x"]\n'


def test_a_stream_ends_when_it_has_carried_enough_and_the_next_goes_on(port: int) -> None:
    session = fresh()
    _, line = stream(port, session + "/xhr_streaming")
    message = b'"' + b"x" * 128 + b'"'
    with line:
        assert (line.chunk(), line.chunk()) == (PRELUDE, b"o\n")
        for _ in range(31):
            post(port, session + "/xhr_send", b"[" + message + b"]")
        assert b"".join(iter(line.chunk, b"")) == (b"a[" + message + b"]\n") * 31
        line.finish()
        assert line.read_to_end() == b""
    post(port, session + "/xhr_send", b'["between"]')
    _, line = stream(port, session + "/xhr_streaming")
    with line:
        assert (line.chunk(), line.chunk()) == (PRELUDE, b'a["between"]\n')


def test_an_event_source(port: int) -> None:
    session = fresh()
    answer, line = stream(port, session + "/eventsource", "GET")
    with line:
        assert answer.status == 200
        assert answer.headers["content-type"] == "text/event-stream"
        check_uncached(answer)
        assert line.chunk() == b"\r\n"
        assert line.chunk() == b"data: o\r\n\r\n"
        post(port, session + "/xhr_send", b'["x"]')
        assert line.chunk() == b'data: a["x"]\r\n\r\n'
        post(port, session + "/xhr_send", b'["  \\u0000\\n\\r %41 100% "]')
        assert line.chunk() == b'data: a["  \\u0000\\n\\r %2541 100%25 "]\r\n\r\n'


def test_an_event_source_ends_when_it_has_carried_enough(port: int) -> None:
    session = fresh()
    _, line = stream(port, session + "/eventsource", "GET")
    with line:
        assert (line.chunk(), line.chunk()) == (b"\r\n", b"data: o\r\n\r\n")
        message = b'"' + b"x" * 4096 + b'"'
        post(port, session + "/xhr_send", b"[" + message + b"]")
        assert line.chunk() == b"data: a[" + message + b"]\r\n\r\n"
        assert line.chunk() == b""


@pytest.mark.parametrize("query", ["c=%63allback", "callback=callback"])
def test_an_htmlfile(port: int, query: str) -> None:
    session = fresh()
    answer, line = stream(port, f"{session}/htmlfile?{query}", "GET")
    with line:
        assert answer.status == 200
        assert answer.headers["content-type"] == "text/html; charset=UTF-8"
        assert "access-control-allow-origin" not in answer.headers
        check_uncached(answer)
        page = line.chunk()
        assert page.strip() == HTMLFILE
        assert len(page) > 1024 and page.endswith(b" \r\n\r\n")
        assert line.chunk() == b'<script>\np("o");\n</script>\r\n'
        post(port, session + "/xhr_send", b'["x"]')
        assert line.chunk() == b'<script>\np("a[\\"x\\"]");\n</script>\r\n'


def test_no_message_ends_the_script_of_an_htmlfile_or_hides_its_end(port: int) -> None:
    session = fresh()
    _, line = stream(port, session + "/htmlfile?c=callback", "GET")
    with line:
        line.chunk()
        line.chunk()
        post(port, session + "/xhr_send", b'["</script><!--<script>"]')
        assert line.chunk() == (
            b'<script>\np("a[\\"\\u003c/script>\\u003c!--\\u003cscript>\\"]");\n</script>\r\n'
        )  # fmt: skip


def test_an_htmlfile_ends_when_it_has_carried_enough(port: int) -> None:
    session = fresh()
    _, line = stream(port, session + "/htmlfile?c=callback", "GET")
    with line:
        line.chunk()
        line.chunk()
        post(port, session + "/xhr_send", b'["' + b"x" * 4096 + b'"]')
        assert line.chunk() == b'<script>\np("a[\\"' + b"x" * 4096 + b'\\"]");\n</script>\r\n'
        assert line.chunk() == b""


def test_a_second_stream_is_told_that_another_is_open_behind_its_prelude(port: int) -> None:
    session = fresh()
    _, first = stream(port, session + "/xhr_streaming")
    with first:
        assert (first.chunk(), first.chunk()) == (PRELUDE, b"o\n")
        answer, second = stream(port, session + "/xhr_streaming")
        with second:
            assert answer.status == 200
            assert second.chunk() == PRELUDE
            assert second.chunk() == b'c[2010,"Another connection still open"]\n'
            assert second.chunk() == b""
        _, third = stream(port, session + "/eventsource", "GET")
        with third:
            assert third.chunk() == b"\r\n"
            assert third.chunk() == b'data: c[2010,"Another connection still open"]\r\n\r\n'
            assert third.chunk() == b""
        assert get(port, session + "/jsonp?c=x").body == b'/**/x("c[2010,\\"Another connection still open\\"]");\r\n'
        post(port, session + "/xhr_send", b'["x"]')
        assert first.chunk() == b'a["x"]\n'


# HandlingClose


def test_a_closed_stream_says_so_and_so_does_the_next(port: int) -> None:
    session = fresh("/close")
    _, line = stream(port, session + "/xhr_streaming")
    with line:
        assert line.chunk() == PRELUDE
        assert line.chunk() == b"o\n"
        assert line.chunk() == b'c[3000,"Go away!"]\n'
        assert line.chunk() == b""
    for _ in range(2):
        _, line = stream(port, session + "/xhr_streaming")
        with line:
            assert (line.chunk(), line.chunk(), line.chunk()) == (PRELUDE, b'c[3000,"Go away!"]\n', b"")


@pytest.mark.parametrize("transport", ["xhr_streaming", "xhr"])
def test_a_response_that_its_client_gives_up_ends_the_session(port: int, transport: str) -> None:
    session = fresh()
    if transport == "xhr":
        opened(port, session)
    _, line = stream(port, session + "/xhr_streaming")
    line.chunk()
    if transport == "xhr_streaming":
        assert line.chunk() == b"o\n"
    line.sock.close()
    assert post(port, session + "/xhr").body in (b"o\n", b'c[1002,"Connection interrupted"]\n')


# Http10, Http11


def test_http_1_0_gets_no_chunks_and_ends_with_its_socket(port: int) -> None:
    session = fresh()
    with Line(port) as line:
        line.send(head("POST", session + "/xhr_streaming", fields({}) | {"Content-Length": "0"}, "HTTP/1.0"))
        answer = line.head()
        assert answer.status == 200
        assert "transfer-encoding" not in answer.headers and "content-length" not in answer.headers
        assert line.read(len(PRELUDE) + 2) == PRELUDE + b"o\n"
        post(port, session + "/xhr_send", b'["' + b"x" * 4096 + b'"]')
        assert line.read_to_end() == b'a["' + b"x" * 4096 + b'"]\n'


def test_http_1_0_keeps_its_connection_where_the_length_is_told(port: int) -> None:
    with Line(port) as line:
        for _ in range(2):
            line.send(head("GET", "/echo", {"Host": "x", "Connection": "Keep-Alive"}, "HTTP/1.0"))
            answer = line.answer()
            assert (answer.body, answer.headers.get("connection", "close").lower()) in (
                (b"Welcome to SockJS!\n", "keep-alive"),
                (b"Welcome to SockJS!\n", "close"),
            )
            if answer.headers.get("connection", "close").lower() == "close":
                break


def test_http_1_1_keeps_its_connection_between_polls(port: int) -> None:
    session = fresh()
    post_head = head("POST", session + "/xhr", fields({}) | {"Content-Length": "0"})
    with Line(port) as line:
        assert line.send(post_head).answer().body == b"o\n"
        for text in ("1", "2", "3", "4"):  # the first two by the server's handler, which learns their head
            line.send(post_head.replace(b"/xhr ", f"/xhr?t={text} ".encode()))
            post(port, session + "/xhr_send", f'["{text}"]'.encode())
            assert line.answer().body == f'a["{text}"]\n'.encode()
        for text in ("5", "6"):
            post(port, session + "/xhr_send", f'["{text}"]'.encode())
            assert line.send(post_head).answer().body == f'a["{text}"]\n'.encode()


def test_http_1_1_gets_chunks(port: int) -> None:
    answer, line = stream(port, fresh() + "/xhr_streaming")
    line.sock.close()
    assert answer.headers["transfer-encoding"] == "chunked"
    assert "content-length" not in answer.headers
    assert answer.headers["connection"] == "close"  # behind the last chunk, this socket ends


def test_a_post_without_any_length_is_a_poll(port: int) -> None:
    with Line(port) as line:
        assert line.send(head("POST", fresh() + "/xhr", {"Host": "x"})).answer().body == b"o\n"


def test_a_server_with_threads_carries_streams_and_polls(threaded: Server) -> None:
    session = fresh()
    _, line = stream(threaded.port, session + "/xhr_streaming")
    with line:
        begin = b""
        while len(begin) < len(PRELUDE) + 2:  # the server writes the chunks
            begin += line.chunk()
        assert begin == PRELUDE + b"o\n"
        assert post(threaded.port, session + "/xhr_send", b'["x"]').status == 204
        assert line.chunk() == b'a["x"]\n'
    session = fresh()
    opened(threaded.port, session)
    with Line(threaded.port) as line:
        line.send(head("POST", session + "/xhr", fields({}) | {"Content-Length": "0"}))
        post(threaded.port, session + "/xhr_send", b'["y"]')
        assert line.answer().body == b'a["y"]\n'
