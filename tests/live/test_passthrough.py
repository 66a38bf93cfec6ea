"""Everything that is not the channel is the application's own, byte for byte."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from cometware import Channel, Cometware
from tests.live.raw import UPGRADE, Line, ask, head, masked, open_websocket, request, shape
from tests.live.server import ROOT, Server, serve

KEY = "abcdefghijklmnopqrstuv"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(application="tests.live.ordinary:app") as server:
        yield server


@pytest.fixture(scope="module")
def stock_port(server: Server) -> int:
    return int(server.get("/stock-port"))


# The middleware alone


def call(app: Any, path: str, method: str = "GET") -> tuple[str, list[tuple[str, str]], bytes]:
    environ: dict[str, Any] = {"PATH_INFO": path, "SCRIPT_NAME": "", "REQUEST_METHOD": method, "QUERY_STRING": ""}
    setup_testing_defaults(environ)
    answers: list[Any] = []
    written: list[bytes] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], Any]:
        answers.append((status, headers))
        return written.append

    result = app(environ, start_response)
    try:
        body = b"".join(result)
    finally:
        if hasattr(result, "close"):
            result.close()
    status, headers = answers[-1]
    return status, headers, b"".join(written) + body


def plain(environ: dict[str, Any], start_response: Any) -> Any:
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Mine", "1")])
    return [b"hello"]


def hand_written(environ: dict[str, Any], start_response: Any) -> Any:
    start_response("201 Created", [("Content-Type", "text/plain")])(b"by hand, ")
    return [b"and by return"]


def generated(environ: dict[str, Any], start_response: Any) -> Any:
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"one"
    yield b"two"


@pytest.mark.parametrize("app", [plain, hand_written, generated])
def test_both_sides_of_the_middleware_are_valid_wsgi(app: Any) -> None:
    wrapped = validator(Cometware(validator(app), Channel()))
    assert call(wrapped, "/page") == call(app, "/page")


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/comet/nothing", "GET", "404 NOT FOUND"),
        ("/comet", "PUT", "405 METHOD NOT ALLOWED"),
        ("/comet", "OPTIONS", "204 NO CONTENT"),
        ("/comet", "POST", "404 NOT FOUND"),  # this channel has no handlers
    ],
)
def test_the_middlewares_own_answers_are_valid_wsgi(path: str, method: str, status: str) -> None:
    answered, _, _ = call(validator(Cometware(plain, Channel())), path, method)
    assert answered.upper() == status


def test_the_application_gets_the_very_environ_and_gives_its_very_result() -> None:
    seen: list[Any] = []
    result = iter([b"x"])

    def app(*arguments: Any) -> Any:
        seen.extend(arguments)
        return result

    environ = {"PATH_INFO": "/x"}
    before = dict(environ)

    def start_response(*_: Any) -> Any: ...

    channel = Channel()
    assert Cometware(app, channel)(environ, start_response) is result
    assert seen[0] is environ and seen[1] is start_response
    assert environ == before | {"cometware.channel": channel}


def test_the_applications_error_is_its_own() -> None:
    class Mine(Exception):
        pass

    def app(environ: Any, start_response: Any) -> Any:
        raise Mine

    with pytest.raises(Mine):
        call(Cometware(app, Channel()), "/x")


@pytest.mark.parametrize("path", ["", "/", "comet", "/", "/a/", "/comet/"])
def test_a_path_that_would_hide_the_application_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="expected a path like '/comet'"):
        Cometware(plain, Channel(), path)


@pytest.mark.parametrize("path", ["/comet-something", "/cometware", "/Comet", "/a/comet", "/", "", "/comet.html"])
def test_a_path_that_only_begins_like_ours_is_the_applications(path: str) -> None:
    assert call(Cometware(plain, Channel()), path)[2] == b"hello"


# Under our handler


def bytes_of(port: int, message: bytes) -> bytes:
    """All that a server sends for this, but for the date, and for `Connection: close`, which we answer to those who ask
    for it (RFC 9112 §9.6); gevent's own handler does not."""
    with Line(port) as line:
        sent = line.send(message + request(target="/text", connection="close")).read_to_end()
    return re.sub(rb"\r\nDate: \w+, [^\r]*", b"\r\nDate: now", sent.replace(b"\r\nConnection: close\r\n", b"\r\n"))


VIEWS = ["/", "/text", "/stream", "/headers", "/written", "/empty", "/unchanged", "/file", "/nothing", "/comet-something"]
VIEWS += ["/cometware", "/Comet", "/a/comet", "/environ?a=%20b", "/changes-its-mind", "/fails", "/fails-later"]


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_response_is_the_same_bytes_as_without_us(server: Server, stock_port: int, view: str, method: str) -> None:
    if view == "/fails-later":  # gevent ends the connection in the middle, with or without us
        message = request(method, view)
        with Line(server.port) as ours, Line(stock_port) as theirs:
            answered = [line.send(message).read_to_end() for line in (ours, theirs)]
        assert answered[0].partition(b"\r\n\r\n")[2] == answered[1].partition(b"\r\n\r\n")[2]
        return
    message = request(method, view, x_mine="1")
    ours, theirs = bytes_of(server.port, message), bytes_of(stock_port, message)
    assert ours == theirs


