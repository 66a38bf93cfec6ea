"""The examples, bare and with the channel in front: every response is the same byte for byte, and so is how it comes.

Both sides are under `wsgiref.validate`: the server's, and between the channel and the application.
"""

from __future__ import annotations

import importlib
import random
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode
from wsgiref.validate import validator

import pytest
import time_machine
from werkzeug.test import create_environ

from cometware import Channel, Cometware
from tests.examples.conftest import HELP_DESK

NOON = datetime(2026, 5, 4, 12, tzinfo=timezone.utc)
TOKEN = re.compile(r'name="(csrfmiddlewaretoken|csrf)" value="([^"]+)"')


class Exchange(NamedTuple):
    """One response. `made`: how many parts the application had made when each part arrived; `environ`: what it was asked."""

    request: str
    status: str
    headers: list[tuple[str, str]]
    parts: list[bytes]
    made: list[int]
    closed: int
    environ: dict[str, str]


class Watched:
    """Stands before an application, and counts what it makes and how often it is closed."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.made = 0
        self.closed = 0

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Watched:
        self.made = self.closed = 0
        self.environ = {name: value for name, value in environ.items() if isinstance(value, str)}
        self._result = self._app(environ, start_response)
        self._parts = iter(self._result)
        return self

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        part = next(self._parts)
        self.made += 1
        return part

    def close(self) -> None:
        self.closed += 1
        if hasattr(self._result, "close"):
            self._result.close()


class Browser:
    """Asks an application as a server does, and keeps cookies and all that was answered."""

    def __init__(self, app: Any, watched: Watched) -> None:
        self._app = app
        self._watched = watched
        self._cookies: dict[str, str] = {}
        self._form: dict[str, str] = {}
        self.exchanges: list[Exchange] = []

    def get(self, path: str, method: str = "GET", patience: int = 10**9) -> None:
        self._ask(method, path, b"", patience)

    def post(self, path: str, **form: str) -> None:
        self._ask("POST", path, urlencode(self._form | form).encode())

    def _ask(self, method: str, path: str, body: bytes, patience: int = 10**9) -> None:
        cookie = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        headers = {"Cookie": cookie, "Referer": "http://localhost/"}
        kind = "application/x-www-form-urlencoded" if body else None
        head: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            head[:] = [status, headers]
            return lambda part: None

        result = self._app(create_environ(path, method=method, data=body, content_type=kind, headers=headers), start_response)
        parts, made = [], []
        for part in result:
            parts.append(part)
            made.append(self._watched.made)
            if len(parts) == patience:
                break
        result.close()
        status, answer = head
        for name, value in answer:
            if name == "Set-Cookie":
                self._cookies |= {name: morsel.value for name, morsel in SimpleCookie(value).items()}
        if b"".join(parts)[:15] == b"<!doctype html>":
            self._form = dict(TOKEN.findall(b"".join(parts).decode())) or self._form
        kept = [(name, value) for name, value in answer if name != "Date"]
        self.exchanges.append(
            Exchange(f"{method} {path}", status, kept, parts, made, self._watched.closed, self._watched.environ)
        )


def order_desk(browser: Browser) -> None:
    for path in ("/", "/orders?status=open", "/orders/1043", "/orders/7", "/orders/new", "/login", "/static/style.css"):
        browser.get(path)
    browser.get("/", "HEAD")
    browser.get("/logout")
    browser.post("/login", name="ann", password="wrong")
    browser.post("/login", name="ann", password="ann")
    browser.get("/orders/new")
    browser.post("/orders/new", customer="", coffee="3", kilos="12", due="2026-05-05")
    browser.post("/orders/new", customer="Kiosk Nord", coffee="3", kilos="12", due="2026-05-05")
    browser.post("/orders/1043/status", status="packed")
    browser.get("/")
    browser.post("/logout")
    browser.get("/login")


def help_desk_pages(browser: Browser) -> None:
    for path in ("/", "/tickets/205/", "/nowhere/", "/admin/", "/login/", "/static/tickets/style.css", "/static/no.css"):
        browser.get(path)
    browser.get("/login/", "HEAD")
    browser.post("/login/", username="ann", password="wrong")
    browser.post("/login/", username="ann", password="ann")
    for path in ("/", "/tickets/205/", "/tickets/7/", "/admin/tickets/ticket/", "/tickets/205/take/", "/tickets.csv"):
        browser.get(path)
    browser.get("/tickets.csv", patience=2)
    browser.post("/tickets/new/", subject="The clock is late", place="", asked_by="Guard", urgency="3")
    browser.post("/tickets/new/", subject="The clock is late", place="Hall", asked_by="Guard", urgency="3")
    browser.post("/tickets/208/take/")
    browser.post("/tickets/208/take/", csrfmiddlewaretoken="forged")
    browser.get("/")
    browser.post("/logout/")
    browser.get("/")


def visit(wrapped: Cometware, pages: Callable[[Browser], None], patch: pytest.MonkeyPatch, *, bare: bool) -> list[Exchange]:
    """Go through the pages, by the same clock and chance each time."""
    chance = random.Random(7)
    patch.setattr(secrets, "choice", chance.choice)
    patch.setattr(secrets, "token_urlsafe", lambda size=32: chance.randbytes(size).hex())
    patch.setattr(Channel, "position", "here")  # on the page; each visit moves it
    watched = Watched(wrapped.app)
    patch.setattr(wrapped, "app", validator(watched))
    browser = Browser(validator(wrapped.app if bare else wrapped), watched)
    with time_machine.travel(NOON, tick=False):
        pages(browser)
    patch.undo()
    return browser.exchanges


def compare(
    wrapped: Cometware, pages: Callable[[Browser], None], use: Callable[[Path], None], database: Path
) -> list[Exchange]:
    """Go through the pages bare and wrapped, each with a copy of the database; return what was answered."""
    answered = []
    for bare in (True, False):
        use(Path(shutil.copy(database, database.with_name(f"{bare}.db"))))
        with pytest.MonkeyPatch.context() as patch:
            answered.append(visit(wrapped, pages, patch, bare=bare))
    for without, behind in zip(*answered, strict=True):
        assert behind == without
        assert behind.closed == 1, behind.request
    return answered[1]


def statuses(exchanges: list[Exchange]) -> str:
    return " ".join(exchange.status[:3] for exchange in exchanges)


def test_the_order_desk_in_flask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from examples.flask_app import app as example

    def use(database: Path) -> None:
        monkeypatch.setitem(example.app.config, "ORDERS_DB", database)

    use(tmp_path / "first.db")
    with time_machine.travel(NOON, tick=False):
        example.app.test_client().get("/")
    answered = compare(example.app.wsgi_app, order_desk, use, tmp_path / "first.db")
    assert statuses(answered) == "200 200 200 404 302 200 200 200 405 401 302 200 422 302 302 200 302 200"


@pytest.fixture
def django(tmp_path: Path) -> Iterator[Callable[[Path], None]]:
    """Set Django up for the help desk in this process; return what changes its database."""

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")  # Django sets it
        patch.setenv("DJANGO_SETTINGS_MODULE", "helpdesk.settings")
        patch.setenv("HELPDESK_CHANNEL", "memory:")
        patch.setenv("HELPDESK_DB", str(tmp_path / "first.db"))
        patch.syspath_prepend(str(HELP_DESK))
        import django
        from django.db import connection, connections

        django.setup()

        def use(database: Path) -> None:
            connection.close()
            connections.databases["default"]["NAME"] = connection.settings_dict["NAME"] = database

        yield use
        connection.close()


def test_the_help_desk_in_django(tmp_path: Path, django: Callable[[Path], None]) -> None:
    from django.core.management import call_command

    wrapped = importlib.import_module("helpdesk.wsgi").application
    django(tmp_path / "first.db")
    with time_machine.travel(NOON, tick=False):
        call_command("demo")
    answered = compare(wrapped, help_desk_pages, django, tmp_path / "first.db")
    assert statuses(answered) == (
        "302 302 404 302 200 200 404 200 200 302 200 200 404 200 405 200 200 422 302 302 403 200 302 302"
    )
    (whole, stopped) = (exchange for exchange in answered if exchange.request == "GET /tickets.csv")
    assert (len(whole.parts), whole.made) == (9, [1, 2, 3, 4, 5, 6, 7, 8, 9])
    assert (len(stopped.parts), stopped.made) == (2, [1, 2])
