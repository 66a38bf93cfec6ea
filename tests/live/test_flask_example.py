"""The example's legacy half, through Flask's own test client: its views know nothing of the channel."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from datetime import date, timedelta
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from flask import url_for
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from examples.flask_app import app as example

FORM: dict[str, Any] = {"customer": "Kiosk Nord", "coffee": "3", "kilos": "12", "note": ""}
TOMORROW = (date.today() + timedelta(days=1)).isoformat()


@pytest.fixture(autouse=True)
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "instance" / "orders.db"
    monkeypatch.setitem(example.app.config, "ORDERS_DB", path)
    return path


@pytest.fixture(params=["with the channel", "without it"])
def visitor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[FlaskClient]:
    if request.param == "without it":
        monkeypatch.delattr(example.app, "wsgi_app")  # what stands in front of Flask's own
    with example.app.test_client() as client:
        yield client


@pytest.fixture
def ann(visitor: FlaskClient) -> FlaskClient:
    assert log_in(visitor, "ann", "ann").status_code == 302
    return visitor


def page(client: FlaskClient, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200
    return response.text


def post(client: FlaskClient, path: str, follow: bool = False, **form: Any) -> TestResponse:
    """Send a form as a browser does: with the token that the page has."""
    match = re.search('name="csrf" value="([^"]+)"', page(client, "/login"))
    assert match is not None
    return client.post(path, data={"csrf": match[1], **form}, follow_redirects=follow)


def log_in(client: FlaskClient, name: str, password: str, then: str = "/login") -> TestResponse:
    return post(client, then, name=name, password=password)


def published() -> list[Any]:
    """The orders that were published, oldest first."""
    return [entry.data for entry in example.channel.recent_entries(n=100) if entry.message.event == "order"]


def row(html: str, order_id: int) -> str:
    """The text of an order's row in the list."""
    rows = re.findall("<tr>.*?</tr>", html, re.DOTALL)
    (found,) = [row for row in rows if f">{order_id}<" in row]
    return " ".join(unescape(re.sub("<[^>]*>", " ", found)).split())


# Login


def test_the_login_page_names_the_demo_users(visitor: FlaskClient) -> None:
    html = page(visitor, "/login")

    assert "<code>ann</code>" in html
    assert "<code>bob</code>" in html


def test_a_user_logs_in_and_is_greeted_by_name(visitor: FlaskClient) -> None:
    response = log_in(visitor, "bob", "bob")

    assert (response.status_code, response.location) == (302, "/")
    assert 'data-user="bob"' in page(visitor, "/")
    with visitor.session_transaction() as session:
        assert session["user"] == "bob"


@pytest.mark.parametrize(("name", "password"), [("ann", "bob"), ("ann", ""), ("nobody", "nobody"), ("", "")])
def test_a_wrong_password_is_refused(visitor: FlaskClient, name: str, password: str) -> None:
    response = log_in(visitor, name, password)

    assert response.status_code == 401
    assert "Name and password do not match." in response.text
    assert 'data-user=""' in page(visitor, "/")


def test_logging_out_forgets_the_user(ann: FlaskClient) -> None:
    response = post(ann, "/logout", follow=True)

    assert "You are logged out." in response.text
    with ann.session_transaction() as session:
        assert "user" not in session


def test_passwords_are_not_in_the_database(ann: FlaskClient, database: Path) -> None:
    stored = database.read_bytes()

    assert b"scrypt:" in stored
    assert b"annann" not in stored


def test_who_must_log_in_first_is_brought_back_to_the_form(visitor: FlaskClient) -> None:
    refused = visitor.get("/orders/new")

    assert refused.status_code == 302
    assert log_in(visitor, "ann", "ann", then=refused.location).location == "/orders/new"


@pytest.mark.parametrize("goal", ["https://evil.example/", "//evil.example/", "/\\evil.example", "/\t/evil.example", "x"])
def test_a_login_never_leads_to_another_site(visitor: FlaskClient, goal: str) -> None:
    with example.app.test_request_context():
        path = url_for("login", next=goal)

    assert log_in(visitor, "ann", "ann", then=path).location == "/"


