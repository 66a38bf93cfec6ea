"""The browser client in today's Chromium: every transport alone, every downgrade, and what a network does to it."""

from __future__ import annotations

import gzip
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from engines import tool
from masks import BROWSERS_OF_OLD
from playwright.sync_api import Browser, Page
from proxies import through
from website import LOADING, Site

STATIC = Path(__file__).resolve().parents[2] / "cometware" / "static"
ALL = ["websocket", "stream", "xhr", "eventsource", "poll", "jsonp", "short"]
HTTP = ALL[1:]
QUICK = {"short": 200, "upgrade": [100, 100, 100, 100], "retry": 100}

OpenPage = Callable[..., Page]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Site() as running:
        yield running


def wait(page: Page, condition: str, seconds: float = 90) -> Any:
    """Wait until an expression is true in the page, and return its value."""
    try:
        return page.wait_for_function(f"window.comet && ({condition})", timeout=1000 * seconds).json_value()
    except Exception as error:
        raise AssertionError(f"{condition}: {page.evaluate('[comet.transport, events, seen.length]')}") from error


def chat(site: Site, page: Page, count: int = 300) -> None:
    """Both ways: everything arrives once and in order, and a question is answered."""
    client = wait(page, "comet.client")
    site.get("/publish", n=count, to=f"client:{client}")
    wait(page, f"seen.length >= {count}")
    assert page.evaluate("seen") == list(range(count))
    page.evaluate("for (var i = 0; i < 50; i++) comet.send([i, 'ä\\u2028</script>'])")
    page.evaluate("comet.emit('echo', {a: 1}, function (error, reply) { window.reply = [error, reply]; })")
    assert wait(page, "window.reply") == [None, {"a": 1}]
    assert site.get("/said", client=client, n=50) == [[i, "ä\u2028</script>"] for i in range(50)]


# --- The transports --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_a_transport_alone_carries_everything_both_ways(name: str, site: Site, open_page: OpenPage) -> None:
    page = open_page(site.page(options={"transports": [name]}, times=QUICK))
    chat(site, page)
    assert page.evaluate("comet.transport") == name


@pytest.mark.parametrize("name", ALL)
def test_another_origin_chats_by_every_transport(name: str, open_page: OpenPage) -> None:
    with Site() as home, Site(origins=home.url) as other:
        page = open_page(home.page(at=f"{other.url}/comet", options={"transports": [name]}, times=QUICK))
        chat(other, page)


@pytest.mark.parametrize("name", ALL)
def test_a_channel_for_everybody_is_used_without_cookies(name: str, open_page: OpenPage) -> None:
    with Site() as home, Site(origins="*") as other:
        options = {"transports": [name]}
        page = open_page(home.page(at=f"{other.url}/comet", first="document.cookie = 'user=ann'", options=options))
        client = wait(page, "comet.client")
        user = next(one for one in other.get("/clients") if one["id"] == client)["user"]
        assert user is None


def test_a_page_of_a_foreign_origin_gets_nothing(open_page: OpenPage) -> None:
    with Site() as home, Site() as other:
        for name in ALL:
            page = open_page(home.page(at=f"{other.url}/comet", options={"transports": [name]}, times=QUICK))
            if name == "jsonp":
                assert wait(page, "events[0]")[1]["code"] == 4403
            else:  # each further try says that the one before it ended
                for _ in range(2):
                    page.wait_for_event("websocket" if name == "websocket" else "request")
            assert wait(page, "[comet.client]") == [None]
        assert other.get("/opened") == []


DOWNGRADES: dict[str, tuple[tuple[str, ...], str]] = {
    "everything": ((), "websocket"),
    "no WebSocket": (("WebSocket",), "stream"),
    "no AbortController": (("WebSocket", "AbortController"), "stream"),
    "no ReadableStream": (("WebSocket", "ReadableStream"), "xhr"),
    "no fetch": (("WebSocket", "fetch"), "xhr"),
    "no progress": (("WebSocket", "fetch", "XHR progress"), "eventsource"),
    "no EventSource": (("WebSocket", "fetch", "XHR progress", "EventSource"), "poll"),
    "2012": (BROWSERS_OF_OLD["2012"], "websocket"),
    "ie10": (BROWSERS_OF_OLD["ie10"], "websocket"),
    "android2": (BROWSERS_OF_OLD["android2"], "eventsource"),
    "ie9": (BROWSERS_OF_OLD["ie9"], "poll"),
    "script tags only": (BROWSERS_OF_OLD["script tags only"], "jsonp"),
}


