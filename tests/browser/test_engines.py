"""Every engine loads a page and reports what it is; a mask takes away what it says and nothing else."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import time
from collections.abc import Callable

import pytest
from engines import ENGINES, Engine, tool
from foreground import MissingProgram
from masks import BROWSERS_OF_OLD, MASKS
from playwright.sync_api import Page
from proxies import PROXIES

keys = itertools.count()

# What an engine calls itself, what it has and what it has not.
EXPECTED: dict[str, tuple[str, set[str], set[str]]] = {
    "ie6": ("MSIE 6.0", set(), {"XMLHttpRequest", "addEventListener"}),
    "ie7": ("MSIE 7.0", {"XMLHttpRequest"}, {"addEventListener", "WebSocket"}),
    "ie8": ("MSIE 8.0", {"XMLHttpRequest"}, {"addEventListener", "WebSocket"}),
    "ie9": ("MSIE 9.0", {"XMLHttpRequest"}, {"WebSocket", "EventSource"}),
    "phantomjs": ("PhantomJS/2.1.1", {"WebSocket", "EventSource"}, {"fetch", "Promise"}),
    "qtwebkit": ("AppleWebKit/602", {"WebSocket", "Promise"}, {"fetch"}),
    "chromium64": ("HeadlessChrome/64.", {"fetch", "ReadableStream"}, {"AbortController"}),
    "chromium": ("HeadlessChrome/", {"fetch", "AbortController", "BroadcastChannel"}, set()),
    "firefox": ("Firefox/", {"fetch", "AbortController", "BroadcastChannel"}, set()),
}


def report_of(origin_port: int, key: str) -> tuple[str, set[str]]:
    """Wait for the page's report: the name of its browser, and the features that it found."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", origin_port, timeout=120)) as connection:
        connection.request("GET", f"/reports/{key}")
        with connection.getresponse() as response:
            report = json.load(response)
    assert report is not None, "no report"
    return report["ua"], set(report.get("features", "").split(","))


def test_an_engine_loads_a_page_and_reports_back(engine: Engine, origin_port: int) -> None:
    key = f"engine-{next(keys)}"
    with engine.open(f"http://127.0.0.1:{origin_port}/page/{key}") as process:
        try:
            name, features = report_of(origin_port, key)
        except AssertionError as error:
            raise AssertionError(process.output()) from error
        assert process.running
    expected_name, present, absent = EXPECTED[next(key for key, value in ENGINES.items() if value is engine)]
    assert expected_name in name
    assert present <= features
    assert not absent & features


def test_an_engine_is_ended_by_its_time_out(origin_port: int) -> None:
    with ENGINES["phantomjs"].open(f"http://127.0.0.1:{origin_port}/page/ended", seconds=1) as process:
        deadline = time.monotonic() + 60
        while process.running:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_missing_piece_names_the_installer() -> None:
    with pytest.raises(MissingProgram, match=r"\.tools/netscape4 is not installed: run \.ci/install-system"):
        tool("netscape4")


# --- Today's Chromium with features removed --------------------------------------------------------------

# True where the browser has the feature.
PROBES: dict[str, str] = {
    "AbortController": "'AbortController' in window",
    "BroadcastChannel": "'BroadcastChannel' in window",
    "CORS": "'withCredentials' in new XMLHttpRequest()",
    "EventSource": "'EventSource' in window",
    "ReadableStream": "'ReadableStream' in window || 'body' in new Response('')",
    "SharedWorker": "'SharedWorker' in window",
    "WebSocket": "'WebSocket' in window",
    "XHR progress": "'onprogress' in new XMLHttpRequest()",
    "XMLHttpRequest": "'XMLHttpRequest' in window",
    "fetch": "'fetch' in window",
    "localStorage": "(function () { try { return !!localStorage; } catch (e) { return false; } })()",
    "locks": "'locks' in navigator",
    "sendBeacon": "'sendBeacon' in navigator",
}


def test_chromium_has_every_feature_that_we_mask(origin_port: int, open_page: Callable[..., Page]) -> None:
    page = open_page(f"http://127.0.0.1:{origin_port}/page/whole-{next(keys)}")
    assert {name: page.evaluate(probe) for name, probe in PROBES.items()} == dict.fromkeys(MASKS, True)


@pytest.mark.parametrize("name", MASKS)
def test_a_mask_removes_its_feature_and_no_other(name: str, origin_port: int, open_page: Callable[..., Page]) -> None:
    page = open_page(f"http://127.0.0.1:{origin_port}/page/mask-{next(keys)}", name)
    # Without the object its abilities cannot be asked for.
    asked = set(PROBES) - ({"CORS", "XHR progress"} if name == "XMLHttpRequest" else set())
    assert {other for other in asked if not page.evaluate(PROBES[other])} == {name}


@pytest.mark.parametrize("name", BROWSERS_OF_OLD)
def test_a_browser_of_old_reports_back(name: str, origin_port: int, open_page: Callable[..., Page]) -> None:
    key = f"old-{next(keys)}"
    open_page(f"http://127.0.0.1:{origin_port}/page/{key}", *BROWSERS_OF_OLD[name])
    _, features = report_of(origin_port, key)
    assert "JSON" in features
    assert not features & set(BROWSERS_OF_OLD[name])


STREAM_TEXT_SEEN_EARLY = """new Promise(function (resolve) {
    var xhr = new XMLHttpRequest();
    xhr.onreadystatechange = function () {
        if (xhr.readyState === 3) {
            try { if (xhr.responseText) resolve(true); } catch (e) { resolve(false); }
        }
    };
    xhr.open('GET', '/stream/' + location.pathname.split('/').pop());
    xhr.send();
})"""


@pytest.mark.parametrize("without", [(), ("XHR progress",)], ids=["whole", "masked"])
def test_the_mask_of_progress_hides_the_text_of_a_running_stream(
    without: tuple[str, ...], origin_port: int, open_page: Callable[..., Page]
) -> None:
    page = open_page(f"http://127.0.0.1:{origin_port}/page/progress-{next(keys)}", *without)
    assert page.evaluate(STREAM_TEXT_SEEN_EARLY) is (not without)


def test_the_mask_of_cors_refuses_another_origin(origin_port: int, open_page: Callable[..., Page]) -> None:
    page = open_page(f"http://127.0.0.1:{origin_port}/page/cors-{next(keys)}", "CORS")
    foreign = f"http://localhost:{origin_port}/hello"
    refused = "(url) => fetch(url).then(() => 'allowed', (error) => error.message)"
    assert page.evaluate(refused, foreign) == "Access is denied."
    assert page.evaluate(refused, "/hello") == "allowed"


@pytest.mark.parametrize("name", ["nginx_tls", "haproxy_tls"])
def test_chromium_speaks_http_2_and_websocket_through_tls(name: str, origin_port: int, open_page: Callable[..., Page]) -> None:
    with PROXIES[name].start(origin_port) as port:
        page = open_page(f"https://127.0.0.1:{port}/page/{name}")
        report_of(origin_port, name)
        assert page.evaluate("performance.getEntriesByType('navigation')[0].nextHopProtocol") == "h2"
        echoed = page.evaluate("""new Promise(function (resolve) {
            var socket = new WebSocket(location.href.replace('http', 'ws'));
            socket.onopen = function () { socket.send('over here'); };
            socket.onmessage = function (event) { resolve(event.data); };
            socket.onclose = function (event) { resolve('closed: ' + event.code); };
        })""")
    assert echoed == "over here"
