"""sockjs-client 1.6.1 from a script tag, unmodified, in today's Chromium: by every transport that it has there."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests.live.server import Server, serve

OpenPage = Callable[..., Page]
SAME_ORIGIN = (
    "websocket",
    "xhr-streaming",
    "eventsource",
    "iframe-eventsource",
    "htmlfile",
    "iframe-htmlfile",
    "xhr-polling",
    "iframe-xhr-polling",
    "jsonp-polling",
)
CROSS_ORIGIN = tuple(name for name in SAME_ORIGIN if name != "htmlfile")
QUICK = ("xhr-streaming", "eventsource", "iframe-xhr-polling", "jsonp-polling")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(application="tests.foreign.sockjs_site:app") as server:
        yield server


def begin(page: Page, url: str, transport: str) -> None:
    page.wait_for_function("!!window.begin")
    page.evaluate("([url, transport]) => begin(url, transport)", [url, transport])
    page.wait_for_function("heard.opened || heard.closed")
    assert page.evaluate("[heard.opened, heard.closed]") == [transport, None]


def check_echo(page: Page) -> None:
    page.evaluate("hostile().forEach((text) => socket.send(text))")
    page.wait_for_function("heard.closed || heard.seen.length === hostile().length")
    assert page.evaluate("heard.closed") is None
    assert page.evaluate("wrong()") == 0


@pytest.mark.parametrize("transport", SAME_ORIGIN)
def test_every_code_unit_comes_back_and_a_close_is_told(server: Server, open_page: OpenPage, transport: str) -> None:
    page = open_page(f"http://127.0.0.1:{server.port}/page")
    begin(page, "/comet/sockjs", transport)
    check_echo(page)
    page.evaluate("socket.send('to all')")
    page.wait_for_function("heard.closed || heard.seen[hostile().length] === 'to all'")
    page.evaluate("socket.send('close me')")
    page.wait_for_function("heard.closed")
    assert page.evaluate("heard.closed") == [3000, "Go away!"]


@pytest.mark.parametrize(
    "transport",
    [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.full]) for name in CROSS_ORIGIN],
)
def test_a_page_of_an_allowed_origin_may_use_it_at_its_old_address(
    server: Server, open_page: OpenPage, transport: str
) -> None:
    page = open_page(f"http://localhost:{server.port}/page")
    page.context.add_cookies([{"name": "user", "value": "ann", "url": f"http://127.0.0.1:{server.port}"}])
    begin(page, f"http://127.0.0.1:{server.port}/old/address", transport)
    page.evaluate("socket.send('hello')")
    page.wait_for_function("heard.closed || heard.seen.length")
    assert page.evaluate("[heard.seen, heard.closed]") == [["hello"], None]


def test_left_alone_it_takes_the_websocket_and_without_that_a_stream(server: Server, open_page: OpenPage) -> None:
    for masks, transport in (((), "websocket"), (("WebSocket",), "xhr-streaming")):
        page = open_page(f"http://127.0.0.1:{server.port}/page", *masks)
        page.wait_for_function("!!window.begin")
        page.evaluate("begin('/comet/sockjs', '')")
        page.wait_for_function("heard.opened || heard.closed")
        assert page.evaluate("heard.opened") == transport


def test_a_page_of_another_origin_may_not_even_by_the_iframe(server: Server, open_page: OpenPage) -> None:
    page = open_page(f"http://127.0.0.1:{server.port}/page")
    page.wait_for_function("!!window.begin")
    url = f"http://localhost:{server.port}/old/address"  # where 127.0.0.1 is not among the allowed origins
    for transport in ("xhr-polling", "iframe-xhr-polling"):
        page.evaluate("([url, transport]) => { heard.opened = heard.closed = null; begin(url, transport) }", [url, transport])
        page.wait_for_function("heard.opened || heard.closed")
        assert page.evaluate("heard.opened") is None