# Forms


@pytest.mark.parametrize("token", ["", "guessed", "ä"])
@pytest.mark.parametrize("path", ["/login", "/logout", "/orders/new", "/orders/1043/status"])
def test_a_form_without_the_sessions_token_is_refused(ann: FlaskClient, path: str, token: str) -> None:
    page(ann, "/")

    response = ann.post(path, data={"csrf": token, **FORM, "due": TOMORROW, "status": "packed"})

    assert response.status_code == 400
    assert "This form is out of date." in response.text
    assert "Kiosk Nord" not in page(ann, "/orders")
    assert "open" in row(page(ann, "/orders"), 1043)


def test_a_form_from_a_session_that_has_no_token_is_refused(visitor: FlaskClient) -> None:
    assert visitor.post("/login", data={"name": "ann", "password": "ann"}).status_code == 400
    assert visitor.post("/login", data={"name": "ann", "password": "ann", "csrf": ""}).status_code == 400


# Orders


def test_everybody_sees_the_orders(visitor: FlaskClient) -> None:
    assert "Station Kiosk 4" in page(visitor, "/")
    assert row(page(visitor, "/orders"), 1045).startswith("1045 Station Kiosk 4 Cerrado, natural Minas Gerais, Brazil 24 kg")


def test_only_who_is_logged_in_has_buttons_and_may_use_them(visitor: FlaskClient) -> None:
    assert "Mark order" not in page(visitor, "/orders")
    assert post(visitor, "/orders/1045/status", status="packed").location.startswith("/login?")
    assert "open" in row(page(visitor, "/orders"), 1045)


def test_a_new_order_is_listed_and_published(ann: FlaskClient) -> None:
    before = len(published())

    response = post(ann, "/orders/new", follow=True, **FORM, due=TOMORROW)

    assert "Order 1047 is on the board." in response.text
    assert row(page(ann, "/orders"), 1047).startswith("1047 Kiosk Nord Cerrado, natural")
    assert "€ 201.60" in row(page(ann, "/orders"), 1047)
    (order,) = published()[before:]
    assert (order["id"], order["customer"], order["coffee"]) == (1047, "Kiosk Nord", "Cerrado, natural")
    assert (order["kilos"], order["due"], order["status"]) == (12, TOMORROW, "open")


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("customer", " ", "Who ordered?"),
        ("customer", "x" * 61, "At most 60 characters."),
        ("coffee", "99", "Choose a coffee from the list."),
        ("coffee", "", "Choose a coffee from the list."),
        ("kilos", "0", "A whole number from 1 to 500."),
        ("kilos", "501", "A whole number from 1 to 500."),
        ("kilos", "1.5", "A whole number from 1 to 500."),
        ("kilos", "²", "A whole number from 1 to 500."),
        ("kilos", "9" * 5000, "A whole number from 1 to 500."),
        ("due", "2001-01-01", "This day is over."),
        ("due", "soon", "A date, please"),
        ("note", "x" * 121, "At most 120 characters."),
    ],
)
def test_a_wrong_field_is_named_and_the_others_are_kept(ann: FlaskClient, field: str, value: str, error: str) -> None:
    before = len(published())
    form: dict[str, Any] = {**FORM, "note": "Ring twice", "due": TOMORROW, field: value}

    response = post(ann, "/orders/new", **form)

    assert response.status_code == 422
    assert error in response.text
    assert response.text.count('class="error"') == 1
    assert f'value="{"Ring twice" if field != "note" else "Kiosk Nord"}"' in response.text
    assert len(published()) == before


def test_an_order_goes_from_open_to_packed_to_shipped(ann: FlaskClient) -> None:
    before = len(published())

    packed = post(ann, "/orders/1043/status", status="packed", next="/orders?status=packed")
    shipped = post(ann, "/orders/1043/status", follow=True, status="shipped")

    assert packed.location == "/orders?status=packed"
    assert "Order 1043 is shipped." in shipped.text
    assert "shipped" in row(page(ann, "/orders"), 1043)
    assert [(order["id"], order["status"]) for order in published()[before:]] == [(1043, "packed"), (1043, "shipped")]
    assert re.findall("<b>(Taken|Packed|Shipped)</b> by (ann|bob)", page(ann, "/orders/1043")) == [
        ("Taken", "bob"),
        ("Packed", "ann"),
        ("Shipped", "ann"),
    ]


