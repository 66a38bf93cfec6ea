"""Code that blocks: in native threads it holds nobody; without them the watchdog names it."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.live.raw import Line
from tests.live.server import Server, serve

APPLICATION = "tests.live.blocking_app:app"


@pytest.fixture(scope="module")
def threaded() -> Iterator[Server]:
    with serve({"threads": 2}, application=APPLICATION) as server:
        yield server


def test_a_message_arrives_while_a_view_and_a_handler_block(threaded: Server) -> None:
    with ThreadPoolExecutor(2) as pool:
        stream = http.client.HTTPConnection("127.0.0.1", threaded.port, timeout=30)
        stream.request("GET", "/comet", headers={"Accept": "application/x-ndjson"})
        response = stream.getresponse()
        assert response.readline().startswith(b'{"open":')
        view = pool.submit(threaded.request, "GET", "/block/2.5")
        handler = pool.submit(
            threaded.request,
            "POST",
            "/comet",
            b'{"event":"block","data":2.5}',
            {"Content-Type": "application/json"},
        )
        assert threaded.request("GET", "/comet?wait=0")[0] == 200
        assert not view.done()
        assert not handler.done()
        assert view.result()[2] == b"done"
        assert handler.result()[2] == b'{"accepted":1,"data":"done"}\n'
        assert threaded.request("POST", "/comet", b"after")[0] == 200
        line = response.readline()
        while b"ping" in line:
            line = response.readline()
        assert b'"data":"after"' in line
        stream.close()


def test_threads_that_compute_are_asked_for_pythons_lock_sooner_than_by_default(threaded: Server) -> None:
    assert threaded.request("GET", "/comet?wait=0")[0] == 200
    assert threaded.get("/switch") == "0.0002"


def test_the_bodies_of_requests_and_answers_pass_through_threads_whole(threaded: Server) -> None:
    body = bytes(range(256)) * 20_000
    assert threaded.request("POST", "/echo", body)[2] == body
    status, headers, pieces = threaded.request("GET", "/pieces")
    assert (status, headers["Transfer-Encoding"], pieces) == (200, "chunked", b"0\n1\n2\n")


@pytest.mark.parametrize("size", [f"Content-Length: {10**12}", "Transfer-Encoding: chunked"])
def test_an_upload_is_refused_before_it_is_read(threaded: Server, size: str) -> None:
    with Line(threaded.port) as line:
        line.send(f"POST /refuse HTTP/1.1\r\nHost: x\r\n{size}\r\n\r\n".encode())
        assert line.answer()[::2] == (413, b"too large")


def test_a_large_upload_is_read_as_the_application_asks_for_it(threaded: Server) -> None:
    assert threaded.request("POST", "/lines", b"0123456789abcde\n" * 200_000)[2] == b"200000"
    with Line(threaded.port) as line:
        line.send(b"POST /lines HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(3):
            line.send(b"4\r\na\nb\n\r\n")
        line.send(b"0\r\n\r\n")
        assert line.answer().body == b"6"


def test_a_client_that_leaves_in_the_middle_of_its_upload_gives_its_thread_back(threaded: Server) -> None:
    for _ in range(3):
        with Line(threaded.port) as line:
            line.send(b"POST /lines HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\nsome")
            line.finish()
            line.read_to_end()
    assert threaded.request("POST", "/echo", b"still here")[2] == b"still here"


CHUNKED = b"POST %b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
LARGE = b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\nabc"
SMALL = b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\nabc"


@pytest.mark.parametrize("path", [b"/lines", b"/lines-later", b"/echo"])
@pytest.mark.parametrize("begun", [CHUNKED, LARGE, SMALL])
def test_bodies_that_do_not_come_leave_threads_to_the_others(threaded: Server, begun: bytes, path: bytes) -> None:
    with ExitStack() as lines:
        for _ in range(8):
            lines.enter_context(Line(threaded.port)).send(begun % path)
        for _ in range(3):
            assert threaded.request("GET", "/pieces")[0] == 200
            assert threaded.request("POST", "/echo", b"small")[2] == b"small"


@pytest.mark.parametrize("threads", [0, 2])
def test_a_body_that_comes_too_slowly_is_refused_and_its_connection_ends(threads: int) -> None:
    with serve({"threads": threads, "body_seconds": 0.2}, application=APPLICATION) as server:
        for begun in (CHUNKED, LARGE, SMALL):
            for path in (b"/lines", b"/echo"):
                with Line(server.port) as line:
                    answer = line.send(begun % path).answer()
                    assert (answer.status, answer.headers["connection"]) in ((400, "close"), (408, "close"))
                    assert line.read_to_end() == b""
        assert server.request("POST", "/echo", b"still here")[2] == b"still here"


def test_a_body_may_take_longer_if_it_comes_at_the_least_rate() -> None:
    with serve({"threads": 2, "body_seconds": 0.01, "body_bytes_per_second": 1}, application=APPLICATION) as server:
        assert server.request("POST", "/echo", b"x" * 3_000_000)[2] == b"x" * 3_000_000


def test_without_threads_the_watchdog_names_the_line_that_held_the_loop() -> None:
    with serve({"threads": 0}, application=APPLICATION) as server:
        assert server.request("GET", "/block/1.0")[2] == b"done"
        named = [line for line in server.errors.splitlines() if "event loop was held" in line]
        assert [line for line in named if "blocking_app.py:25 in blocking_view" in line], named