MESSAGES = {
    "body": request("POST", "/upload", b"x" * 100_000),
    "chunked body": request("POST", "/upload", transfer_encoding="chunked") + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    "unread body": request("POST", "/ignores-the-body", b"y" * 100_000),
    "expect": request("POST", "/upload", b"abc", expect="100-continue"),
    "keep-alive 1.0": head("GET", "/text", {"Connection": "keep-alive"}, "HTTP/1.0"),
    "pipeline": request(target="/text") + request(target="/headers") + request("POST", "/upload", b"abc"),
    "prefix": request(target="/prefix/environ"),
    "h2c": request(target="/text", connection="Upgrade, HTTP2-Settings", upgrade="h2c", http2_settings="AAMAAABk"),
    "upgrade in vain": request("POST", "/upload", b"abc", connection="upgrade"),
}


@pytest.mark.parametrize("name", [name for name in MESSAGES if name != "upgrade in vain"])
def test_a_request_is_understood_as_without_us(server: Server, stock_port: int, name: str) -> None:
    ours, theirs = bytes_of(server.port, MESSAGES[name]), bytes_of(stock_port, MESSAGES[name])
    assert ours == theirs
    assert b"HTTP/1.1 200 OK" in ours


def test_a_body_behind_connection_upgrade_is_read_unlike_without_us(server: Server) -> None:
    """Many proxies say `Connection: upgrade` on every request."""
    assert ask(server.port, MESSAGES["upgrade in vain"]).body == b"abc"


def test_an_old_client_is_answered_and_left(server: Server, stock_port: int) -> None:
    message = head("GET", "/stream", {}, "HTTP/1.0")
    with Line(server.port) as ours, Line(stock_port) as theirs:
        answered = [line.send(message).read_to_end().partition(b"\r\n\r\n")[2] for line in (ours, theirs)]
    assert answered[0] == answered[1] == b"onetwo" + b"x" * 100_000


def test_each_response_is_closed_once(server: Server) -> None:
    before = server.get("/closed")
    ask(server.port, request(target="/stream"))
    with Line(server.port) as line:
        line.send(request(target="/fails-later")).read_to_end()
    assert server.get("/closed") == [*before, "stream", "fails later"]


def test_the_channel_is_at_its_prefix(server: Server) -> None:
    first = ask(server.port, request(target="/prefix/comet"))
    assert "open" in first.json[0]
    link = first.headers["link"]
    assert link.startswith("<?key="), "a relative link works below any prefix"
    with Line(server.port) as line:
        line.send(request(target="/prefix/comet" + link[1:].partition(">")[0]))
        assert ask(server.port, request("POST", "/comet", b"elsewhere")).status == 200
        assert ask(server.port, request("POST", "/prefix/comet", b"here")).status == 200
        assert [one["data"] for one in line.answer().json] == ["here"]
    with open_websocket(server.port, "/prefix/comet") as line:
        assert line.send(masked(1, b"hi")).frame() == (1, b"hi")


# After a poll on the same connection


def poll(line: Line, port: int, target: str, **headers: str) -> str:
    """Hold a poll until there is something for it, and return the next one's target."""
    line.send(request(target=target, **headers))
    assert ask(port, request("POST", "/comet", b"news", content_type="text/plain")).status == 200
    answer = line.answer()
    assert "news" in [one["data"] for one in answer.json]
    return "/comet" + answer.headers["link"][1:].partition(">")[0]


def first_poll(line: Line) -> str:
    answer = line.send(request()).answer()
    return "/comet" + answer.headers["link"][1:].partition(">")[0]


def test_plain_requests_go_on_where_polls_were(server: Server) -> None:
    with Line(server.port) as line:
        target = first_poll(line)
        for _ in range(3):
            target = poll(line, server.port, target)
            assert line.send(request(target="/text")).answer().body == b"hello"
            target = poll(line, server.port, poll(line, server.port, target))
            assert line.send(request("POST", "/upload", b"z" * 300_000)).answer().body == b"z" * 300_000
            assert line.send(request(target="/stream")).answer().body == b"onetwo" + b"x" * 100_000


def test_a_request_behind_a_held_poll_is_answered_after_it(server: Server) -> None:
    with Line(server.port) as line:
        target = first_poll(line)
        for _ in range(2):
            line.send(request(target=target) + request(target="/text") + request("POST", "/upload", b"abc"))
            ask(server.port, request("POST", "/comet", b"news"))
            answer = line.answer()
            assert [one["data"] for one in answer.json] == ["news"]
            assert [line.answer().body, line.answer().body] == [b"hello", b"abc"]
            target = "/comet" + answer.headers["link"][1:].partition(">")[0]


def test_two_clients_polls_share_a_connection_as_proxies_do(server: Server) -> None:
    with Line(server.port) as line:
        targets = [first_poll(line), first_poll(line)]
        for turn in range(6):
            targets[turn % 2] = poll(line, server.port, targets[turn % 2])