@pytest.mark.parametrize("name", DOWNGRADES)
def test_a_browser_without_a_feature_takes_the_next_best(name: str, site: Site, open_page: OpenPage) -> None:
    without, expected = DOWNGRADES[name]
    page = open_page(site.page(times=LOADING if expected == "jsonp" else None), *without)
    chat(site, page)
    assert page.evaluate("comet.transport") == expected


def test_a_foreign_channel_without_cors_is_reached_by_script_tags(open_page: OpenPage) -> None:
    with Site() as home, Site(origins=home.url) as other:
        page = open_page(home.page(at=f"{other.url}/comet", times=LOADING), "WebSocket", "CORS")
        chat(other, page)
        assert page.evaluate("comet.transport") == "jsonp"


def test_bytes_and_likenesses_of_bytes_survive_both_ways(site: Site, open_page: OpenPage) -> None:
    page = open_page(site.page())
    wait(page, "comet.client")
    site.get("/bytes")
    wait(page, "seen.length == 2")
    assert page.evaluate("[seen[0].raw instanceof Uint8Array, Array.from(seen[0].raw), seen[0].$bytes]") == [
        True,
        list(range(256)),
        1,
    ]
    assert page.evaluate("seen[1]") == {"$bytes": "mine"}
    sent = "{$args: [1]}, {$$bytes: 'x'}, new Uint8Array([0, 255]), new ArrayBuffer(2), new Date(0), undefined, null"
    page.evaluate(f"comet.emit('echo', [{sent}], function (error, reply) {{ window.reply = reply; }})")
    wait(page, "window.reply")
    assert page.evaluate("JSON.stringify(reply.slice(0, 2).concat(reply.slice(4)))") == (
        '[{"$args":[1]},{"$$bytes":"x"},"1970-01-01T00:00:00.000Z",null,null]'
    )
    assert page.evaluate("[Array.from(reply[2]), reply[3].length]") == [[0, 255], 2]


# --- Order and loss --------------------------------------------------------------------------------------


def test_hops_under_a_flood_neither_lose_nor_double(site: Site, open_page: OpenPage) -> None:
    page = open_page(site.page(times=QUICK))
    client = wait(page, "comet.client")
    site.get("/publish", n=4000, rate=500, to=f"client:{client}")
    page.evaluate("""
        var names = ['stream', 'poll', 'websocket', 'xhr', 'jsonp', 'eventsource'], hops = 0, sent = 0;
        comet.on('transport', function (name, why) { if (why === 'by hand') hops++; });
        window.ticker = setInterval(function () { comet.use(names[Math.floor(Math.random() * names.length)]); }, 120);
        window.talker = setInterval(function () { if (sent < 400) comet.send(sent++); }, 15);
    """)
    wait(page, "seen.length >= 4000 && sent >= 400 && hops > 20", 90)
    page.evaluate("clearInterval(ticker); clearInterval(talker)")
    assert page.evaluate("seen") == list(range(4000))
    assert site.get("/said", client=client, n=400) == list(range(400))


@pytest.mark.parametrize("name", ["websocket", "stream", "poll", "jsonp"])
def test_a_client_outlives_a_restart_of_the_server(name: str, open_page: OpenPage) -> None:
    with Site() as site:
        page = open_page(site.page(options={"transports": [name]}, times={**QUICK, "retryMost": 500, "script": 3000}))
        chat(site, page, 20)
        site.stop()
        wait(page, "comet.transport === null")
        page.evaluate("for (var i = 0; i < 30; i++) comet.send('away ' + i)")
        site.start()
        client = wait(page, "comet.transport && comet.client")
        assert site.get("/said", client=client, n=30) == [f"away {i}" for i in range(30)]
        assert [name for name, *_ in page.evaluate("events")].count("open") == 2
        assert "reset" in [name for name, *_ in page.evaluate("events")]
        site.get("/publish", start=20, n=5)
        wait(page, "seen.length >= 25")
        assert page.evaluate("seen") == list(range(25))


def test_too_many_messages_while_away_are_a_visible_error(site: Site, open_page: OpenPage) -> None:
    page = open_page(site.page(options={"transports": ["websocket"]}, at="/nothing/here"))
    wait(page, "true")
    page.evaluate("for (var i = 0; i < 1001; i++) comet.send(i, function (error) { window.failed = [i, error.code]; })")
    assert wait(page, "window.failed") == [1000, "full"]
    assert [detail["code"] for name, detail, *_ in page.evaluate("events") if name == "error"] == ["full"]


