"""A Socket.IO session that is not in this process, and cannot be reached from it: the log says once what to change."""

from __future__ import annotations

import sys

from tests.conformance.engineio.sessions import PATH, Polls, get
from tests.live.server import serve


def test_a_session_of_another_host_is_a_matter_of_the_balancer() -> None:
    with serve(application="tests.foreign.app:app") as server:
        sid = Polls(server.port).sid
        elsewhere = ("b" if sid[0] == "a" else "a") + sid[1:]
        for _ in range(2):
            answer = get(server.port, f"EIO=4&transport=polling&sid={elsewhere}")
            assert (answer.status, answer.json) == (400, {"code": 1, "message": "Session ID unknown"})
        assert server.errors.count("began on another host") == 1
        assert "io({transports: ['websocket']})" in server.errors


def test_a_session_of_a_process_that_has_ended_is_nobodys_fault() -> None:
    with serve(application="tests.foreign.app:app") as server:
        sid = Polls(server.port).sid
    with serve(application="tests.foreign.app:app") as server:
        assert get(server.port, f"EIO=4&transport=polling&sid={sid}").json["code"] == 1
        assert "another host" not in server.errors and "Socket.IO" not in server.errors


def test_a_server_that_cannot_pass_on_its_connections_is_named() -> None:
    gunicorn = [sys.executable, "-m", "gunicorn", "--threads", "4", "--graceful-timeout", "1", "--bind", "127.0.0.1:0"]
    with (
        serve(application="tests.foreign.app:app") as home,
        serve(command=[*gunicorn, "-k", "gthread", "tests.foreign.app:app"]) as server,
    ):
        query = f"EIO=4&transport=polling&sid={Polls(home.port).sid}"
        for _ in range(2):
            status, _, body = server.request("GET", f"{PATH}?{query}")
            assert (status, body) == (400, b'{"code":1,"message":"Session ID unknown"}')
        assert server.errors.count("cannot be passed on") == 1
        assert "gunicorn gthread" in server.errors
