"""Agents and middlewares wrap the application, its environ, `start_response` and the answer; no transport is lost by that."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import pytest

from tests.contract.servers.wrapped import WRAPPERS
from tests.live.clients import new_key
from tests.live.raw import Line, masked, open_websocket, request, shape
from tests.live.server import PATIENT, Server, serve

APPLICATION = "tests.contract.servers.wrapped:app"
_PYTHON = (sys.executable, "-m")
_GUNICORN = (*_PYTHON, "gunicorn", APPLICATION, "--bind", "127.0.0.1:0", "--graceful-timeout", "1", "-k")
PARKING = {
    "cometware serve": (),
    "gunicorn gevent": (*_GUNICORN, "gevent"),
    "pywsgi": (*_PYTHON, "tests.contract.servers.launch", "pywsgi", APPLICATION),
}
THREADED = {"gunicorn gthread": (*_GUNICORN, "gthread", "--threads", "8")}
BUFFERS = {"gathered"}
"""What gathers an answer can carry no stream, where a thread writes it."""


@pytest.fixture(scope="module", params=[*PARKING, *THREADED])
def wrapped(request: pytest.FixtureRequest) -> Iterator[tuple[str, Server]]:
    command = (PARKING | THREADED)[request.param]
    with serve(PATIENT | {"poll_seconds": 60}, application=APPLICATION, command=command) as server:
        yield request.param, server


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_websocket_is_carried(wrapped: tuple[str, Server], wrapper: str) -> None:
    kind, server = wrapped
    if kind in THREADED:
        with Line(server.port) as line:
            line.send(request("GET", "/comet?transport=poll", x_wrapper=wrapper, comet_key=new_key()))
            assert line.answer().status == 200
        return
    with open_websocket(server.port, "/comet?v=1", x_wrapper=wrapper) as line:
        shape(line, "open")
        line.send(masked(1, b'{"n":1,"event":"echo","data":"x","reply":true}'))
        assert shape(line, "reply") == 1


@pytest.mark.parametrize("accept", ["text/event-stream", "application/x-ndjson"])
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_stream_is_carried(wrapped: tuple[str, Server], wrapper: str, accept: str) -> None:
    kind, server = wrapped
    if kind in THREADED and wrapper in BUFFERS:
        return
    with Line(server.port) as line:
        head = line.send(request("GET", "/comet", accept=accept, x_wrapper=wrapper)).head()
        assert head.status == 200
        line.read_until(b"\n")
        server.publish(f"by {wrapper}")
        line.read_until(f"by {wrapper}".encode())


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_poll_is_held(wrapped: tuple[str, Server], wrapper: str) -> None:
    _, server = wrapped
    key = new_key()
    with Line(server.port) as line:
        line.send(request("GET", "/comet", x_wrapper=wrapper, comet_key=key))
        greeting = line.answer().json[0]["open"]
    with Line(server.port) as line:
        line.send(request("GET", f"/comet?after={greeting['position']}", x_wrapper=wrapper, comet_key=key))
        server.until(f"/presence/client:{greeting['client']}", lambda here: here and here[0]["transport"] == "poll")
        server.publish({"private": wrapper}, to=f"client:{greeting['client']}")
        (entry,) = json.loads(line.answer().body)
        assert entry["data"] == {"private": wrapper}


def test_the_servers_log_tells_nothing_wrong(wrapped: tuple[str, Server]) -> None:
    _, server = wrapped
    assert "Error" not in server.errors
