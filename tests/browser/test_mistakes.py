"""What a page does wrong, and what happens at the same time, must not stop or double what others said."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route
from test_client import QUICK, STATIC, node, wait
from website import Site

OpenPage = Callable[..., Page]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Site(origins="*") as running:
        yield running


@pytest.fixture
def tabs(site: Site, chromium: Browser) -> Iterator[Callable[..., Page]]:
    """Open pages in one profile: `tabs(shared=True)`, named arguments are the client's options."""
    context = chromium.new_context()

    def open_one(first: str = "", times: dict[str, Any] | None = None, **options: Any) -> Page:
        page = context.new_page()
        page.goto(site.page(options=options, times=times or {}, first=first))
        return page

    yield open_one
    context.close()


@pytest.mark.parametrize("name", ["websocket", "stream", "poll", "jsonp"])
def test_a_callback_that_throws_costs_no_message(name: str, site: Site, tabs: Callable[..., Page]) -> None:
    page = tabs(transports=[name], shared=False)
    client = wait(page, "comet.client")
    page.evaluate("comet.emit('echo', 1, function () { window.replied = 1; throw new Error('of the page'); })")
    wait(page, "window.replied")
    site.get("/publish", n=20, to=f"client:{client}")
    wait(page, "seen.length >= 20")
    assert page.evaluate("seen") == list(range(20))


@pytest.mark.parametrize(
    "mistake",
    [
        "try { comet.emit('open'); } catch (error) { window.failed = 1; }",
        "comet.send(new Array(1100000).join('x'), function (error) { window.failed = error.code; });",
    ],
    ids=["reserved", "too long"],
)
def test_what_a_tab_may_not_say_does_not_silence_it(mistake: str, site: Site, tabs: Callable[..., Page]) -> None:
    leader, follower = (tabs(transports=["stream"]) for _ in range(2))
    wait(follower, "comet.transport === 'shared'")
    follower.evaluate("comet.send('before')")
    follower.evaluate(mistake)
    follower.evaluate("comet.send('after')")
    wait(follower, "window.failed")
    assert site.get("/said", client=wait(leader, "comet.client"), n=2) == ["before", "after"]


def test_a_tab_that_leaves_the_group_by_hand_can_speak_at_once(site: Site, tabs: Callable[..., Page]) -> None:
    leader, follower = (tabs(transports=["stream"]) for _ in range(2))
    wait(leader, "comet.client")
    wait(follower, "comet.transport === 'shared'")
    follower.evaluate("comet.use('poll'); comet.send('at once')")
    wait(follower, "comet.transport === 'poll'")
    assert site.get("/said", client=follower.evaluate("comet.client"), n=1) == ["at once"]


def test_a_websocket_that_wins_while_the_tab_waits_for_the_lock_leaves_the_group(tabs: Callable[..., Page]) -> None:
    slow_lock = """
        var locks = navigator.locks, ask = locks.request;
        locks.request = function () {
            var given = arguments;
            return new Promise(function (resolve, reject) {
                var timer = setInterval(function () {
                    if (!window.comet || comet.transport !== 'websocket') return;
                    clearInterval(timer);
                    ask.apply(locks, given).then(resolve, reject);
                    window.asked = 1;
                }, 5);
            });
        };
    """
    leader = tabs(transports=["stream"])
    wait(leader, "comet.client")
    quick = tabs(first=slow_lock, times={"race": 0})
    wait(quick, "window.asked")
    wait(quick, "navigator.locks.query().then(function (all) { return all.held.length === 1 && !all.pending.length; })")
    assert quick.evaluate("comet.transport") == "websocket"


def test_a_page_without_any_allowed_transport_says_so_and_ends(site: Site, open_page: OpenPage) -> None:
    page = open_page(site.page(options={"transports": ["pigeon"]}))
    closed = wait(page, "events.length && events[events.length - 1][0] === 'close' && events[events.length - 1][1]")
    assert closed == {"code": 4406, "reason": "no transport pigeon here"}


def test_a_closed_client_says_nothing_more_when_the_page_goes(site: Site, open_page: OpenPage) -> None:
    page = open_page(site.page(options={"transports": ["stream"], "shared": False}))
    wait(page, "comet.client")
    page.evaluate("""
        localStorage.beacons = 0;
        navigator.sendBeacon = function () { localStorage.beacons++; };
        comet.close();
    """)
    assert page.evaluate("localStorage.beacons") == "1"
    page.goto(f"{site.url}/opened")
    assert page.evaluate("localStorage.beacons") == "1"