def test_a_message_over_the_limit_is_refused_and_the_next_one_goes_on(site: Site, open_page: OpenPage) -> None:
    for name in ("websocket", "stream"):
        page = open_page(site.page(options={"transports": [name]}))
        client = wait(page, "comet.client")
        page.evaluate("""
            comet.send(new Array(1100000).join('x'), function (error) { window.failed = error.code; });
            comet.send('small');
        """)
        assert wait(page, "window.failed") == "size"
        assert site.get("/said", client=client, n=1) == ["small"]


def test_a_page_sends_no_more_at_once_than_the_server_takes(open_page: OpenPage) -> None:
    """Learnt from the greeting: it need not be refused to know."""
    with Site({"max_waiting_messages": 7}) as site:
        page = open_page(site.page(options={"transports": ["stream"]}))
        client = wait(page, "comet.client")
        sizes: list[int] = []
        page.on("request", lambda asked: asked.method == "POST" and sizes.append(len(json.loads(asked.post_data or "[]"))))
        page.evaluate("for (var i = 0; i < 50; i++) comet.send(i)")
        assert site.get("/said", client=client, n=50) == list(range(50))
        page.evaluate("1")  # hears what the browser has told meanwhile
        assert sum(sizes) == 50 and max(sizes) == 6  # and a farewell behind them


@pytest.mark.parametrize("name", ["websocket", "stream", "poll", "jsonp"])
def test_a_page_that_is_too_fast_waits_and_sends_the_same_again(name: str, open_page: OpenPage) -> None:
    with Site({"rates": {"client_messages": [60, 40]}, "rate_patience_seconds": 0.5}) as site:
        page = open_page(site.page(options={"transports": [name]}))
        client = wait(page, "comet.client")
        page.evaluate("for (var i = 0; i < 160; i++) comet.send(i)")
        page.evaluate("comet.emit('echo', 1, function (error, reply) { window.reply = reply; })")
        assert wait(page, "window.reply") == 1
        assert site.get("/said", client=client, n=160) == list(range(160))
        assert page.evaluate("events.filter(function (one) { return one[0] === 'error' || one[0] === 'close'; })") == []


# --- The end ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["websocket", "stream", "eventsource", "poll", "jsonp"])
def test_a_close_code_says_whether_to_come_back(name: str, site: Site, open_page: OpenPage) -> None:
    page = open_page(site.page(options={"transports": [name]}, times=QUICK))
    client = wait(page, "comet.client")
    site.get(f"/close/{client}/4010")
    wait(page, "events.filter(function (one) { return one[0] === 'open'; }).length === 2")
    site.get(f"/close/{client}/4410")
    assert wait(page, "events[events.length - 1][0] === 'close' && events[events.length - 1][1]")["code"] == 4410
    assert page.evaluate("comet.transport") is None


def test_a_client_that_is_refused_says_so_and_stays_away(site: Site, open_page: OpenPage) -> None:
    for name in ("stream", "xhr", "poll", "jsonp"):
        page = open_page(site.page(first="document.cookie = 'refuse=1'", options={"transports": [name]}))
        closed = wait(page, "events.length && events[events.length - 1][0] === 'close' && events[events.length - 1][1]")
        assert closed == {"code": 4403, "reason": "not today"}


@pytest.mark.parametrize("transports", [None, ["stream"], ["xhr"], ["poll"]])
def test_a_redirect_as_to_a_login_page_is_a_refusal(transports: Any, site: Site, open_page: OpenPage) -> None:
    page = open_page(site.page(at="/behind-a-login/comet", options={"transports": transports}, times=QUICK))
    closed = wait(page, "events.length && events[events.length - 1][0] === 'close' && events[events.length - 1][1]")
    assert closed == {"code": 4401, "reason": "redirected, as to a login page"}


def test_a_transport_that_is_not_there_is_refused_and_nothing_changes(site: Site, open_page: OpenPage) -> None:
    page = open_page(site.page(options={"transports": ["websocket", "stream"]}))
    wait(page, "comet.client")
    assert page.evaluate("(function () { try { comet.use('pigeon'); } catch (error) { return error.message; } })()") == (
        "cometware: no transport pigeon here, but websocket, stream, xhr, eventsource, poll, jsonp, short"
    )
    page.evaluate("comet.use('stream')")
    wait(page, "comet.transport === 'stream'")


def test_when_all_are_allowed_again_and_the_best_one_fails_the_next_one_has_its_turn(site: Site, open_page: OpenPage) -> None:
    fails = """
        var Real = WebSocket, tries = 0;
        WebSocket = function (url, names) { tries++; return new Real('ws://127.0.0.1:9/', names); };
    """
    page = open_page(site.page(first=fails))
    wait(page, "comet.transport === 'stream'")
    page.evaluate("comet.use('poll')")
    wait(page, "comet.transport === 'poll'")
    page.evaluate("comet.use()")
    wait(page, "comet.transport === 'stream'")
    assert page.evaluate("tries") == 2
    chat(site, page, 20)


