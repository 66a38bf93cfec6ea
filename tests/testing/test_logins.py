"""Flask's login as applications keep it: sessions in a database, Flask-Login, and handlers that need a request."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, request, session
from flask_babel import Babel, gettext
from flask_login import LoginManager, UserMixin, current_user, login_user
from flask_session import Session
from flask_sqlalchemy import SQLAlchemy

import cometware.flask
from cometware import Channel, Cometware
from cometware.testing import Client


class User(UserMixin):
    def __init__(self, id: str, *, active: bool = True) -> None:
        self.id = id
        self.active = active

    @property
    def is_active(self) -> bool:
        return self.active


USERS: dict[str, User] = {}


@pytest.fixture(autouse=True)
def users() -> Iterator[None]:
    USERS.update({"ann": User("ann"), "bob": User("bob")})
    yield
    USERS.clear()


def application(folder: Path, *, stored: bool = False) -> tuple[Flask, Channel]:
    """Return an application with Flask-Login, and with its sessions in a database if they are `stored`."""
    app = Flask(__name__)
    app.secret_key = "not a secret"
    if stored:
        app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{folder / 'sessions.db'}"
        app.config["SESSION_TYPE"] = "sqlalchemy"
        app.config["SESSION_SQLALCHEMY"] = database = SQLAlchemy(app)
        Session(app)
        with app.app_context():
            database.create_all()
    LoginManager(app).user_loader(USERS.get)
    folder.joinpath("de", "LC_MESSAGES").mkdir(parents=True, exist_ok=True)
    Babel(app, locale_selector=lambda: request.accept_languages.best_match(["en", "de"]))
    channel = Channel(around=cometware.flask.request_context(app))

    @app.post("/login/<name>")
    def login(name: str) -> str:
        login_user(USERS[name])
        session["colour"] = "green"
        return name

    @channel.on("who")
    def who(client: cometware.Client, data: Any) -> Any:
        return {
            "current_user": current_user.get_id(),
            "colour": session.get("colour"),
            "language": str(request.accept_languages),
            "greeting": gettext("hello"),
            "host": request.host,
        }

    app.wsgi_app = Cometware(app.wsgi_app, channel, user=cometware.flask.user(app, "_user_id"))  # type: ignore[method-assign]
    return app, channel


@pytest.mark.parametrize("stored", [False, True], ids=["sessions in cookies", "sessions in a database"])
@pytest.mark.parametrize("transport", ["websocket", "sse", "poll"])
def test_a_handler_has_the_request_of_its_client(tmp_path: Path, stored: bool, transport: str) -> None:
    app, channel = application(tmp_path, stored=stored)
    with Client(app, host="shop.example") as ann, Client(app, host="shop.example") as stranger:
        ann.post("/login/ann")
        told = ann.connect(transport, headers={"Accept-Language": "de"}).ask("who")
        assert told == {
            "current_user": "ann",
            "colour": "green",
            "language": "de",
            "greeting": "hello",
            "host": "shop.example",
        }
        assert [one.user for one in channel.presence()] == ["ann"]
        told = stranger.connect(transport).ask("who")
        assert (told["current_user"], told["colour"]) == (None, None)


def test_it_is_the_newest_request_that_a_handler_has(tmp_path: Path) -> None:
    app, _ = application(tmp_path)
    with Client(app) as ann:
        ann.post("/login/ann")
        first = ann.connect("sse", headers={"Accept-Language": "de"})
        second = ann.connect("websocket", key=first.key, headers={"Accept-Language": "fr"})
        assert second.ask("who")["language"] == "fr"


@pytest.mark.parametrize("stored", [False, True], ids=["sessions in cookies", "sessions in a database"])
def test_whom_flask_login_does_not_know_any_more_is_nobody(tmp_path: Path, stored: bool) -> None:
    app, channel = application(tmp_path, stored=stored)
    with Client(app) as ann, Client(app) as bob:
        ann.post("/login/ann"), bob.post("/login/bob")
        del USERS["ann"]
        USERS["bob"] = User("bob", active=False)
        ann.connect(), bob.connect()
        assert [one.user for one in channel.presence()] == [None, None]


def test_nothing_is_kept_of_requests_that_nobody_needs() -> None:
    channel = Channel(around=Flask(__name__).app_context)
    assert channel.requests is None

    @channel.on("environ")
    def environ(client: cometware.Client, data: Any) -> Any:
        return client.request_environ()

    with Client(Cometware(Flask(__name__).wsgi_app, channel)) as client:
        with pytest.raises(Exception, match="the handler failed"):
            client.connect().ask("environ")
        (failure,) = client.failures
        assert "request_context(app)" in str(failure)


def test_an_around_of_ones_own_may_take_the_client() -> None:
    entered: list[str | None] = []

    def around(client: cometware.Client) -> Any:
        entered.append(client.id)
        return Flask(__name__).app_context()

    channel = Channel(around=around)
    channel.on("nothing")(lambda client, data: client.id)
    with Client(Cometware(Flask(__name__).wsgi_app, channel)) as client:
        connection = client.connect()
        assert connection.ask("nothing") == connection.id
        assert entered == [connection.id] or entered == [connection.id] * 2
