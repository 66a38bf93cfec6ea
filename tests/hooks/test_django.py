"""A Django application whose views are the handlers: sessions, permissions, CSRF and database connections as everywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.hooks.test_flask import error_of, refusal_of
from tests.live.clients import TRANSPORTS, Client, Jsonp, WebSocket, new_key
from tests.live.server import PATIENT, ROOT, Server, serve

APPLICATION = "tests.hooks.django_site.wsgi:application"
SETUP = """
import django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from django.contrib.auth.models import Permission, User
User.objects.create_user("ann", password="ann").user_permissions.add(Permission.objects.get(codename="add_user"))
User.objects.create_user("bob", password="bob")
"""


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("django") / "site.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DJANGO_DATABASE", str(path))
        patch.setenv("DJANGO_SETTINGS_MODULE", "tests.hooks.django_site.settings")
        subprocess.run([sys.executable, "-c", SETUP], check=True, cwd=ROOT, timeout=240)
        yield path


@pytest.fixture(scope="module")
def server(database: Path) -> Iterator[Server]:
    with serve(PATIENT | {"order_seconds": 60}, application=APPLICATION) as server:
        yield server


def session(server: Server, name: str) -> str:
    """Log in; return the cookie of the session."""
    _, headers, _ = server.request("POST", f"/login/{name}", b"")
    cookies = [cookie.partition(";")[0] for cookie in headers.get_all("Set-Cookie", [])]
    return next(cookie for cookie in cookies if cookie.startswith("sessionid="))


def connections(server: Server, database: Path) -> int:
    """Count the files of the database that the server has open."""
    found = 0
    for link in Path(f"/proc/{server.pid}/fd").iterdir():
        try:
            found += os.readlink(link).startswith(str(database))
        except FileNotFoundError:
            pass
    return found


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_views_see_the_clients_own_session(server: Server, transport: type[Client]) -> None:
    with ExitStack() as stack:
        for name in ("ann", "bob"):
            client = stack.enter_context(transport(server, cookie=session(server, name), login=1, members=1))
            seen = client.ask("whoami", None, 1)
            assert seen == {"user": name, "secure": False, "host": "127.0.0.1"}
            assert [client.ask("count", None, n) for n in (2, 3)] == [{"count": 1}, {"count": 2}]
            assert client.ask("python", None, 4)["of"] == name


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_stranger_gets_the_views_own_refusal(server: Server, transport: type[Client]) -> None:
    refusal = refusal_of(transport(server, login=1))
    assert (refusal.status, json.loads(refusal.body)) == (401, {"why": "log in first"})


@pytest.fixture(scope="module")
def asking_server(database: Path) -> Iterator[Server]:
    """A server that asks for the login again and again."""
    with serve(PATIENT | {"reauthorise_seconds": 2, "poll_seconds": 0.5}, application=APPLICATION) as server:
        yield server


@pytest.mark.parametrize("transport", [*TRANSPORTS, Jsonp])
def test_a_login_that_ended_by_itself_is_found_when_it_is_asked_for_again(
    asking_server: Server, transport: type[Client]
) -> None:
    cookie = session(asking_server, "bob")
    with transport(asking_server, cookie=cookie) as client:
        assert client.ask("whoami", None, 1)["user"] == "bob"
        asking_server.request("POST", "/forget", b"", {"Cookie": cookie})
        shape = client.receive()
        if "reconnect" in shape:
            with client.hop(transport) as again:
                shape = again.receive()
        assert shape["reset"]["reason"] == "user"


def test_a_redirect_to_the_login_refuses_and_is_not_followed(server: Server) -> None:
    status, headers, _ = server.request("GET", "/comet?members=1")
    assert (status, headers["Location"]) == (302, None)


def test_permissions_decide(server: Server) -> None:
    name = new_key()
    with WebSocket(server, cookie=session(server, "ann")) as ann, WebSocket(server, cookie=session(server, "bob")) as bob:
        error = error_of(bob, "invite", name, 1)
        assert (error["code"], error["status"]) == ("refused", 403)
        assert "403 Forbidden" in error["body"]
        ann.send(name, event="invite", n=1, reply=True)
        first, second = ann.receive(), ann.receive()
        assert (first["event"], first["data"]) == ("user", {"joined": name})
        assert second["data"]["users"] >= 3


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_opening_speaking_and_closing_are_views(server: Server, transport: type[Client]) -> None:
    with transport(server, cookie=session(server, "bob")) as client:
        client.send("hello", n=1)
        assert client.data(1) == [{"from": "bob", "text": "hello"}]
        client.leave()
        server.journal(1, kind="close", client=client.id)
        lines = server.journal(client=client.id)
        assert [(line["kind"], line["seen"]) for line in lines] == [("open", "bob"), ("close", "bob")]


def test_csrf_protection_stands_for_everybody_but_the_channel(server: Server) -> None:
    forged = {"Cookie": session(server, "ann"), "Cometware-Hook": "1", "Content-Type": "application/json"}
    status, _, body = server.request("POST", "/form", b"{}", forged)
    assert status == 403 and b"CSRF" in body
    for path in ("/realtime/event/invite", "//realtime/event/invite", "/realtime%2Fevent/invite", "/realtime/"):
        assert server.request("POST", path, b'{"data":"mallory"}', forged)[0] == 404
    with WebSocket(server, cookie=forged["Cookie"]) as client:
        assert client.ask("count", None, 1)["count"] >= 1


def test_a_site_behind_tls_is_asked_for_by_its_own_scheme(server: Server) -> None:
    for forwarded, secure in (({"X-Forwarded-Proto": "https"}, True), ({}, False)):
        headers = {"Content-Type": "application/json", "Host": "127.0.0.1:8443", **forwarded}
        _, _, answer = server.request("POST", "/comet", b'{"event":"whoami","data":null}', headers)
        assert json.loads(answer)["data"] == {"user": "", "secure": secure, "host": "127.0.0.1:8443"}


def test_two_hundred_idle_clients_hold_no_database_connection_greenlet_or_thread(server: Server, database: Path) -> None:
    cookie = session(server, "ann")
    with WebSocket(server, cookie=cookie) as first:
        assert first.ask("whoami", None, 1)["user"] == "ann"  # what begins with the first client has begun
    server.until("/held", lambda held: held["parked"] == 0)
    before = server.get("/held")
    with ExitStack() as stack:
        clients = [stack.enter_context(TRANSPORTS[n % 4](server, cookie=cookie)) for n in range(200)]
        assert [client.ask("whoami", None, 1)["user"] for client in clients[:12]] == ["ann"] * 12
        for client in clients:
            client.listen()
        server.journal(200, kind="open", user="ann")
        server.until("/held", lambda held: held["parked"] == 200 and held["greenlets"] <= before["greenlets"])
        assert server.get("/held")["threads"] <= before["threads"]
        server.until("/signals", lambda counted: counted["started"] == counted["finished"] + 1)  # this very request
        assert connections(server, database) == 0


def test_connections_that_settings_keep_for_the_next_request_are_not_kept_by_the_channel(database: Path) -> None:
    with serve(PATIENT, application=APPLICATION, environ={"CONN_MAX_AGE": "600"}) as server, ExitStack() as stack:
        cookie = session(server, "ann")
        clients = [stack.enter_context(WebSocket(server, cookie=cookie)) for _ in range(20)]
        for client in clients:
            client.send(None, event="python", n=1, reply=True)
            client.send(None, event="whoami", n=2, reply=True)
        for client in clients:
            assert [client.receive()["reply"] for _ in range(2)] == [1, 2]
        server.until("/held", lambda held: held["parked"] == 20)
        assert connections(server, database) == 0


def test_a_view_that_fails_or_takes_too_long_leaves_no_connection_behind(database: Path) -> None:
    with (
        serve(PATIENT | {"hook_seconds": 3}, application=APPLICATION) as server,
        WebSocket(server, cookie=session(server, "ann")) as client,
    ):
        assert error_of(client, "failing", None, 1)["status"] == 500
        client.send(client.id, event="waiting", n=2, reply=True)
        server.journal(1, kind="begin", data=client.id)
        assert connections(server, database) >= 1
        assert client.receive()["error"]["status"] == 504
        server.until("/signals", lambda counted: counted["started"] == counted["finished"] + 1)
        assert connections(server, database) == 0
        assert client.ask("whoami", None, 3)["user"] == "ann"


@pytest.mark.parametrize("way", ["view", "environ", "thread", "command", "signal"])
def test_the_channel_of_the_settings_is_published_to_from_everywhere(server: Server, way: str) -> None:
    text: Any = "x" + new_key()  # a key may begin with a hyphen, which is an option to a command
    with WebSocket(server) as client:
        server.post(f"/publish/{way}", data=text)
        entry = client.receive()
        expected = {"command": ("announcement", text), "signal": ("user", {"joined": text})}.get(way, ("message", text))
        assert (entry["event"], entry["data"]) == expected
