"""The Django example in today's Chromium: the queue and a ticket, live in two browsers; and logged out in one tab."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.live.server import ROOT, Server, serve

HELP_DESK = ROOT / "examples/django_app"
OpenPage = Callable[..., Page]
Visit = Callable[..., Page]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("help_desk")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HELPDESK_DB", str(folder / "helpdesk.db"))
        patch.setenv("HELPDESK_CHANNEL", "memory:")
        patch.setenv("PYTHONPATH", str(HELP_DESK))
        subprocess.run([sys.executable, "manage.py", "demo"], check=True, cwd=HELP_DESK, timeout=240)
        with serve(application="helpdesk.wsgi:application") as server:
            yield server


@pytest.fixture
def visit(server: Server, open_page: OpenPage) -> Visit:
    """Log in, in a browser of one's own, which may lack something."""

    def log_in(user: str, *without: str) -> Page:
        page = open_page(f"http://127.0.0.1:{server.port}/login/", *without)
        page.fill("#id_username", user)
        page.fill("#id_password", user)
        page.click("main button")
        live(page)
        return page

    return log_in


def live(page: Page) -> None:
    expect(page.locator("#badge[data-state=open]")).to_contain_text("Live over")


def test_a_ticket_that_one_takes_moves_on_the_others_queue(visit: Visit) -> None:
    ann, bob, cleo = visit("ann"), visit("bob", "WebSocket"), visit("cleo", "WebSocket", "fetch", "EventSource")
    for page in (ann, bob, cleo):
        expect(page.locator("#people .person")).to_have_text(["ann", "bob", "cleo"])
    expect(cleo.locator(".take")).to_have_count(0)
    bob.click("[data-id='208'] .take button")
    for page in (ann, bob, cleo):
        expect(page.locator("[data-status=taken] [data-id='208'] .agent")).to_have_text("bob")
        expect(page.locator("#taken-title .count")).to_have_text("3")
    expect(bob.locator("#flashes .flash")).to_have_count(0)


@pytest.mark.full
def test_what_the_admin_changes_and_a_form_adds_is_on_the_queue(server: Server, visit: Visit) -> None:
    ann, bob = visit("ann"), visit("bob")
    ann.click("text=New ticket")
    ann.fill("#id_subject", "<b>The clock is late</b>")
    ann.fill("#id_place", "Hall")
    ann.fill("#id_asked_by", "Guard")
    ann.select_option("#id_urgency", "3")
    ann.click("main button")
    first = bob.locator("[data-status=waiting] .card").nth(0)
    card = bob.locator(".card", has_text="The clock is late")
    expect(card.locator(".subject")).to_have_text("<b>The clock is late</b>")
    expect(first.locator(".urgency")).to_have_text("Now")
    number = card.get_attribute("data-id")
    ann.goto(f"http://127.0.0.1:{server.port}/admin/tickets/ticket/{number}/change/")
    ann.select_option("#id_status", "taken")
    ann.select_option("#id_agent", label="ann")
    ann.click("[name=_save]")
    expect(bob.locator(f"[data-status=taken] [data-id='{number}'] .agent")).to_have_text("ann")


@pytest.mark.full
def test_a_note_and_who_writes_one_is_seen_by_who_looks_at_the_ticket(visit: Visit) -> None:
    ann, cleo = visit("ann"), visit("cleo", "WebSocket")
    for page in (ann, cleo):
        page.click("text=Till 2 prints no receipts")
        live(page)
    notes = ann.locator("#notes li")
    before = notes.count()
    cleo.locator("#id_text").press_sequentially("It is the", delay=10)
    expect(ann.locator("#writing")).to_have_text("cleo is writing …")
    cleo.fill("#id_text", "It is the <cable>.")
    cleo.press("#id_text", "Enter")
    for page in (ann, cleo):
        expect(page.locator("#notes li p").nth(before)).to_have_text("It is the <cable>.")
        expect(page.locator("#notes li")).to_have_count(before + 1)
    expect(cleo.locator("#id_text")).to_have_value("")
    ann.click("text=It is solved")
    expect(cleo.locator("#state")).to_have_text("Solved: bob")


@pytest.mark.full
def test_an_announcement_is_read_by_everybody(visit: Visit) -> None:
    ann, bob = visit("ann"), visit("bob")
    ann.fill("#id_text", "The café closes at four.")
    ann.click(".say button")
    expect(bob.locator("#announcement")).to_have_text("The café closes at four.")


def test_who_logs_out_in_one_tab_is_told_so_in_the_other(visit: Visit) -> None:
    first = visit("ann")
    second = first.context.new_page()
    second.goto(first.url)
    live(second)
    first.click("text=Log out")
    expect(second.locator("#badge")).to_have_text("Logged out")
    second.click(".flash a")
    expect(second.locator("h1")).to_have_text("Log in")
