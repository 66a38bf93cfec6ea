"""The example's live half, tested as its authors would: the chat room, who is in it, and the orders."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from cometware.testing import Client
from cometware.testing.connection import Connection
from examples.flask_app import app as example
from examples.flask_app import chat

TRANSPORTS = pytest.mark.parametrize("transport", ["websocket", "sse", "stream", "poll", "jsonp"])


@pytest.fixture(autouse=True)
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(example.app.config, "ORDERS_DB", tmp_path / "orders.db")
    monkeypatch.setattr(chat, "PAUSE_SECONDS", 0.0)  # the application's own clock, which no test moves


@pytest.fixture
def visitor() -> Iterator[Client]:
    with Client(example.app) as visitor:
        yield visitor


def post(visitor: Client, path: str, **form: str) -> int:
    """Send a form as a browser does: with the token that the page has."""
    token = re.search('name="csrf" value="([^"]+)"', visitor.get("/login").text)
    assert token is not None
    return visitor.post(path, data={"csrf": token[1], **form}).status_code


def here(visitor: Connection) -> tuple[list[str], int]:
    """Who is told to be here: users by their names, and how many guests."""
    told = visitor.receive("presence")
    return told["names"], told["guests"]


@TRANSPORTS
def test_what_one_says_all_hear_with_the_name_of_the_login(visitor: Client, transport: str) -> None:
    assert post(visitor, "/login", name="ann", password="ann") == 302
    with Client(example.app) as guest:
        ann, other = visitor.connect(transport), guest.connect()
        assert here(ann) == (["ann"], 0)
        assert here(ann) == here(other) == (["ann"], 1)
        ann.send(" good morning ")
        heard = other.receive("message")
        assert (heard["from"], heard["client"], heard["text"]) == ("ann", ann.id, "good morning")


@TRANSPORTS
def test_who_loses_the_connection_is_in_the_room_for_a_minute(visitor: Client, transport: str) -> None:
    assert post(visitor, "/login", name="ann", password="ann") == 302
    with Client(example.app) as guest:
        other, ann = guest.connect(), visitor.connect(transport)
        ann.drop()
        visitor.clock.advance(59)
        assert here(other) == ([], 1)
        assert here(other) == (["ann"], 1)
        assert other.messages == []
        visitor.clock.advance(1)
        assert here(other) == ([], 1)


def test_an_order_that_is_packed_is_packed_on_every_board(visitor: Client) -> None:
    assert post(visitor, "/login", name="ann", password="ann") == 302
    with Client(example.app) as guest:
        board = guest.connect("sse", plain=True)
        assert post(visitor, "/orders/1043/status", status="packed") == 302
        assert '"id":1043' in board.receive("order")