def test_who_closes_while_it_opens_does_not_hear_that_it_is_open(site: Site, open_page: OpenPage) -> None:
    page = open_page(site.page(options={"transports": ["poll"]}, then="comet.on('transport', function () { comet.close(); })"))
    wait(page, "events.some(function (one) { return one[0] === 'close'; })")
    assert "open" not in [name for name, *_ in page.evaluate("events")]


def test_a_script_that_sends_by_forms_does_not_think_that_they_failed(site: Site, open_page: OpenPage) -> None:
    page = open_page(site.page(options={"transports": ["jsonp"]}))
    client = wait(page, "comet.client")
    page.evaluate("""
        (function say(n) { if (n < 7) comet.emit('echo', n, function () { comet.send(n); say(n + 1); }); })(0);
    """)
    assert site.get("/said", client=client, n=7) == list(range(7))
    assert not [event for event in page.evaluate("events") if event[0] == "error"]


def test_a_wait_beyond_what_a_timer_can_hold_is_no_wait_of_nothing(site: Site, chromium: Browser) -> None:
    context = chromium.new_context()
    asked: list[str] = []

    def busy(route: Route) -> None:
        asked.append(route.request.url)
        route.fulfill(status=503, headers={"Retry-After": "3000000"}, body="{}")

    try:
        page = context.new_page()
        page.route("**/comet?**", busy)
        with page.expect_response("**/comet?**"):
            page.goto(site.page(options={"transports": ["poll"]}, times=QUICK))
        page.wait_for_timeout(300)
        assert len(asked) == 1
    finally:
        context.close()


def test_a_page_from_a_file_is_of_another_origin(site: Site, chromium: Browser, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(f"""<!doctype html><script>{(STATIC / "cometware.js").read_text()}</script><script>
        var comet = new Cometware({json.dumps(site.url + "/comet")}, {{transports: ['stream'], credentials: false}});
    </script>""")
    page = chromium.new_page()
    try:
        page.goto((tmp_path / "page.html").as_uri())
        assert wait(page, "comet.transport") == "stream"
    finally:
        page.close()


def test_the_minified_client_has_the_same_settings() -> None:
    names = "process.stdout.write(JSON.stringify(Object.keys(require(process.argv[1]).times)))"
    plain, small = (json.loads(node(names, str(STATIC / f"cometware{end}"))) for end in (".js", ".min.js"))
    assert small == plain


def test_the_server_is_told_why_a_page_has_its_transport(site: Site, open_page: OpenPage) -> None:
    def why(page: Page, transport: str) -> str:
        client = wait(page, f"comet.transport === '{transport}' && comet.client")
        return next(str(one["why"]) for one in site.get("/clients") if one["id"] == client)

    assert why(open_page(site.page(options={"transports": ["poll"]})), "poll").startswith("chosen by the page")
    held_after_its_greeting = """
        var read = ReadableStreamDefaultReader.prototype.read;
        ReadableStreamDefaultReader.prototype.read = function () {
            this.reads = (this.reads || 0) + 1;
            return this.reads > 1 ? new Promise(function () {}) : read.call(this);
        };
    """
    page = open_page(site.page(first=held_after_its_greeting, times={"silent": 200}), "WebSocket")
    assert why(page, "poll").startswith("stream: held back on its way, says the client")


def test_a_client_that_was_closed_listens_to_nothing_of_its_page(site: Site, chromium: Browser) -> None:
    page = chromium.new_page()
    page.goto(site.page())
    ears = page.evaluate("""() => {
        var ears = [], heard = [];
        [window, document, navigator.connection].forEach(function (target) {
            target.addEventListener = function (name, call) { ears.push(call); heard.push(name); };
            target.removeEventListener = function (name, call) { ears.splice(ears.indexOf(call), 1); };
        });
        new Cometware('/comet', { shared: false }).close();
        return [heard.sort(), ears.length];
    }""")
    assert ears == [["change", "offline", "online", "pagehide", "pageshow", "resume", "visibilitychange"], 0]
    page.close()
