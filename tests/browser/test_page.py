"""The channel's own page: what it finds out, direct and behind proxies, in old browsers and without a script error."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from masks import mask_script
from playwright.sync_api import Browser, Page
from proxies import through
from website import Site

ALL = ("websocket", "stream", "xhr", "eventsource", "poll", "jsonp")


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Site(origins="*") as running:
        yield running


def states(page: Page, expected: Callable[[dict[str, str]], bool] = lambda found: True) -> dict[str, str]:
    """Wait until all is tried, and return the result of each transport; what a busy machine delayed is tried again."""
    for _ in range(5):
        page.wait_for_selector("#verdict.good, #verdict.late, #verdict.bad")
        rows = page.locator("tbody tr[id]")
        found = {row.get_attribute("id") or "": (row.get_attribute("class") or "").split()[0] for row in rows.all()}
        if expected(found):
            break
        page.click("#again")
    return found


def is_good(*names: str) -> Callable[[dict[str, str]], bool]:
    return lambda found: all(found[name] == "good" for name in names)


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context()
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if "Content Security" in message.text else None)
    yield page
    context.close()
    assert errors == []


def test_everything_works_without_a_proxy(site: Site, page: Page) -> None:
    page.goto(f"{site.url}/comet")
    assert set(states(page, is_good(*ALL)).values()) == {"good"}
    assert "WebSocket" in page.locator("#verdict").inner_text()
    assert page.locator("tbody circle").count() == 6 * 12
    assert page.locator("tr.advice").count() == 0
    assert site.get("/said", client="all") == []


def test_a_proxy_that_drops_the_upgrade_is_told_what_to_change(site: Site, page: Page) -> None:
    with through("nginx_default", site.port) as url:
        page.goto(f"{url}/comet")
        found = states(page, is_good(*ALL[1:]))
        assert found.pop("websocket") == "bad"
        assert set(found.values()) == {"good"}
        assert "proxy_set_header Upgrade $http_upgrade;" in page.locator("tr.advice").inner_text()


@pytest.mark.full
def test_a_proxy_that_buffers_is_told_what_to_change(site: Site, page: Page) -> None:
    with through("nginx_buffers", site.port) as url:
        page.goto(f"{url}/comet")
        assert states(page, is_good("poll", "jsonp")) == {
            "websocket": "bad", "stream": "late", "xhr": "late", "eventsource": "late", "poll": "good", "jsonp": "good",
        }  # fmt: skip
        assert "proxy_buffering off;" in page.locator("tr.advice").nth(1).inner_text()


def test_a_proxy_that_waits_for_more_is_not_told_of_buffering(site: Site, page: Page) -> None:
    with through("haproxy_default", site.port) as url:
        page.goto(f"{url}/comet")
        found = states(page, is_good("websocket", "poll", "jsonp"))
        assert (found["websocket"], found["poll"], found["jsonp"]) == ("good", "good", "good")
        advice = " ".join(page.locator("tr.advice").all_inner_texts())
        assert "proxy_buffering" not in advice
        assert ("late" in found.values()) == ("option http-no-delay" in advice)


def test_a_browser_without_the_half_of_it_is_told_so(site: Site, page: Page) -> None:
    page.add_init_script(mask_script("WebSocket", "fetch", "EventSource"))
    page.goto(f"{site.url}/comet")
    found = states(page, is_good("xhr", "poll", "jsonp"))
    assert [name for name, state in found.items() if state == "none"] == ["websocket", "stream", "eventsource"]
    assert {found["xhr"], found["poll"], found["jsonp"]} == {"good"}


@pytest.mark.parametrize(
    ("scheme", "width"),
    [
        ("light", 390),
        ("dark", 1280),
        *(pytest.param(*other, marks=pytest.mark.full) for other in (("dark", 390), ("light", 1280))),
    ],
)
def test_nothing_is_wider_than_the_window(scheme: str, width: int, site: Site, chromium: Browser) -> None:
    context = chromium.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)  # type: ignore[arg-type]
    try:
        page = context.new_page()
        page.goto(f"{site.url}/comet")
        states(page)
        assert page.locator("html").evaluate("(root) => root.scrollWidth") <= width
    finally:
        context.close()
