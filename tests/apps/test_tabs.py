"""Two tabs of one browser, with a real application's own pages in them: log out in one, and the other's channel closes."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.apps.conftest import NAME, PASSWORD, Site
from tests.chromium import chromium as run_chromium

ALONE = ["websocket", "stream", "xhr", "eventsource", "poll", "jsonp", "short"]
CHANNELS = ["automatic", *ALONE]
UNTOLD = {"websocket", "eventsource"}
"""A browser does not tell a page with what status these were refused; left to itself, the client tries another."""
CONNECT = """transports => {
    window.told = {};
    window.channels = transports.map(name => {
        const transports = name === "automatic" ? undefined : [name];
        const channel = new Cometware("/comet", { transports, shared: false, remember: false });
        const told = window.told[name] = {};
        channel.on("open", ({ transport }) => { told.open = transport; });
        channel.on("message", data => { told.message = data; });
        channel.on("close", ({ code }) => { told.close = code; });
        return channel;
    });
}"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with run_chromium() as browser:
        yield browser


def connect(page: Page, path: str) -> None:
    """Open a page of the application, and in it a channel by each transport alone, and one as it likes."""
    page.goto(path)
    page.add_script_tag(url="/comet/client.js")
    page.evaluate(CONNECT, CHANNELS)


def told(page: Page, what: str, but: Collection[str] = ()) -> dict[str, Any]:
    """Wait until each channel was told something, and return that."""
    names = [name for name in CHANNELS if name not in but]
    page.wait_for_function("([what, names]) => names.every(name => told[name][what])", arg=[what, names])
    found: dict[str, Any] = page.evaluate(
        f"() => Object.fromEntries(Object.keys(told).map(name => [name, told[name].{what}]))"
    )
    return {name: found.get(name) for name in names}


def test_log_in_by_the_page_and_log_out_in_the_other_tab(site: Site, chromium: Browser) -> None:
    with chromium.new_context(base_url=site.url, bypass_csp=True) as context:
        first, second = context.new_page(), context.new_page()

        connect(second, site.login)
        assert set(told(second, "close", UNTOLD).values()) == {4401}
        assert second.evaluate("Object.values(told).some(told => told.open)") is False

        first.goto(site.login)
        first.fill(f"input[name={site.name}]", NAME)
        first.fill("input[name=password]", PASSWORD)
        first.press("input[name=password]", "Enter")
        first.wait_for_url(lambda url: site.login not in url)
        connect(second, "/comet/client.js")
        assert told(second, "open", {"automatic"}) == {name: name for name in ALONE}
        told(second, "open")
        second.evaluate("channels[0].send('hello')")
        assert told(second, "message") == {name: {"from": site.user, "text": "hello"} for name in CHANNELS}

        first.goto(site.logout)
        closed = told(second, "close")
        polls = {closed.pop(name) for name in ("poll", "jsonp", "short")}
        assert set(closed.values()) == {4410}
        assert polls <= {4410, 4401}  # one that comes later than the log out is refused, if its session is no more
