"""Who closes, leaves its page or reloads it: nobody haunts the channel, and a quick reload is no leave and no arrival."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from engines import CHROMIUM_FLAGS, ENGINES
from foreground import find_program
from playwright.sync_api import Browser, Page
from test_client import ALL, QUICK, wait
from website import Site

OpenPage = Callable[..., Page]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Site() as running:
        yield running


def left(site: Site, *clients: str) -> None:
    """Wait until these have left."""
    gone = site.get("/said", client="left", until=json.dumps(clients))
    assert not set(clients) - set(gone)


def here(site: Site) -> set[str]:
    return {one["id"] for one in site.get("/clients")}


def page_of(site: Site, name: str, **options: Any) -> str:
    return site.page(options={"transports": [name], **options}, times=QUICK)


@pytest.mark.parametrize("name", ALL)
def test_a_client_that_is_closed_has_left_at_once(name: str, site: Site, open_page: OpenPage) -> None:
    page = open_page(page_of(site, name))
    client = wait(page, "comet.client")
    page.evaluate("comet.send('last'); comet.close()")
    left(site, client)
    assert "last" in site.get("/said", client=client)
    assert client not in here(site)


@pytest.mark.parametrize("name", ALL)
def test_ten_clients_that_are_closed_before_they_open_leave_nobody_behind(name: str, site: Site, open_page: OpenPage) -> None:
    page = open_page(page_of(site, name))
    wait(page, "comet.client")
    before = len(site.get("/opened"))
    page.evaluate(
        """name => {
            for (var i = 0; i < 10; i++) {
                comet.close();
                new Cometware('/comet', {transports: [name]}).close();
                comet = new Cometware('/comet', {transports: [name]});
            }
        }""",
        name,
    )
    client = wait(page, "comet.client")
    opened = site.get("/opened")
    assert len(opened) - before <= 20
    left(site, *(one for one in opened if one != client and one in here(site)))
    page.goto("about:blank")
    left(site, client)
    assert not here(site) & set(site.get("/opened")[before:])


@pytest.mark.parametrize("name", ALL)
def test_five_reloads_are_no_leave_and_no_arrival(name: str, site: Site, open_page: OpenPage) -> None:
    page = open_page(page_of(site, name))
    client = wait(page, "comet.client")
    before, gone = site.get("/opened"), site.get("/said", client="left")
    for number in range(5):
        page.evaluate(f"comet.send('page {number}')")
        page.reload(wait_until="commit")
        assert wait(page, "comet.client") == client
        assert page.evaluate("sessionStorage.length") == 0
    page.evaluate("comet.send('end')")
    expected = [*(f"page {number}" for number in range(5)), "end"]
    assert site.get("/said", client=client, until='["end"]') == expected
    assert site.get("/opened") == before
    assert site.get("/said", client="left") == gone
    page.goto("about:blank")
    left(site, client)
    assert client not in here(site)


@pytest.mark.parametrize("name", ["websocket", "stream"])
def test_a_page_that_comes_too_late_is_another_client(name: str, site: Site, open_page: OpenPage) -> None:
    page = open_page(page_of(site, name))
    client = wait(page, "comet.client")
    page.goto(f"{site.url}/reports/nothing?seconds=0.1")  # a page of the site without a client
    left(site, client)
    assert page.evaluate("JSON.parse(sessionStorage.cometware)[0].base") == f"{site.url}/comet"
    page.evaluate(
        'sessionStorage.cometware = sessionStorage.cometware.replace(/("at":)(\\d+)/, (all, at, time) => at + (time - 2001))'
    )
    page.goto(page_of(site, name))
    assert wait(page, "comet.client") != client
    assert page.evaluate("sessionStorage.length") == 0


@pytest.mark.parametrize("name", ["websocket", "stream"])
def test_a_duplicated_tab_has_a_client_of_its_own(name: str, site: Site, chromium: Browser) -> None:
    """It gets a copy of the tab's sessionStorage, as does a window that the page opens."""
    context = chromium.new_context()
    try:
        page = context.new_page()
        page.goto(page_of(site, name, shared=False))
        client = wait(page, "comet.client")
        page.reload()
        assert wait(page, "comet.client") == client
        with page.expect_popup() as opening:
            page.evaluate("window.open(location.href)")
        assert wait(opening.value, "comet.client") != client
        assert page.evaluate("comet.transport") == name
    finally:
        context.close()


@pytest.mark.parametrize("name", ["websocket", "jsonp"])
def test_a_page_that_goes_to_a_login_leaves_nobody_behind(name: str, site: Site, open_page: OpenPage) -> None:
    page = open_page(page_of(site, name))
    stranger = wait(page, "comet.client")
    page.goto(f"{site.url}/login/ann")
    page.goto(page_of(site, name))
    ann = wait(page, "comet.client")
    assert ann != stranger
    left(site, stranger)
    page.goto("about:blank")
    left(site, ann)


def test_two_clients_of_one_page_are_the_same_two_after_a_reload(site: Site, open_page: OpenPage) -> None:
    page = open_page(
        site.page(
            options={"transports": ["stream"], "shared": False},
            then="""
        var other = new Cometware('/comet', {transports: ['stream'], shared: false});
    """,
        )
    )
    clients = {wait(page, "comet.client"), wait(page, "other.client")}
    page.reload()
    assert {wait(page, "comet.client"), wait(page, "other.client")} == clients
    assert len(clients) == 2