def test_a_request_in_pieces_where_a_poll_was(server: Server) -> None:
    with Line(server.port) as line:
        poll(line, server.port, first_poll(line))
        for piece in (b"POST /upload HT", b"TP/1.1\r\nHost: h\r\nContent-Le", b"ngth: 6\r\n\r\nabc", b"def"):
            line.send(piece)
        assert line.answer().body == b"abcdef"


def test_a_websocket_where_a_poll_was(server: Server) -> None:
    with Line(server.port) as line:
        poll(line, server.port, first_poll(line))
        assert line.send(head("GET", "/comet", {"Host": "h"} | UPGRADE)).answer().status == 101
        assert line.send(masked(1, b"hi")).frame() == (1, b"hi")


def test_a_slow_or_broken_request_where_a_poll_was(server: Server) -> None:
    with Line(server.port) as line:
        poll(line, server.port, first_poll(line))
        assert line.send(b"nonsense\r\n\r\n").read_to_end().startswith(b"HTTP/1.1 400 ")


def test_a_client_that_leaves_where_a_poll_was_is_let_go(server: Server) -> None:
    with Line(server.port) as line:
        poll(line, server.port, first_poll(line))
        assert line.finish().read_to_end() == b""


@pytest.mark.parametrize("after_a_poll", [False, True])
def test_plain_requests_are_quick(server: Server, after_a_poll: bool) -> None:
    """Without TCP_NODELAY, small answers wait 40 ms for the client's acknowledgement."""
    with Line(server.port) as line:
        if after_a_poll:
            poll(line, server.port, first_poll(line))
        took = []
        for _ in range(60):
            start = time.perf_counter()
            line.send(request(target="/text")).answer()
            took.append(time.perf_counter() - start)
    assert min(took[20:]) < 0.035  # at first, the kernel acknowledges at once


# Django


@pytest.fixture(scope="module")
def django(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    database = tmp_path_factory.mktemp("django") / "site.sqlite3"
    environment = {"DJANGO_DATABASE": str(database), "DJANGO_SETTINGS_MODULE": "tests.live.django_project.settings"}
    make_user = (
        "import django; django.setup()\n"
        "from django.core.management import call_command; call_command('migrate', verbosity=0)\n"
        "from django.contrib.auth.models import User; User.objects.create_user('ann', password='secret')\n"
    )
    command = [sys.executable, "-c", make_user]
    subprocess.run(command, cwd=ROOT, env=os.environ | environment, check=True, timeout=240)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        with serve(application="tests.live.django_project.wsgi:application") as server:
            yield server


def log_in(server: Server) -> str:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    status, headers, _ = server.request("POST", "/login", "username=ann&password=secret", form)
    assert status == 200
    return headers["Set-Cookie"].partition(";")[0]


def who(server: Server, cookie: str) -> Any:
    headers = {"cookie": cookie} if cookie else {}
    message = request("POST", "/comet", b'{"event":"who"}', content_type="application/json", **headers)
    return ask(server.port, message).json["data"]


def test_a_django_project_is_as_it_was(django: Server) -> None:
    assert django.get("/") == "hello stranger"
    assert django.request("GET", "/", None, {"Cookie": log_in(django)})[2] == b"hello ann"
    assert django.request("GET", "/nowhere")[0] == 404


def test_djangos_login_reaches_the_channel(django: Server) -> None:
    assert who(django, "")["user"] is None
    assert who(django, "sessionid=forged")["user"] is None
    assert who(django, log_in(django))["user"] == "ann"


def test_who_has_logged_out_is_nobody_on_the_channel(django: Server) -> None:
    cookie = log_in(django)
    django.request("GET", "/logout", None, {"Cookie": cookie})
    assert who(django, cookie)["user"] is None


def test_a_handler_uses_djangos_database(django: Server) -> None:
    assert who(django, "") == {"user": None, "users": 1, "connected": True}


def test_a_django_view_publishes_to_a_user(django: Server) -> None:
    with open_websocket(django.port, "/comet?v=1", cookie=log_in(django)) as line:
        shape(line, "open")
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        assert django.request("POST", "/tell", "text=hello", form)[0] == 204
        assert shape(line, "data") == "hello"


def test_around_leaves_no_database_connection_behind(tmp_path: Path) -> None:
    program = (
        "import django; django.setup()\n"
        "import cometware.django\n"
        "from django.db import connection\n"
        "with cometware.django.around():\n"
        "    connection.ensure_connection()\n"
        "assert connection.connection is None\n"
    )
    environment = {"DJANGO_DATABASE": str(tmp_path / "x"), "DJANGO_SETTINGS_MODULE": "tests.live.django_project.settings"}
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=os.environ | environment, check=True, timeout=240)


def test_the_project_is_as_short_as_it_should_be() -> None:
    lines = (Path(__file__).parent / "django_project" / "wsgi.py").read_text().splitlines()
    assert len([line for line in lines[: lines.index('@channel.on("who")')] if line.strip()]) <= 10


def test_the_answers_of_the_views_are_json_where_they_say_so(server: Server) -> None:
    environ = json.loads(ask(server.port, request(target="/prefix/environ")).body)
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/prefix", "/environ")
