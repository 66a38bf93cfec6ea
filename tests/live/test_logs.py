"""What the logs of `cometware serve` tell of strangers and clients: no bearer, no forged line, and nothing for ever."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.live.raw import UPGRADE, Line, ask, head, masked, open_websocket, request
from tests.live.server import Server, serve

APPLICATION = "tests.live.leaky:app"
KEY = "c2VjcmV0LXNlY3JldC1zZWNyZXQ"
SECRETS = (KEY, "s3cret-sid-s3cret-sid", "s3cret-name", "s3cret-cookie")


@pytest.fixture(scope="module", params=["one process", "several"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    more = ["--workers", "2"] if request.param == "several" else []
    command = [sys.executable, "-m", "cometware", "serve", APPLICATION, "--bind", "127.0.0.1:0", "--access-log", *more]
    with serve(application=APPLICATION, command=command, excused="ValueError: a (view|handler) failed") as server:
        yield server


TARGETS = {
    f"/comet?wait=0&key={KEY}&last=1": "/comet?wait=0&key=…&last=1",
    f"/comet?wait=0&%6bey={KEY}": "/comet?wait=0&%6bey=…",
    "/comet/socket.io/?transport=polling&EIO=4&sid=s3cret-sid-s3cret-sid": "/comet/socket.io/?transport=polling&EIO=4&sid=…",
    "/comet/socket.io/?transport=polling&%73id=s3cret-sid-s3cret-sid": "/comet/socket.io/?transport=polling&%73id=…",
    "/comet/sockjs/000/s3cret-name/xhr": "/comet/sockjs/000/…/xhr",
    "/comet/sockjs/000/s3cret-name/%78hr_send": "/comet/sockjs/000/…/%78hr_send",
    f"/elsewhere?key={KEY}": "/elsewhere?key=…",
}


@pytest.mark.parametrize("target", TARGETS)
def test_the_access_log_tells_no_bearer(server: Server, target: str) -> None:
    method = "POST" if "xhr" in target else "GET"
    headers = {"referer": f"http://127.0.0.1/?%6bey={KEY}&sid=s3cret-sid-s3cret-sid", "cookie": "session=s3cret-cookie"}
    ask(server.port, request(method, target, b"" if method == "POST" else None, **headers))
    server.until("/alive", lambda _: f'"{method} {TARGETS[target]} HTTP/1.1"' in server.errors)
    assert [secret for secret in SECRETS if secret in server.errors] == []


def test_a_failing_view_tells_no_bearer_and_is_told_once(server: Server) -> None:
    for _ in range(20):
        ask(server.port, request("GET", f"/fail?key={KEY}", cookie="session=s3cret-cookie", comet_key=KEY))
    server.until("/alive", lambda _: "a view failed" in server.errors)
    assert [secret for secret in SECRETS if secret in server.errors] == []
    assert server.errors.count("ValueError: a view failed") <= 2  # one for each worker


def test_a_failing_handler_forges_no_line_and_is_told_once(server: Server) -> None:
    with open_websocket(server.port, "/comet?v=1") as line:
        text = r'{"event":"fail","data":"x\nERROR root: forged\u001b[2J"}'
        line.send(masked(1, f"[{','.join([text] * 50)}]".encode()))
        server.until("/alive", lambda _: "a handler failed" in server.errors)
    assert not re.search(r"^ERROR root", server.errors, re.MULTILINE)
    assert "\x1b" not in server.errors
    assert server.errors.count("ValueError: a handler failed") <= 2


def test_a_stranger_forges_no_line_of_the_access_log(server: Server) -> None:
    fields = {"Host": "x", "User-Agent": "a\x1b[31mb\x9bc", "Referer": "http://127.0.0.1/\x85x"}
    ask(server.port, head("GET", "/comet?\x9b\x85x=1", fields))
    server.until("/alive", lambda _: "x=1" in server.errors)
    assert not re.search("[\x1b\x85\x9b]", server.errors)


def test_a_bad_request_has_its_line_of_the_access_log(server: Server) -> None:
    with Line(server.port) as line:
        assert line.send(request("GET", "/fine")).answer().status == 200
        assert line.send(b"GET /bad?key=s3cret-name HTTP/1.1\r\nno field\r\n\r\n").head().status == 400
    server.until("/alive", lambda _: '"GET /bad?key=… HTTP/1.1" 400' in server.errors)
    assert "s3cret-name" not in server.errors


def test_refusals_of_one_kind_are_counted(server: Server) -> None:
    fields: dict[str, Any] = {"Host": "shop.example", "Origin": "https://counted.example"}
    for _ in range(50):
        with Line(server.port) as line:
            assert line.send(head("GET", "/comet", fields | UPGRADE)).head().status == 403
    server.until("/alive", lambda _: "counted.example" in server.errors)
    assert len(re.findall(r"^WARNING .*counted\.example", server.errors, re.MULTILINE)) <= 2


@pytest.mark.parametrize("kind", ["gevent", "gthread"])
def test_gunicorns_own_access_log_tells_no_bearer_of_the_channel(kind: str) -> None:
    command = [sys.executable, "-m", "gunicorn", "-k", kind, "-b", "127.0.0.1:0", "--access-logfile", "-", APPLICATION]
    with serve(application=APPLICATION, command=command) as server:
        for target, shown in TARGETS.items():
            if "elsewhere" not in target:
                method, body = ("POST", b"") if "xhr" in target else ("GET", None)
                ask(server.port, request(method, target, body, referer=f"http://127.0.0.1/?key={KEY}"))
                server.until("/alive", lambda _, shown=shown: f" {shown} HTTP/1.1" in server.errors)  # type: ignore[misc]
        assert [secret for secret in SECRETS if secret in server.errors] == []
