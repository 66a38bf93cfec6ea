"""A server that cannot carry WebSocket says so in its greeting; the browser client does not ask it again and again."""

from __future__ import annotations

import sys

import pytest
from playwright.sync_api import Browser

from tests.live.server import serve

_FLASK = ("-m", "flask", "--app", "tests.live.app:app", "run", "--port", "0", "--no-reload")
_WSGIREF = ("-m", "tests.contract.servers.launch", "wsgiref")
_OPEN = """() => new Promise(done => {
  const comet = new Cometware('/comet');
  comet.on('open', info => done([info.transport, comet]));
}).then(([transport]) => transport)"""


@pytest.mark.parametrize(
    "arguments", [_FLASK, ("-m", "tests.contract.servers.launch", "wsgiref")], ids=["flask run", "wsgiref"]
)
def test_only_the_first_page_asks_for_what_is_not_there(chromium: Browser, arguments: tuple[str, ...]) -> None:
    with serve(command=(sys.executable, *arguments)) as server:
        context = chromium.new_context()
        page = context.new_page()
        errors: list[str] = []
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        for visit in range(3):
            page.goto(f"http://127.0.0.1:{server.port}/position")
            errors.clear()
            page.add_script_tag(url="/comet/client.js")
            page.evaluate("Cometware.times.upgrade = [50, 50, 50, 50]")
            page.evaluate(_OPEN)
            page.wait_for_timeout(1000)  # as long as twenty tries of something better
            assert bool(errors) is (visit == 0), errors
        context.close()
        assert server.errors.count(": transports ") == 1


def test_a_server_that_carries_all_again_is_believed_at_once(chromium: Browser) -> None:
    with serve() as server:
        page = chromium.new_page()
        page.goto(f"http://127.0.0.1:{server.port}/position")
        page.add_script_tag(url="/comet/client.js")
        page.evaluate("""() => {
          const known = JSON.stringify({ name: 'poll', offers: ['poll'], until: Date.now() + 100000 });
          localStorage.setItem('cometware ' + location.origin + '/comet', known);
          Cometware.times.upgrade = [50, 50, 50, 50];
          window.seen = [];
          window.comet = new Cometware('/comet');
          comet.on('transport', name => seen.push(name));
        }""")
        page.wait_for_function("comet.transport === 'websocket'")
        assert page.evaluate("seen[0]") == "poll"
        page.close()
