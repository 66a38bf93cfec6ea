"""Who is logged in by a real application's own pages may use the channel, on every transport; who logs out is out."""

from __future__ import annotations

import json
from contextlib import ExitStack

import pytest

from tests.apps.conftest import Site
from tests.examples.test_help_desk import ending
from tests.hooks.test_flask import refusal_of
from tests.live.clients import TRANSPORTS, Client, Jsonp, LongPoll
from tests.live.visitor import Visitor

ALL = (*TRANSPORTS, Jsonp)


def error_of(client: Client) -> tuple[int, str]:
    refusal = refusal_of(client)
    return refusal.status, json.loads(refusal.body)["error"]["message"]


@pytest.mark.parametrize("transport", ALL)
def test_a_stranger_is_refused_before_and_after_he_has_seen_the_login_page(site: Site, transport: type[Client]) -> None:
    visitor = Visitor(site.server)
    assert error_of(transport(site.server)) == (401, "log in first")
    visitor.get(site.login)
    assert (visitor.status, visitor.cookie != "") == (200, True)
    assert error_of(transport(site.server, cookie=visitor.cookie)) == (401, "log in first")
    visitor.post(site.login, **{site.name: "mallory", "password": "guessed"})
    assert error_of(transport(site.server, cookie=visitor.cookie)) == (401, "log in first")


@pytest.mark.parametrize("transport", ALL)
def test_who_has_logged_in_by_the_page_is_let_in_and_heard(site: Site, transport: type[Client]) -> None:
    with transport(site.server, cookie=site.logged_in().cookie) as client:
        client.send("hello", n=1)
        assert client.data(1) == [{"from": site.user, "text": "hello"}]


def test_who_logs_out_in_one_tab_is_closed_in_the_others_on_every_transport(site: Site) -> None:
    visitor = site.logged_in()
    with ExitStack() as stack:
        clients = [stack.enter_context(transport(site.server, cookie=visitor.cookie)) for transport in ALL]
        before = visitor.cookie
        for client in clients:
            client.listen()
        visitor.get(site.logout)
        assert visitor.status == 302
        for client in clients:
            assert ending(client) in ((4410, 401) if isinstance(client, LongPoll) else (4410,))
    for transport in ALL:
        if "sessionid" in before:  # Flask's session is the cookie itself: an old one is a login still
            assert error_of(transport(site.server, cookie=before)) == (401, "log in first")
        assert error_of(transport(site.server, cookie=visitor.cookie)) == (401, "log in first")
