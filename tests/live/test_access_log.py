"""The access log: a line for each request that was answered, under each server, in each format, and nothing in it but text."""

from __future__ import annotations

import re
import socket
import struct
import sys

import pytest

from tests.live.raw import UPGRADE, Line, ask, head, request
from tests.live.server import Server, serve

APPLICATION = "tests.live.app:app"
KEY = "abcdefghijklmnopqrstuv"
FORMAT = '%(h)s "%(r)s" %(s)s %(b)s "%({content-type}o)s" "%({user-agent}i)s" %({raw_uri}e)s %(U)s %(q)s %(f)s %(D)s'

OURS = {
    "one process": ["-m", "cometware", "serve", APPLICATION, "--access-log"],
    "two processes": ["-m", "cometware", "serve", APPLICATION, "--access-log", "--workers", "2", "--channel", "{channel}"],
    "processes that end": ["-m", "cometware", "serve", APPLICATION, "--access-log", "--max-requests", "1000"],
}
_GUNICORN = ["-m", "gunicorn", APPLICATION, "--access-logfile", "-"]
THEIRS = {
    "gunicorn gevent": [*_GUNICORN, "-k", "gevent"],
    "gunicorn gevent, a format of its own": [*_GUNICORN, "-k", "gevent", "--access-logformat", FORMAT],
    "gunicorn gevent_pywsgi": [*_GUNICORN, "-k", "gevent_pywsgi"],
    "gunicorn gevent_pywsgi, a format of its own": [*_GUNICORN, "-k", "gevent_pywsgi", "--access-logformat", FORMAT],
    "gunicorn gthread": [*_GUNICORN, "-k", "gthread", "--threads", "8"],
    "gunicorn with our workers": [*_GUNICORN, "-k", "cometware.workers.Process", "--access-logformat", FORMAT],
    "gunicorn with gevent-websocket": [*_GUNICORN, "-k", "geventwebsocket.gunicorn.workers.GeventWebSocketWorker"],
}


def served(arguments: list[str], channel: str) -> list[str]:
    return [sys.executable, *(argument.replace("{channel}", channel) for argument in arguments)]


def until_logged(server: Server, pattern: str) -> str:
    """Wait for a line of the log."""
    server.until("/position", lambda _: re.search(pattern, server.errors) is not None)
    found = re.search(pattern, server.errors)
    assert found is not None
    return found[0]


@pytest.mark.parametrize("name", [*OURS, *(pytest.param(name, marks=pytest.mark.full) for name in THEIRS)])
def test_each_answer_has_its_line_and_nothing_fails(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    channel = f"sqlite:///{tmp_path_factory.mktemp('channel')}/channel.db"
    command = served([*({**OURS, **THEIRS}[name]), "--bind", "127.0.0.1:0"], channel)
    with serve(application=APPLICATION, command=command) as server:
        assert ask(server.port, request(target="/?x=1", user_agent="Tester")).status == 200
        assert ask(server.port, request(target=f"/comet?wait=0&key={KEY}")).status == 200
        assert ask(server.port, request("POST", "/comet?mark=2", b"hello")).status == 200
        with Line(server.port) as line:
            assert line.send(head("GET", "/comet", {"Host": "h"} | UPGRADE)).head().status in (101, 501)
        if "gevent-websocket" in name:
            return  # it writes no such log
        until_logged(server, r"GET /\?x=1 HTTP/1\.1\" 200 ")
        until_logged(server, r"POST /comet\?mark=2 HTTP/1\.1\" 200 ")
        if name in OURS or name == "gunicorn with our workers":
            with Line(server.port) as line:
                line.send(b"GET / HTTP/1.1\r\nHost : h\r\n\r\n").read_to_end()
            until_logged(server, r'"GET / HTTP/1\.1" 400 ')
            assert KEY not in server.errors


@pytest.mark.parametrize("name", list(OURS)[:2])
def test_no_character_of_a_stranger_is_more_than_text(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    channel = f"sqlite:///{tmp_path_factory.mktemp('channel')}/channel.db"
    with serve(application=APPLICATION, command=served([*OURS[name], "--bind", "127.0.0.1:0"], channel)) as server:
        for target in (b"/\x9b2Jx", b"/\xc2\x9b2Jx", b'/"x" 200 -', b"/\x85x", b"/a\x1bx", b"/\xe2\x80\xaex"):
            with Line(server.port) as line:
                line.send(
                    b"GET %b HTTP/1.1\r\nHost: h\r\nUser-Agent: \x9b2J\xe9\r\nConnection: close\r\n\r\n" % target
                ).read_to_end()
        ask(server.port, request(target="/last"))
        until_logged(server, r"GET /last HTTP/1\.1")
        lines = [line for line in server.errors.splitlines() if "HTTP/1.1" in line]
        assert len(lines) >= 6
        assert [line for line in lines if not line.isprintable()] == []


def reset(line: Line) -> None:
    """Go away without a good-bye."""
    line.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    line.sock.close()


RESETS = {
    "before a byte": b"",
    "in a head": b"GET /position HTTP/1.1\r\nHo",
    "behind a request": request(target="/history/5"),
    "behind many requests": request(target="/history/5") * 200,
    "behind a bad request": b"GET /position HTTP/1.1\r\nHost : h\r\n\r\n" + b"x" * 100_000,
    "in a body": head("POST", "/publish", {"Host": "h", "Content-Length": "100"}) + b"abc",
    "in a post": head("POST", "/comet", {"Host": "h", "Content-Length": "100"}) + b"abc",
    "in a chunk": head("POST", "/comet", {"Host": "h", "Transfer-Encoding": "chunked"}) + b"5\r\nab",
    "waiting for 100": head("POST", "/comet", {"Host": "h", "Content-Length": "100", "Expect": "100-continue"}),
    "in a poll": request(target="/comet?wait=20"),
    "in a stream": request(target="/comet", accept="text/event-stream"),
    "in a WebSocket": head("GET", "/comet", {"Host": "h"} | UPGRADE),
}


@pytest.mark.parametrize("name", list(OURS)[:2])
def test_a_connection_that_is_reset_is_no_error(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """`serve` looks for tracebacks at its end."""
    channel = f"sqlite:///{tmp_path_factory.mktemp('channel')}/channel.db"
    with serve(application=APPLICATION, command=served([*OURS[name], "--bind", "127.0.0.1:0"], channel)) as server:
        for message in RESETS.values():
            for waits in (False, True):
                line = Line(server.port)
                line.send(message)
                if waits:
                    server.get("/position")
                reset(line)
        for _ in range(3):
            server.get("/position")
        assert not re.search(r"(?i)broken pipe|reset by peer|errno", server.errors), server.errors
