"""What happens to a page: hidden, frozen, put away and taken out again, cut off, and connected better than before."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from engines import CHROMIUM_FLAGS
from foreground import find_program
from playwright.sync_api import Browser, Page, Route
from proxies import through
from test_client import QUICK, wait
from website import Site

OpenPage = Callable[..., Page]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Site(limits={"heartbeat_seconds": 1}, origins="*") as running:
        yield running


def transports(page: Page) -> list[list[Any]]:
    """Return every change of transport so far, with its reason."""
    return [event[1:3] for event in page.evaluate("events") if event[0] == "transport"]


def flows(site: Site, page: Page, start: int = 0, count: int = 20) -> None:
    site.get("/publish", start=start, n=count, to=f"client:{wait(page, 'comet.client')}")
    wait(page, f"seen.length >= {start + count}")
    assert page.evaluate("seen") == list(range(start + count))


def test_a_websocket_that_works_later_takes_over(site: Site, open_page: OpenPage) -> None:
    fails_twice = """
        var Real = WebSocket, left = 2;
        WebSocket = function (url, names) { return new Real(left-- > 0 ? 'ws://127.0.0.1:9/' : url, names); };
    """
    page = open_page(site.page(first=fails_twice, times=QUICK))
    client = wait(page, "comet.client")
    site.get("/publish", n=1000, rate=500, to=f"client:{client}")
    wait(page, "seen.length >= 1000")
    assert page.evaluate("seen") == list(range(1000))
    assert transports(page) == [["stream", "start"], ["websocket", "upgrade"]]


def test_a_websocket_that_greets_late_takes_over_from_the_stream(site: Site, open_page: OpenPage) -> None:
    late = """
        var Real = WebSocket;
        WebSocket = function (url, names) {
            var socket = new Real(url, names), self = this, open;
            self.send = function (text) { socket.send(text); };
            self.close = function () { socket.close(); };
            Object.defineProperty(self, 'readyState', {get: function () { return socket.readyState; }});
            ['onopen', 'onmessage', 'onclose'].forEach(function (name) {
                socket[name] = function (event) { setTimeout(function () { self[name](event); }, 800); };
            });
        };
    """
    page = open_page(site.page(first=late, times={"race": 300}))
    wait(page, "comet.transport === 'websocket'")
    assert transports(page) == [["stream", "start"], ["websocket", "upgrade"]]
    flows(site, page)


def test_a_tab_long_hidden_gives_its_stream_back(site: Site, open_page: OpenPage) -> None:
    page = open_page(
        site.page(
            options={"transports": ["stream"], "shared": False},
            times={"hidden": 300, "watch": 100, "slow": 500},
        )
    )
    flows(site, page)
    hide = (
        "Object.defineProperty(document, 'hidden', {value: %s, configurable: true});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    page.evaluate(hide % "true")
    wait(page, "comet.transport === 'short'")
    flows(site, page, 20)
    page.evaluate(hide % "false")
    wait(page, "comet.transport === 'stream'")
    flows(site, page, 40)
    assert transports(page) == [["stream", "start"], ["short", "hidden"], ["stream", "shown"]]


@pytest.mark.parametrize("name", ["websocket", "stream", "xhr", "eventsource"])
def test_a_silent_connection_is_left_by_the_clock(name: str, open_page: OpenPage) -> None:
    with Site(limits={"heartbeat_seconds": 1}) as site:
        page = open_page(site.page(options={"transports": [name]}, times={**QUICK, "margin": 500, "watch": 100}))
        flows(site, page)
        os.kill(site.pid, signal.SIGSTOP)
        try:
            wait(page, "comet.transport === null")
        finally:
            os.kill(site.pid, signal.SIGCONT)
        wait(page, "comet.transport")
        flows(site, page, 20)
        assert [name, "start"] in transports(page) and [None, "silent"] in transports(page)


ONLINE = "window.dispatchEvent(new Event('online'))"
ANOTHER_NETWORK = "navigator.connection.dispatchEvent(new Event('change'))"


@pytest.mark.parametrize(("name", "event"), [("websocket", ONLINE), ("stream", ONLINE), ("websocket", ANOTHER_NETWORK)])
def test_a_page_that_slept_asks_whether_its_connection_lives(name: str, event: str, open_page: OpenPage) -> None:
    with Site() as site:
        page = open_page(site.page(options={"transports": [name]}, times={**QUICK, "check": 300}))
        flows(site, page)
        os.kill(site.pid, signal.SIGSTOP)
        page.evaluate(event)
        try:
            if name == "websocket":
                wait(page, "comet.transport === null", 20)  # long before it is by the clock
        finally:
            os.kill(site.pid, signal.SIGCONT)
        wait(page, "comet.transport")
        flows(site, page, 20)


@pytest.mark.parametrize("name", ["websocket", "stream"])
def test_a_page_that_the_browser_froze_misses_nothing(name: str, site: Site, chromium: Browser) -> None:
    # Headless Chromium stops nothing here and fires no event. So what the client does then is begun by `resume` itself.
    context = chromium.new_context()
    try:
        page = context.new_page()
        page.goto(site.page(options={"transports": [name]}))
        flows(site, page)
        client = page.evaluate("comet.client")
        browser = context.new_cdp_session(page)
        browser.send("Page.setWebLifecycleState", {"state": "frozen"})
        site.get("/publish", start=20, n=20, to=f"client:{client}")
        browser.send("Page.setWebLifecycleState", {"state": "active"})
        page.evaluate("document.dispatchEvent(new Event('resume'))")
        wait(page, "seen.length >= 40")
        flows(site, page, 40)
        assert page.evaluate("comet.client") == client
    finally:
        context.close()


def test_what_worked_is_begun_with_on_the_next_visit_and_forgotten_when_it_fails(site: Site, open_page: OpenPage) -> None:
    page = open_page(site.page(times={"useful": 100}), "WebSocket")
    wait(page, "localStorage.length")
    name, value = page.evaluate("[localStorage.key(0), JSON.parse(localStorage[localStorage.key(0)]).name]")
    assert (name, value) == (f"cometware {site.url}/comet", "stream")
    page.goto(site.page(options={"shared": False}))
    wait(page, "comet.transport")
    assert transports(page)[0] == ["stream", "start"]
    page.route("**/comet?transport=stream*", lambda route: route.abort())
    page.route("**/comet?transport=poll*", lambda route: route.abort())
    page.goto(site.page(times={"retry": 20}, options={"transports": ["stream", "poll"], "shared": False}))
    wait(page, "localStorage.length === 0")


def test_messages_of_an_offline_page_are_sent_once_it_is_back(site: Site, chromium: Browser) -> None:
    context = chromium.new_context()
    try:
        page = context.new_page()
        page.goto(site.page(options={"transports": ["stream"]}, times={"retry": 100, "retryMost": 300}))
        client = wait(page, "comet.client")
        context.set_offline(True)
        page.evaluate("for (var i = 0; i < 20; i++) comet.send(i)")
        page.wait_for_timeout(500)
        context.set_offline(False)
        assert site.get("/said", client=client, n=20) == list(range(20))
        flows(site, page)
    finally:
        context.close()


@pytest.mark.parametrize("name", ["websocket", "stream", "poll"])
def test_a_page_out_of_the_back_forward_cache_misses_nothing(name: str, site: Site, chromium: Browser) -> None:
    with chromium.browser_type.launch(
        executable_path=find_program("chromium"),
        args=CHROMIUM_FLAGS,
        ignore_default_args=["--disable-back-forward-cache"],
    ) as browser:
        page = browser.new_page()
        page.goto(site.page(options={"transports": [name]}))
        client = wait(page, "comet.client")
        flows(site, page)
        page.evaluate(
            "window.marked = 1; addEventListener('pageshow', function (event) { window.restored = event.persisted; })"
        )
        page.goto(f"{site.url}/opened")
        site.get("/publish", start=20, n=20, to=f"client:{client}")
        page.evaluate("history.back()")
        wait(page, "window.restored && comet.transport")
        wait(page, "seen.length >= 40")
        assert page.evaluate("seen") == list(range(40))
        assert page.evaluate("comet.client") == client


def test_a_long_text_is_rotated_without_a_gap(site: Site, open_page: OpenPage) -> None:
    page = open_page(site.page(options={"transports": ["xhr"]}, times={"rotate": 20000}))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "transport=stream" in request.url else None)
    client = wait(page, "comet.client")
    site.get("/publish", n=3000, rate=1000, to=f"client:{client}")
    wait(page, "seen.length >= 3000")
    assert page.evaluate("seen") == list(range(3000))
    assert 3 <= len(asked) <= 15
    assert transports(page) == [["xhr", "start"]]


@pytest.mark.parametrize("name", ["websocket", "stream", "poll", "jsonp"])
def test_a_server_that_asks_for_it_is_left_while_it_still_serves(name: str, site: Site, open_page: OpenPage) -> None:
    page = open_page(site.page(options={"transports": [name]}))
    client = wait(page, "comet.client")
    site.get("/publish", n=1500, rate=500, to=f"client:{client}")
    site.get("/drain/0.5")
    wait(page, "seen.length >= 1500")
    assert page.evaluate("seen") == list(range(1500))
    assert transports(page) == [[name, "start"]]


def test_retry_after_is_honoured(site: Site, open_page: OpenPage, chromium: Browser) -> None:
    context = chromium.new_context()
    try:
        page = context.new_page()
        asked: list[float] = []

        def busy(route: Route) -> None:
            asked.append(time.monotonic())
            if len(asked) == 1:
                route.fulfill(status=503, headers={"Retry-After": "2"}, body="{}")
            else:
                route.continue_()

        page.route("**/comet?**", busy)
        page.goto(site.page(options={"transports": ["poll"]}, times={"retry": 50}))
        wait(page, "comet.client")
        assert asked[1] - asked[0] >= 2
    finally:
        context.close()


# --- Time to first message -------------------------------------------------------------------------------


def first_message(page: Page, url: str) -> float:
    page.goto(url)
    return float(wait(page, "(events.filter(function (one) { return one[0] === 'first message'; })[0] || [])[3]"))


def test_a_buffering_proxy_costs_two_seconds_once(site: Site, chromium: Browser) -> None:
    site.get("/publish", data='"hello"')
    with through("nginx_buffers", site.port) as url:
        context = chromium.new_context()
        try:
            page = context.new_page()
            times = {"silent": 2000, "useful": 500, "upgrade": [3600_000]}
            address = site.page(options={"last": 1}, times=times).replace(site.url, url)
            first = first_message(page, address)
            wait(page, "JSON.stringify(localStorage).indexOf('poll') > 0")  # it has lived long enough to be remembered
            asked: list[str] = []
            page.on("request", lambda request: asked.append(request.url))
            second = first_message(page, address)
            transport = page.evaluate("events.filter(function (one) { return one[0] === 'transport'; })[0][1]")
        finally:
            context.close()
    print(f"behind nginx that buffers: {first:.0f} ms, on the second visit {second:.0f} ms")
    assert transport == "poll"
    assert first >= 2000
    assert not [address for address in asked if "transport=stream" in address]


def test_a_proxy_that_swallows_the_upgrade_does_not_hold_the_first_message(site: Site, chromium: Browser) -> None:
    site.get("/publish", data='"hello"')
    with through("swallows_upgrade", site.port) as url:
        context = chromium.new_context()
        try:
            # The handshake itself would wait for ever.
            address = site.page(options={"last": 1}, times={"race": 300, "giveUp": 3600_000}).replace(site.url, url)
            took = first_message(context.new_page(), address)
        finally:
            context.close()
    print(f"behind a proxy that swallows the upgrade: {took:.0f} ms")  # 350 ms if it is quiet: benchmarks/FIRST_MESSAGE.md


@pytest.mark.full
@pytest.mark.timeout(600)
def test_ten_thousand_hops_under_a_flood(site: Site, open_page: OpenPage) -> None:
    page = open_page(site.page(options={"shared": False}))
    client = wait(page, "comet.client")
    site.get("/publish", n=60000, rate=300, to=f"client:{client}")
    page.evaluate("""
        var names = ['websocket', 'stream', 'poll'], hops = 0;
        comet.on('transport', function (name, why) {
            if (why === 'by hand' && ++hops < 10000) setTimeout(function () { comet.use(names[(hops + 1) % 3]); }, 0);
        });
        comet.use('stream');
    """)
    wait(page, "hops >= 10000", 1500)
    wait(page, "seen.length >= 60000", 300)
    assert page.evaluate("seen.length === 60000 && seen.every(function (item, index) { return item === index; })")