def test_a_page_that_is_left_says_goodbye(site: Site, open_page: OpenPage) -> None:
    for name in ("websocket", "stream"):
        page = open_page(site.page(options={"transports": [name], "shared": False}))
        client = wait(page, "comet.client")
        page.goto("about:blank")
        assert client in site.get("/said", client="left", until=json.dumps([client]))


# --- Many tabs -------------------------------------------------------------------------------------------


def test_ten_tabs_share_one_connection_and_the_site_does_not_freeze(site: Site, chromium: Browser) -> None:
    context = chromium.new_context()
    try:
        pages = []
        for _ in range(10):
            page = context.new_page()
            page.goto(site.page(options={"transports": ["stream"]}))
            wait(page, "comet.client")
            pages.append(page)
        site.get("/publish", n=50, start=100)
        for page in pages:
            wait(page, "seen.length >= 50")
            assert page.evaluate("seen") == list(range(100, 150))
        assert len({page.evaluate("comet.client") for page in pages}) == 1
        assert [page.evaluate("comet.transport") for page in pages] == ["stream"] + ["shared"] * 9
        client = pages[0].evaluate("comet.client")
        for index, page in enumerate(pages):
            page.evaluate(f"comet.send('tab {index}')")
            page.evaluate(f"comet.emit('echo', {index}, function (error, reply) {{ window.reply = [reply]; }})")
        assert [wait(page, "window.reply") for page in pages] == [[index] for index in range(10)]
        assert sorted(site.get("/said", client=client, n=10)) == sorted(f"tab {index}" for index in range(10))
        pages[0].close()  # the one that led
        wait(pages[1], "comet.transport === 'stream'")
        for page in pages[2:]:
            wait(page, "comet.transport === 'shared'")
        site.get("/publish", n=10, start=150)
        for page in pages[1:]:
            wait(page, "seen.length >= 60")
            assert page.evaluate("seen") == list(range(100, 160))
        pages[5].evaluate("comet.emit('echo', 'again', function (error, reply) { window.again = reply; })")
        assert wait(pages[5], "window.again") == "again"
        assert pages[1].evaluate("comet.client") == client
    finally:
        context.close()


def test_a_tab_that_comes_later_gets_its_history_too(site: Site, chromium: Browser) -> None:
    context = chromium.new_context()
    try:
        first, second, third = (context.new_page() for _ in range(3))
        first.goto(site.page(options={"transports": ["stream"]}))
        wait(first, "comet.client")
        start = first.evaluate("comet.position()")
        site.get("/publish", n=5)
        wait(first, "seen.length >= 5")
        second.goto(site.page(options={"transports": ["stream"], "last": 3}))
        third.goto(site.page(options={"transports": ["stream"], "after": start}))
        for page, since in ((first, 0), (second, 2), (third, 0)):
            wait(page, "comet.client && seen.length >= 3")
            site.get("/publish", data=str(5 + since))
        for page, since in ((first, 0), (second, 2), (third, 0)):
            wait(page, f"seen.length >= {8 - since}")
            assert page.evaluate("seen") == [*range(since, 5), 5, 7, 5]
        assert [page.evaluate("comet.transport") for page in (first, second, third)] == ["stream", "shared", "shared"]
        assert not [name for name, *_ in third.evaluate("events") if name == "reset"]
    finally:
        context.close()


def test_tabs_behind_a_proxy_without_websocket_share_by_themselves(chromium: Browser) -> None:
    with Site(origins="*") as site, through("nginx_default", site.port) as url:
        context = chromium.new_context()
        try:
            pages = [context.new_page() for _ in range(3)]
            for page in pages:
                page.goto(site.page().replace(site.url, url))
                wait(page, "comet.client")
            assert [page.evaluate("comet.transport") for page in pages] == ["stream", "shared", "shared"]
            site.get("/publish", n=20)
            for page in pages:
                wait(page, "seen.length >= 20")
                assert page.evaluate("seen") == list(range(20))
        finally:
            context.close()