def test_a_later_change_of_an_order_sorts_after_an_earlier_one(ann: FlaskClient) -> None:
    before = len(published())

    post(ann, "/orders/1043/status", status="packed")
    post(ann, "/orders/1043/status", status="shipped")

    first, second = (order["changed_at"] for order in published()[before:])
    assert first < second


def test_who_is_second_is_told_how_the_order_stands(ann: FlaskClient) -> None:
    post(ann, "/orders/1043/status", status="packed", follow=True)
    before = len(published())

    response = post(ann, "/orders/1043/status", status="packed", follow=True)

    assert "Order 1043 was not open any more: it is packed." in response.text
    assert len(published()) == before


@pytest.mark.parametrize("status", ["", "open", "eaten"])
def test_an_order_takes_no_other_step(ann: FlaskClient, status: str) -> None:
    assert post(ann, "/orders/1043/status", status=status).status_code == 400
    assert "open" in row(page(ann, "/orders"), 1043)


def test_an_open_order_is_not_shipped_unpacked(ann: FlaskClient) -> None:
    response = post(ann, "/orders/1043/status", status="shipped", follow=True)

    assert "Order 1043 was not packed any more: it is open." in response.text


def test_the_list_shows_one_status_if_asked(visitor: FlaskClient) -> None:
    packed = page(visitor, "/orders?status=packed")

    assert "Quay Canteen" in packed
    assert "Station Kiosk 4" not in packed
    assert visitor.get("/orders?status=eaten").status_code == 404


def test_what_people_write_is_escaped(ann: FlaskClient) -> None:
    evil = '<script>alert("1")</script>'

    post(ann, "/orders/new", **{**FORM, "customer": evil, "note": evil}, due=TOMORROW)

    for path in ("/", "/orders", "/orders/1047"):
        html = page(ann, path)
        assert "&lt;script&gt;alert(&#34;1&#34;)&lt;/script&gt;" in html
        assert evil not in html
    response = post(ann, "/orders/new", **{**FORM, "customer": evil, "kilos": "0"}, due=TOMORROW)
    assert evil not in response.text


def test_an_order_that_is_not_there_is_a_page_of_the_app(ann: FlaskClient) -> None:
    assert ann.get("/orders/7").status_code == 404
    assert "There is no order 7." in ann.get("/orders/7").text
    assert post(ann, "/orders/7/status", status="packed").status_code == 404


def test_a_wrong_method_keeps_its_allow_header(visitor: FlaskClient) -> None:
    response = visitor.get("/logout")

    assert response.status_code == 405
    assert set(response.headers["Allow"].split(", ")) == {"POST", "OPTIONS"}


# The database


def test_the_database_is_made_and_filled_once(visitor: FlaskClient, database: Path) -> None:
    assert not database.exists()

    first = page(visitor, "/orders")

    assert database.exists()
    assert page(visitor, "/orders") == first
    assert first.count("Station Kiosk 4") == 1


def test_two_workers_that_begin_together_fill_it_once(database: Path) -> None:
    start = threading.Barrier(4)
    statuses = []

    def work() -> None:
        start.wait(60)
        statuses.append(example.app.test_client().get("/orders").status_code)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert statuses == [200] * 4
    assert page(example.app.test_client(), "/orders").count("Station Kiosk 4") == 1


def test_the_channel_is_five_marked_lines() -> None:
    source = Path(example.__file__).read_text()

    assert re.findall(r"# cometware (\d)", source) == ["1", "2", "3", "4", "5"]
    statements = [line for line in source.splitlines() if "channel" in line or "cometware" in line]
    assert sum(not line.lstrip().startswith("#") and '"""' not in line for line in statements) == 5