def test_what_the_last_page_said_is_not_taken_for_what_the_next_one_says(site: Site, open_page: OpenPage) -> None:
    page = open_page(page_of(site, "websocket"))
    client = wait(page, "comet.client")
    page.evaluate("comet.emit('slow', 1.5)")
    page.reload(wait_until="commit")
    wait(page, "comet.client")
    page.evaluate("comet.send('new')")
    assert site.get("/said", client=client, until='["new"]') == ["new"]


@pytest.mark.parametrize("name", ["websocket", "stream", "poll"])
def test_of_tabs_that_share_the_last_one_leaves(name: str, site: Site, chromium: Browser) -> None:
    context = chromium.new_context()
    try:
        pages = [context.new_page() for _ in range(3)]
        for page in pages:
            page.goto(page_of(site, name, shared=True))
            wait(page, "comet.client")
        client = pages[0].evaluate("comet.client")
        before = site.get("/opened")
        pages[2].evaluate("comet.close()")  # one that follows
        pages[1].evaluate("comet.emit('echo', 1, function (error, reply) { window.reply = reply; })")
        assert wait(pages[1], "window.reply") == 1
        pages[0].goto("about:blank")  # the one that leads
        wait(pages[1], f"comet.transport === '{name}'")
        pages[1].evaluate("comet.emit('echo', 2, function (error, reply) { window.reply = reply; })")
        assert wait(pages[1], "window.reply === 2")
        assert (pages[1].evaluate("comet.client"), site.get("/opened")) == (client, before)
        pages[1].reload()
        assert wait(pages[1], "comet.client") == client
        assert client not in site.get("/said", client="left")
        pages[1].evaluate("comet.close()")
        left(site, client)
    finally:
        context.close()


def test_a_leading_tab_that_is_closed_hands_its_client_over(site: Site, chromium: Browser) -> None:
    context = chromium.new_context()
    try:
        pages = [context.new_page() for _ in range(2)]
        for page in pages:
            page.goto(page_of(site, "stream"))
            wait(page, "comet.client")
        client = pages[0].evaluate("comet.client")
        pages[0].evaluate("comet.close()")
        wait(pages[1], "comet.transport === 'stream'")
        pages[1].evaluate("comet.emit('slow', 2.5, function (error, reply) { window.reply = reply; })")
        assert wait(pages[1], "window.reply") == 2.5
        assert client not in site.get("/said", client="left")
        assert client in here(site)
    finally:
        context.close()


@pytest.mark.parametrize("without", [("sendBeacon",), ("sendBeacon", "fetch")], ids=["fetch", "XMLHttpRequest"])
def test_a_browser_without_beacons_says_goodbye_as_well_as_it_can(
    without: tuple[str, ...], site: Site, open_page: OpenPage
) -> None:
    page = open_page(page_of(site, "poll"), *without)
    client = wait(page, "comet.client")
    page.evaluate("comet.close()")
    left(site, client)
    if "fetch" not in without:  # today's Chromium has nothing else for a page that goes
        page.goto(page_of(site, "poll"))
        client = wait(page, "comet.client")
        page.goto("about:blank")
        left(site, client)


@pytest.mark.parametrize("name", ["websocket", "stream"])
def test_a_page_in_the_back_forward_cache_has_left_and_comes_back(name: str, site: Site, chromium: Browser) -> None:
    with chromium.browser_type.launch(
        executable_path=find_program("chromium"), args=CHROMIUM_FLAGS, ignore_default_args=["--disable-back-forward-cache"]
    ) as browser:
        page = browser.new_page()
        page.goto(page_of(site, name))
        client = wait(page, "comet.client")
        page.evaluate("window.marked = 1")
        page.goto(f"{site.url}/opened")
        left(site, client)
        page.evaluate("history.back()")
        wait(page, "window.marked && comet.transport")
        assert site.get("/opened").count(client) == 2
        assert page.evaluate("sessionStorage.length") == 0


STORING = ("phantomjs", "chromium", "firefox")
RELOADS = """
    var acted;
    comet.on('open', function () {
        if (acted) return; // Firefox closes WebSockets when it begins to leave a page, and we come back once more
        acted = 1;
        var number = +location.hash.slice(1);
        location.hash = number + 1;
        comet.send(number, function () {
            setTimeout(function () {
                if (number < 3) location.reload();
                else location.href = '/blank';
            }, 200);
        });
    });
"""


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.full] * (name != "firefox")) for name in STORING],
)
@pytest.mark.parametrize("transport", ["best", "poll"])
def test_every_engine_says_goodbye_and_reloads_as_one_client(name: str, transport: str) -> None:
    """Not HtmlUnit, which does not reload; IE 6 and 7 have no sessionStorage, so a reload there is a leave and an arrival."""
    options = {} if transport == "best" else {"transports": [transport]}
    with Site() as site, ENGINES[name].open(site.page(options=options, then=RELOADS)) as process:
        said = site.get("/said", until="[3]")
        assert said == [0, 1, 2, 3], process.output()
        gone = site.get("/said", client="left", n=1)
        assert gone == site.get("/opened") == gone[:1]
        assert here(site) == set()
