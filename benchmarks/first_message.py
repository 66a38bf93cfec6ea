"""`python -m benchmarks.first_message`: from `new Client(…)` in a page to its first message, beside the peers' clients.

Current Chromium, a fresh profile for each sample, on loopback; direct and behind proxies that make it hard. The peers are
socket.io-client and sockjs-client with their own servers (Node). Needs `.ci/install-system --full`.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import click
from playwright.sync_api import Browser, Error, sync_playwright

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path[:0] = [str(TESTS / "browser"), str(TESTS / "proxies")]

from engines import CHROMIUM_FLAGS, tool  # noqa: E402
from foreground import find_program  # noqa: E402
from proxies import through  # noqa: E402
from website import Site  # noqa: E402

SILENCE_SECONDS = 12

# Each is the body of a function of `done`, to be called with the first message.
CLIENTS: dict[str, tuple[str, str]] = {
    "bare WebSocket": ("ours", "new WebSocket(here.replace('http', 'ws') + '/comet?last=1').onmessage = done"),
    "bare XHR poll": (
        "ours",
        "var x = new XMLHttpRequest(); x.onload = done; x.open('GET', here + '/comet?transport=poll&last=1'); x.send()",
    ),
    "cometware": ("ours", "new Cometware('/comet', {last: 1}).on('message', done)"),
    "cometware, second visit": ("ours", "new Cometware('/comet', {last: 1}).on('message', done)"),
    "socket.io-client 4.8": ("peers", "io().on('message', done)"),
    "sockjs-client 1.6": ("peers", "new SockJS('/sockjs').onmessage = done"),
}
PROXIES = ("", "nginx_well", "nginx_default", "nginx_buffers", "swallows_upgrade", "answers_200_to_upgrade")


@contextmanager
def peers() -> Iterator[int]:
    command = ["node", Path(__file__).with_name("first_message_peers.js"), tool("peers")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


def sample(browser: Browser, url: str, script: str, *, second: bool) -> float | None:
    """Return the milliseconds to the first message; None if it did not come."""
    measure = f"""new Promise(function (resolve) {{
        var here = location.origin, began = performance.now();
        function done() {{ resolve(performance.now() - began); }}
        setTimeout(function () {{ resolve(null); }}, {1000 * SILENCE_SECONDS});
        {script};
    }})"""
    context = browser.new_context()
    try:
        page = context.new_page()
        if second:
            page.goto(url)
            page.evaluate("Cometware.times.useful = 300")
            page.evaluate(measure)
            page.wait_for_timeout(500)
        page.goto(url)
        result: float | None = page.evaluate(measure)
        return result
    except Error:
        return None
    finally:
        context.close()


def shown(samples: list[float | None]) -> str:
    good = [value for value in samples if value is not None]
    if len(good) < len(samples):
        return f"{len(samples) - len(good)} of {len(samples)} never"
    middle = statistics.median(good)
    return f"{middle:,.1f}" if middle < 100 else f"{middle:,.0f}"


@click.command()
@click.option("--samples", default=20, show_default=True, help="For each cell of the table.")
@click.option("--behind", multiple=True, default=PROXIES, help="Only behind this proxy; '' is direct.")
def main(samples: int, behind: tuple[str, ...]) -> None:
    """Measure, and print a table: milliseconds, medians."""
    print("| client | " + " | ".join(name or "direct" for name in behind) + " |")
    print("|---" * (len(behind) + 1) + "|")
    with Site(origins="*") as site, peers() as port, sync_playwright() as playwright:
        site.get("/publish", data='"hello"')
        browser = playwright.chromium.launch(executable_path=find_program("chromium"), args=CHROMIUM_FLAGS)
        cells: dict[str, list[str]] = {name: [] for name in CLIENTS}
        for proxy in behind:
            ours, theirs = (
                (through(proxy, site.port), through(proxy, port))
                if proxy
                else (
                    nullcontext(site.url),
                    nullcontext(f"http://127.0.0.1:{port}"),
                )
            )
            with ours as ours_url, theirs as their_url:
                found: dict[str, list[float | None]] = {name: [] for name in CLIENTS}
                for _ in range(samples):  # interleaved: what else the machine does hits all alike
                    for name, (home, script) in CLIENTS.items():
                        if None in found[name]:
                            continue  # it never comes: once is enough
                        url = f"{ours_url}/blank" if home == "ours" else their_url
                        found[name].append(sample(browser, url, script, second="second" in name))
                for name in CLIENTS:
                    cells[name].append(shown(found[name]))
                print(f"{proxy or 'direct'}: { ({name: row[-1] for name, row in cells.items()}) }", file=sys.stderr)
        browser.close()
    for name, row in cells.items():
        print(f"| {name} | " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