@pytest.mark.parametrize("name", ["stream", "poll", "websocket"])
def test_what_tabs_say_while_the_leading_one_is_closed_is_said_once_and_in_order(
    name: str, site: Site, chromium: Browser
) -> None:
    context = chromium.new_context()
    try:
        pages = [context.new_page() for _ in range(4)]
        for page in pages:
            page.goto(site.page(options={"transports": [name], "shared": True}))
            wait(page, "comet.client")
        assert [page.evaluate("comet.transport") for page in pages] == [name] + ["shared"] * 3
        client = pages[0].evaluate("comet.client")
        for index, page in enumerate(pages):
            page.evaluate(f"""
                var tab = {index}, left = 100, talker = setInterval(function () {{
                    if (left--) comet.send([tab, 99 - left]); else clearInterval(talker);
                }}, 20);""")
        wait(pages[2], "left < 65")
        pages[0].close()
        wait(pages[2], "left < 40")
        pages[1].close()
        for page in pages[2:]:
            wait(page, "left < 0")
            page.evaluate("comet.send([tab, 'end'])")
        everything = site.get("/said", client=client, until=json.dumps([[2, "end"], [3, "end"]]))
        for index in (2, 3):
            assert [number for tab, number in everything if tab == index] == [*range(100), "end"]
        for index in (0, 1):
            said = [number for tab, number in everything if tab == index]
            assert said == list(range(len(said)))
    finally:
        context.close()


# --- Strangers' text -------------------------------------------------------------------------------------

NASTY = ["</script><script>window.hacked = 1</script>", "\u2028\u2029", "\\\"'`${window.hacked=1}", "<!--<script>", "*/"]


@pytest.mark.parametrize("name", ALL)
def test_a_strangers_text_does_nothing_but_arrive(name: str, site: Site, open_page: OpenPage) -> None:
    page = open_page(site.page(options={"transports": [name]}, times=QUICK))
    client = wait(page, "comet.client")
    for text in NASTY:
        site.get("/publish", data=json.dumps(text), to=f"client:{client}")
        site.get("/publish", data=json.dumps({text: [text]}), to=f"client:{client}")
    wait(page, f"seen.length >= {2 * len(NASTY)}")
    assert page.evaluate("seen") == [item for text in NASTY for item in (text, {text: [text]})]
    assert page.evaluate("window.hacked") is None


@pytest.mark.parametrize(
    "callback", ["alert(1)//", "a.b", "f;g", "<script>", "f\u2028", "", "x" * 65, "CWS\x07\x0e000", "f%0a", "1f", "f["]
)
def test_a_callback_of_a_strangers_choice_is_refused(callback: str, site: Site) -> None:
    import http.client
    from urllib.parse import quote

    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=60)
    connection.request("GET", f"/comet?callback={quote(callback)}")
    response = connection.getresponse()
    body = response.read()
    connection.close()
    assert response.status == 400
    assert response.headers.get_content_type() == "application/json"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert json.loads(body)["error"]["code"] == "callback"


# --- The file --------------------------------------------------------------------------------------------


def node(script: str, *arguments: str) -> str:
    return subprocess.run(
        ["node", "-e", script, *arguments], check=True, capture_output=True, text=True, cwd=tool("javascript")
    ).stdout


@pytest.mark.parametrize("name", ["client.js", "client.min.js"])
def test_what_is_served_is_ecmascript_5(name: str, site: Site) -> None:
    source = site.get(f"/comet/{name}").decode()
    parse = "require('acorn').parse(require('fs').readFileSync(0, 'utf8'), {ecmaVersion: 5})"
    subprocess.run(["node", "-e", parse], input=source, check=True, text=True, cwd=tool("javascript"))


def test_the_minified_client_is_small(site: Site) -> None:
    request = Request(f"{site.url}/comet/client.min.js", headers={"Accept-Encoding": "gzip"})
    with urlopen(request, timeout=30) as answer:
        body = answer.read()
    print(f"cometware.min.js: {len(body)} bytes gzipped")
    assert len(body) <= 9216
    assert gzip.decompress(body) == site.get("/comet/client.min.js")


def test_the_minified_client_is_up_to_date(tmp_path: Path) -> None:
    subprocess.run(["bash", STATIC.parents[1] / ".ci/build-client", tmp_path], check=True, capture_output=True)
    for name in ("cometware.min.js", "cometware.min.js.gz"):
        assert (tmp_path / name).read_bytes() == (STATIC / name).read_bytes()


def test_the_minified_client_works_from_its_versioned_name(site: Site, open_page: OpenPage) -> None:
    from cometware.assets import versioned_name

    page = open_page(site.page(client=f"/comet/{versioned_name()}"))
    chat(site, page)


def test_the_client_is_a_module_for_those_who_import_or_require(site: Site, open_page: OpenPage) -> None:
    assert node("process.stdout.write(typeof require(process.argv[1]))", str(STATIC / "cometware.js")) == "function"
    page = open_page(site.page())
    wait(page, "comet.client")
    assert page.evaluate("import('/comet/client.mjs').then(function (module) { return typeof module.default; })") == (
        "function"
    )
