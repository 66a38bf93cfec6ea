"""The Django example: its own tests, and live under each server that the README names."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.examples.conftest import HELP_DESK
from tests.hooks.test_flask import refusal_of
from tests.live.clients import Client, EventStream, LongPoll, Refusal, Stream, WebSocket
from tests.live.server import Server, serve
from tests.live.visitor import Visitor

APPLICATION = "helpdesk.wsgi:application"
PYTHON = (sys.executable, "-m")
RUNSERVER = (sys.executable, str(HELP_DESK / "manage.py"), "runserver", "127.0.0.1:0", "--noreload")
GUNICORN = (*PYTHON, "gunicorn", "-k", "gevent", "--bind", "127.0.0.1:0", "--graceful-timeout", "1", "helpdesk.wsgi")
STREAMS = (EventStream, Stream, LongPoll)


@pytest.fixture(scope="module", params=["cometware", "gunicorn", "runserver"])
def server(request: pytest.FixtureRequest, help_desk: Path) -> Iterator[Server]:
    command = {"cometware": (), "gunicorn": GUNICORN, "runserver": RUNSERVER}[request.param]
    with serve(application=APPLICATION, command=command) as server:
        server.transports = ("websocket",) if request.param != "runserver" else ()
        yield server


def logged_in(server: Server, name: str) -> Visitor:
    visitor = Visitor(server)
    visitor.get("/login/").post("/login/", username=name, password=name)
    assert (visitor.status, visitor.where) == (302, "/")
    return visitor.get("/")


def test_its_own_tests_pass_with_the_channel_and_without(help_desk: Path) -> None:
    command = [sys.executable, "-W", "error", "manage.py", "test"]
    done = subprocess.run(command, cwd=help_desk, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^Ran (3\d|[4-9]\d) tests", done.stderr, re.MULTILINE), done.stderr


def test_a_view_a_signal_the_admin_and_a_hook_are_heard_on_every_transport(server: Server) -> None:
    ann, bob = logged_in(server, "ann"), logged_in(server, "bob")
    with ExitStack() as stack:
        transports = (WebSocket, *STREAMS) if "websocket" in server.transports else STREAMS
        clients = [stack.enter_context(kind(server, cookie=bob.cookie)) for kind in transports]
        subject = f"Heard over {server.port}"
        ann.post("/announce/", text="Good morning")
        ann.post("/tickets/new/", subject=subject, place="Hall", asked_by="Guard", urgency="1")
        for client in clients:
            while (entry := client.receive())["event"] == "people":
                pass
            assert (entry["event"], entry["data"]) == ("announcement", {"text": "Good morning"})
            entry = client.receive()
            assert (entry["event"], entry["data"]["subject"]) == ("ticket", subject)
        number = entry["data"]["id"]
        clients[0].send(number, event="take", n=1, reply=True)
        taken, reply = sorted((clients[0].receive() for _ in range(2)), key=lambda shape: "reply" in shape)
        assert (taken["data"]["id"], taken["data"]["status"], taken["data"]["agent"]) == (number, "taken", "bob")
        assert reply["data"] == {"taken": True}


def test_a_command_in_a_process_of_its_own_is_heard(server: Server) -> None:
    with EventStream(server, cookie=logged_in(server, "cleo").cookie) as client:
        command = [sys.executable, "manage.py", "announce", "The café closes at four."]
        subprocess.run(command, check=True, cwd=HELP_DESK, capture_output=True, timeout=240)
        while (entry := client.receive())["event"] == "people":
            pass
        assert (entry["event"], entry["data"]) == ("announcement", {"text": "The café closes at four."})


def test_who_logs_out_is_out_on_every_transport(server: Server) -> None:
    bob = logged_in(server, "bob")
    with ExitStack() as stack:
        transports = (WebSocket, *STREAMS) if "websocket" in server.transports else STREAMS
        clients = [stack.enter_context(kind(server, cookie=bob.cookie)) for kind in transports]
        bob.post("/logout/")
        for client in clients:
            # A poll that comes later than the log out brings the cookie of a session that is no more: the view refuses it.
            assert ending(client) in ((4410, 401) if client.transport == "poll" else (4410,))
        for client in clients:
            refusal = refusal_of(type(client)(server, cookie=client.cookie))
            assert (refusal.status, json.loads(refusal.body)) == (401, {"why": "log in first"})


def ending(client: Client) -> int:
    """Return the code of its close, or the status of its refusal."""
    try:
        while "event" in (shape := client.receive()):
            pass
    except Refusal as refusal:
        return refusal.status
    return int(shape["close"]["code"])


def test_a_page_is_served_with_its_style(server: Server) -> None:
    assert "static/tickets/style.css" in Visitor(server).get("/login/").text
    assert server.request("GET", "/static/tickets/style.css")[0] == 200
    assert server.request("GET", "/comet/client.min.js")[0] == 200
