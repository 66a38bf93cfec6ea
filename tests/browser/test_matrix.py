"""The client in browsers of every age, and behind proxies of every kind: each chats, by the best transport that it has."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from engines import ENGINES, Engine
from playwright.sync_api import Browser, Error, Page
from proxies import PROXIES, through
from website import Site

keys = itertools.count()

# ES3, and nothing that the oldest browser lacks: the page tells by a script tag what it saw.
STORY = """
var begun = 0;
comet.on('open', function () {
  if (begun++) return;
  for (var i = 0; i < 20; i++) comet.send(i);
  comet.emit('echo', 'héllo \\u2028', function (error, reply) {
    window.reply = reply;
    comet.emit('burst', %(count)d);
  });
});
comet.on('message', function () {
  if (seen.length < %(count)d) return;
  for (var i = 0, good = 1; i < seen.length; i++) if (seen[i] !== i) good = 0;
  var report = {transport: comet.transport, good: good, count: seen.length, reply: reply, client: comet.client};
  report.events = events.slice(0, 20);
  tell(report);
});
function tell(report) {
  var tag = document.createElement('script');
  tag.src = '/report/%(key)s?d=' + encodeURIComponent(JSON.stringify(report));
  tag.onerror = function () { tell(report); };
  document.body.appendChild(tag);
}
"""


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Site(origins="*") as running:  # most of these proxies send a Host of their own
        yield running


def story(count: int = 200) -> tuple[str, str]:
    key = f"story-{next(keys)}"
    return key, STORY % {"count": count, "key": key}


def check(site: Site, key: str, count: int = 200, seconds: float = 90) -> dict[str, Any]:
    """Wait for a page's report, and see that nothing was lost, doubled or reordered, both ways."""
    report: dict[str, Any] | None = site.get(f"/reports/{key}", seconds=seconds)
    assert report is not None, "no report"
    assert (report["good"], report["count"], report["reply"]) == (1, count, "héllo \u2028"), report
    assert site.get("/said", client=report["client"], n=20) == list(range(20))
    return report


# --- Browsers of every age -------------------------------------------------------------------------------

TRANSPORT = {
    "ie6": "poll",
    "ie7": "poll",
    "ie8": "poll",
    "ie9": "poll",
    "phantomjs": "websocket",
    "qtwebkit": "websocket",
    "chromium64": "websocket",
    "chromium": "websocket",
    "firefox": "websocket",
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.full] * engine.full) for name, engine in ENGINES.items()]
)
def test_a_browser_of_any_age_chats_by_the_best_that_it_has(name: str, site: Site) -> None:
    engine: Engine = ENGINES[name]
    key, script = story()
    with engine.open(site.page(then=script)) as process:
        try:
            report = check(site, key)
        except AssertionError as error:
            raise AssertionError(process.output()[-2000:]) from error
    print(f"{name}: {report['transport']}")
    assert report["transport"] == TRANSPORT[name]


OTHERS = {
    "phantomjs": ["xhr", "eventsource", "poll", "jsonp"],
    "firefox": ["stream", "xhr", "eventsource", "poll", "jsonp"],
    "ie6": ["poll", "jsonp"],
}
OTHERS_SAMPLE = {("phantomjs", "xhr"), ("firefox", "eventsource"), ("ie6", "jsonp")}


@pytest.mark.parametrize(
    ("name", "transport"),
    [
        pytest.param(name, transport, marks=[pytest.mark.full] * ((name, transport) not in OTHERS_SAMPLE))
        for name, transports in OTHERS.items()
        for transport in transports
    ],
)
def test_an_old_browser_by_its_other_transports(name: str, transport: str, site: Site) -> None:
    key, script = story()
    with ENGINES[name].open(site.page(then=script, options={"transports": [transport]})) as process:
        try:
            report = check(site, key)
        except AssertionError as error:
            raise AssertionError(process.output()[-2000:]) from error
    assert report["transport"] == transport


@pytest.mark.parametrize(
    ("name", "transport"),
    [
        ("ie6", "jsonp"),
        *(pytest.param(name, transport, marks=pytest.mark.full) for name, transport in [("ie6", "poll"), ("ie8", "jsonp")]),
        *(pytest.param(name, "poll", marks=pytest.mark.full) for name in ("ie7", "ie8", "ie9", "phantomjs")),
    ],
)
def test_an_old_browser_whose_visitor_is_logged_in_is_believed_by_post(name: str, transport: str) -> None:
    """It sends no Origin and no Sec-Fetch-Site: its header or its Referer says whose page it is."""
    key, script = story()
    with Site() as site:  # no page of another origin may use it
        page = site.page(first="document.cookie = 'user=ann'", then=script, options={"transports": [transport]})
        with ENGINES[name].open(page) as process:
            try:
                report = check(site, key)
            except AssertionError as error:
                raise AssertionError(process.output()[-2000:]) from error
        user = next(one for one in site.get("/clients") if one["id"] == report["client"])["user"]
    assert (report["transport"], user) == (transport, "ann")


# --- Proxies of every kind -------------------------------------------------------------------------------

BEHIND = {
    "nginx_default": {"stream"},
    "nginx_buffers": {"poll"},
    "nginx_well": {"websocket"},
    "nginx_always_upgrade": {"websocket"},
    "nginx_tls": {"websocket"},
    "haproxy_default": {"websocket"},
    "haproxy_compression": {"websocket"},
    "haproxy_tls": {"websocket"},
    "apache_default": {"stream"},
    "apache_websocket": {"websocket"},
    "swallows_upgrade": {"stream"},
    "answers_200_to_upgrade": {"stream"},
    "stores_and_forwards": {"poll"},
    "cuts_idle": {"websocket"},
    "resets_every_third": {"websocket", "stream", "poll"},
}

HOLDING = {
    "nginx_buffers": {"silent": 2000},
    "stores_and_forwards": {"silent": 2000},
    "swallows_upgrade": {"race": 300},
}
"""Those where nobody says that it fails: the client must not wait for ever."""

OpenPage = Callable[..., Page]


PROXIES_SAMPLE = {"nginx_default", "nginx_buffers", "nginx_well", "haproxy_default", "swallows_upgrade", "resets_every_third"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.full] * (name not in PROXIES_SAMPLE)) for name in PROXIES]
)
def test_behind_a_proxy_nothing_is_lost_and_the_best_transport_is_found(name: str, site: Site, chromium: Browser) -> None:
    key, script = story(2000)
    site.get("/publish", data=json.dumps("hello"), to="room:hall")
    with through(name, site.port) as url:
        context = chromium.new_context(ignore_https_errors=True)
        try:
            page = context.new_page()
            for _ in range(9):  # the proxy that resets every third request does so to the page and its script, too
                with contextlib.suppress(Error):
                    page.goto(site.page(then=script, times=HOLDING.get(name)).replace(site.url, url))
                    if page.evaluate("!!window.comet"):
                        break
            report = check(site, key, 2000)
        finally:
            context.close()
    opened = next(event for event in report["events"] if event[0] == "open")
    print(f"{name}: {report['transport']}, open after {opened[3]} ms")
    assert report["transport"] in BEHIND[name], report["events"]
