"""The example's live desk in today's Chromium: the chat, the board and who is here, over every transport that it offers."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.live.server import Server, serve

OpenPage = Callable[..., Page]
Visit = Callable[..., Page]

NAMES = {"WebSocket": "WebSocket", "Stream": "a stream", "SSE": "SSE", "Long poll": "long poll"}
"""The buttons of the switch, and what the page then says."""

SAMPLE = {"WebSocket", "Long poll"}
"""Those that `make test` switches to."""

TEXTS = "nodes => nodes.map(node => node.textContent)"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("ORDERS_DB", str(tmp_path / "orders.db"))
    with serve(application="examples.flask_app.app:app") as server:
        yield server


@pytest.fixture
def visit(server: Server, open_page: OpenPage) -> Visit:
    """Open the desk in a new browser: `visit("ann", "WebSocket")` is ann in one without WebSocket, None is a guest."""

    def open_desk(user: str | None, *without: str) -> Page:
        page = open_page(f"http://127.0.0.1:{server.port}/{'login' if user else ''}", *without)
        if user:
            page.fill("#name", user)
            page.fill("#password", user)
            page.click("main button")
        live(page)
        return page

    return open_desk


def live(page: Page, name: str = "") -> None:
    """Wait until the desk is live over a transport; over any, unless told."""
    expect(page.locator("#badge[data-state=open]")).to_contain_text(f"Live over {name}")


def switch(page: Page, button: str) -> None:
    page.get_by_text(button, exact=True).click()


def say(page: Page, text: str) -> None:
    page.fill("#text", text)
    page.press("#text", "Enter")


def heard(page: Page, count: int) -> list[str]:
    """Wait for so many messages in the chat, and return the texts of all."""
    page.wait_for_function("count => document.querySelectorAll('.bubble').length >= count", arg=count)
    return list(page.locator(".bubble").evaluate_all(TEXTS))


def column(page: Page, status: str) -> list[str]:
    """Return the numbers of the orders in a column of the board."""
    return list(page.locator(f"[data-status={status}] .no").evaluate_all(TEXTS))


# The chat


@pytest.mark.parametrize("button", [pytest.param(name, marks=[pytest.mark.full] * (name not in SAMPLE)) for name in NAMES])
def test_two_browsers_chat_one_by_websocket_and_one_by(button: str, visit: Visit) -> None:
    ann, bob = visit("ann"), visit("bob")
    switch(ann, "WebSocket")
    switch(bob, button)
    live(ann, "WebSocket")
    live(bob, NAMES[button])
    said = []

    for turn in range(4):
        for page, name in ((ann, "ann"), (bob, "bob")):
            say(page, f"{name} {turn}")
            said.append(f"{name} {turn}")
            assert heard(ann, len(said)) == heard(bob, len(said)) == said


def test_switching_by_hand_in_the_middle_loses_and_doubles_nothing(visit: Visit) -> None:
    ann, bob = visit("ann"), visit("bob")
    burst = """([name, first, count]) => {
        for (let i = first; i < first + count; i++) {
            document.getElementById("text").value = `${name} ${i}`;
            document.getElementById("composer").requestSubmit();
        }
    }"""
    hops = ["Long poll", "WebSocket", "Stream", "SSE", "Long poll", "SSE", "WebSocket", "Auto"]

    for turn, button in enumerate(hops):
        ann.evaluate(burst, ["ann", 20 * turn, 20])
        bob.evaluate(burst, ["bob", 5 * turn, 5])
        switch(bob, button)
    count = 25 * len(hops)
    at_ann, at_bob = heard(ann, count), heard(bob, count)

    assert at_bob == at_ann
    assert [text for text in at_bob if text.startswith("ann")] == [f"ann {i}" for i in range(20 * len(hops))]
    assert [text for text in at_bob if text.startswith("bob")] == [f"bob {i}" for i in range(5 * len(hops))]
    live(bob, "WebSocket")


@pytest.mark.full
def test_who_comes_later_sees_what_was_said_and_who_said_it(server: Server, visit: Visit) -> None:
    ann = visit("ann")
    say(ann, "The Kenya is roasted.")
    say(ann, "All of it.")
    heard(ann, 2)
    server.request("POST", "/comet", b"hello", {"Content-Type": "application/x-www-form-urlencoded"})

    bob = visit("bob")

    assert heard(bob, 3) == ["The Kenya is roasted.", "All of it.", "hello"]
    assert bob.locator(".message header b").evaluate_all(TEXTS) == ["ann", "guest"]
    assert bob.locator(".mine").count() == 0
    heard(ann, 3)
    assert ann.locator(".mine").count() == 2


@pytest.mark.full
def test_a_guest_watches_and_speaks(visit: Visit) -> None:
    ann, guest = visit("ann"), visit(None)

    say(guest, "Is the Kenya in?")
    say(ann, "It is.")

    assert heard(ann, 2) == heard(guest, 2) == ["Is the Kenya in?", "It is."]
    assert ann.locator(".message header b").first.text_content() == "guest"
    assert guest.locator(".mine .bubble").evaluate_all(TEXTS) == ["Is the Kenya in?"]
    assert guest.locator(".step").count() == 0


def test_what_people_say_is_text(visit: Visit) -> None:
    ann, bob = visit("ann"), visit("bob")
    evil = '<img src="x" onerror="throw 1"><b>bold</b></script>\u2028'

    say(ann, evil)

    assert heard(bob, 1) == [evil.strip()]
    assert bob.locator(".bubble *").count() == 0


# The transport


def test_the_page_shows_the_transport_and_why(visit: Visit) -> None:
    page = visit("ann")
    badge, chosen, serving = page.locator("#badge"), page.locator(":checked + span"), page.locator("#switch .serving")

    expect(badge).to_have_text("Live over WebSocketthe first that answered")
    expect(chosen).to_have_text("Auto")
    expect(serving).to_have_text("WebSocket")

    for button, name in reversed(NAMES.items()):
        switch(page, button)
        expect(badge).to_have_text(f"Live over {name}chosen by hand")
        expect(chosen).to_have_text(button)
        expect(serving).to_have_text(button)


@pytest.mark.full
def test_automatic_goes_back_to_the_best(visit: Visit) -> None:
    page = visit("ann")
    switch(page, "Long poll")
    live(page, "long poll")

    switch(page, "Auto")

    live(page, "WebSocket")


def test_while_it_is_away_it_says_so_in_words(server: Server, visit: Visit) -> None:
    page = visit("ann")
    badge = page.locator("#badge")

    page.context.set_offline(True)
    expect(badge).to_have_text("Reconnectingthis device is offline")
    expect(page.locator("#switch .serving")).to_have_count(0)
    page.context.set_offline(False)
    live(page, "WebSocket")
    expect(badge).to_have_text(re.compile("Live over WebSocket(back again|better than the one before)"))
    os.kill(server.pid, signal.SIGTERM)
    expect(badge).to_have_text("Reconnectingthe connection broke")
    assert page.locator("#switch label").evaluate_all("labels => new Set(labels.map(label => label.offsetTop)).size") == 1


@pytest.mark.parametrize(
    ("without", "name"),
    [
        (["WebSocket"], "a stream"),
        (["WebSocket", "fetch"], "a stream by XHR"),
    ],
)
def test_an_older_browser_is_live_by_what_it_has(without: list[str], name: str, visit: Visit) -> None:
    ann, bob = visit("ann"), visit("bob", *without)

    live(bob, name)
    say(bob, "Good morning")

    assert heard(ann, 1) == ["Good morning"]


# The board


def test_an_order_placed_in_a_view_appears_on_everybodys_board(visit: Visit) -> None:
    ann, bob, guest = visit("ann"), visit("bob"), visit(None)
    before = column(bob, "open")

    ann.click("text=New order")
    ann.fill("#customer", "Kiosk Nord")
    ann.select_option("#coffee", "4")
    ann.fill("#kilos", "12")
    ann.click("text=Take the order")

    for page in (bob, guest):
        expect(page.locator("[data-id='1047'] .customer")).to_have_text("Kiosk Nord")
        expect(page.locator("[data-id='1047'] .coffee")).to_have_text("12 kg Nyeri AA")
        expect(page.locator(".open .count")).to_have_text(str(len(before) + 1))
        assert column(page, "open") == ["1047", *before]  # due today, so before the others
    assert column(ann, "open") == ["1047", *before]


@pytest.mark.full
def test_an_order_moves_on_the_others_board(visit: Visit) -> None:
    ann, bob = visit("ann"), visit("bob")
    switch(bob, "Long poll")
    live(bob, "long poll")

    ann.click("[data-id='1043'] .step")
    expect(bob.locator("[data-status=packed] [data-id='1043']")).to_be_visible()
    bob.click("[data-id='1043'] .step")
    expect(ann.locator("[data-status=shipped] [data-id='1043']")).to_be_visible()

    for page in (ann, bob):
        assert column(page, "shipped")[0] == "1043"
        assert "1043" not in column(page, "open") + column(page, "packed")
        expect(page.locator("[data-id='1043'] .step")).to_have_count(0)


@pytest.mark.full
def test_a_board_that_is_loaded_later_is_not_moved_back_by_old_news(visit: Visit) -> None:
    ann = visit("ann")
    for wanted in ("packed", "shipped"):
        ann.click("[data-id='1043'] .step")
        expect(ann.locator(f"[data-status={wanted}] [data-id='1043']")).to_be_visible()
    say(ann, "1043 is out.")

    bob = visit("bob")

    heard(bob, 1)  # which came behind the old news
    assert column(bob, "shipped")[0] == "1043"
    assert bob.locator(".changed").count() == 0


# Who is here


@pytest.mark.full
def test_who_is_here_follows(visit: Visit) -> None:
    ann = visit("ann")
    people = ann.locator("#people .person")
    expect(people).to_have_text(["aann"])

    bob = visit("bob")
    expect(people).to_have_text(["aann", "bbob"])
    second = bob.context.new_page()
    second.goto(bob.url)
    live(second)
    guest, other = visit(None), visit(None)
    expect(people).to_have_text(["aann", "bbob", "2 guests"])

    other.click("text=All orders")
    expect(people).to_have_text(["aann", "bbob", "1 guest"])
    switch(guest, "Long poll")
    live(guest, "long poll")
    second.click("text=All orders")
    bob.click("text=Log out")
    expect(people).to_have_text(["aann", "1 guest"])
    expect(guest.locator("#people .person")).to_have_text(["aann", "1 guest"])
