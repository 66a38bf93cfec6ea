"""`python -m benchmarks.first_message`: how long a page takes to its first message, beside the peers' clients.

Rule: nothing looks on. The page takes its times by its own clock and reports them with a beacon; a plain Chromium without an
inspector loads it, coming from a page of another site, once with a new profile and once more with the same one. The clients
take turns, so what else the machine does hits all alike. The peers are socket.io-client and sockjs-client with their own
servers (Node). Needs `.ci/install-system --full`.
"""

from __future__ import annotations

import json
import os
import queue
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, urlencode

import click

from benchmarks.servers import ROOT, port_of
from cometware.assets import versioned_name

sys.path[:0] = [str(ROOT / "tests" / "browser"), str(ROOT / "tests" / "proxies")]

from engines import CHROMIUM_FLAGS, tool  # noqa: E402
from foreground import find_program  # noqa: E402
from proxies import through  # noqa: E402

SILENCE_SECONDS = 12
QUIET_MILLISECONDS = 700
"""How long the page before does nothing, so that the browser has nothing else to do."""
USEFUL_MILLISECONDS = 300
VISITS = ("first", "second")
OURS, PEERS = "ours", "peers"


class Subject(NamedTuple):
    """Who is measured: whose server, the scripts that its page loads, and what it does; `done` takes the first message."""

    home: str
    scripts: Sequence[str]
    code: str


_CLIENT = f"/comet/{versioned_name()}"
_REMEMBER = f"Cometware.times.useful = {USEFUL_MILLISECONDS}; "
_BARE = "new WebSocket(location.origin.replace('http', 'ws') + '/comet?last=1').onmessage = done"
_OURS = _REMEMBER + "new Cometware('/comet', {last: 1}).on('message', done)"
_POLL = "var x = new XMLHttpRequest(); x.onload = done; x.open('GET', '/comet?transport=poll&last=1'); x.send()"

BARE = "bare WebSocket"
SUBJECTS: Mapping[str, Subject] = {
    BARE: Subject(OURS, [], _BARE),
    "bare WebSocket, our script loaded": Subject(OURS, [_CLIENT], _REMEMBER + _BARE),
    "bare XHR poll": Subject(OURS, [], _POLL),
    "cometware": Subject(OURS, [_CLIENT], _OURS),
    "socket.io-client 4.8": Subject(PEERS, ["/socket.io.js"], "io().on('message', done)"),
    "sockjs-client 1.6": Subject(PEERS, ["/sockjs.js"], "new SockJS('/sockjs').onmessage = done"),
}
PROXIES = ("direct", "nginx_well", "nginx_default", "nginx_buffers", "swallows_upgrade", "answers_200_to_upgrade")


class Sample(NamedTuple):
    """Milliseconds to the first message: from the navigation's start, and from when the page's own script ran."""

    page: float
    client: float


def html(subject: Subject, report: str, onward: str) -> str:
    """Write a page that takes its times, reports them, rests, and goes on to another page."""
    scripts = "".join(f'<script src="{script}"></script>' for script in subject.scripts)
    return f"""<!doctype html><meta charset="utf-8"><title>first message</title>{scripts}<script>
var began = performance.now(), over;
function tell(times) {{
  if (over) return;
  over = 1;
  navigator.sendBeacon({json.dumps(report)}, JSON.stringify(times));
  setTimeout(function () {{ location = {json.dumps(onward)}; }}, {2 * USEFUL_MILLISECONDS});
}}
function done() {{ var now = performance.now(); tell([now, now - began]); }}
setTimeout(function () {{ tell(null); }}, {1000 * SILENCE_SECONDS});
{subject.code};
</script>"""


class Collector:
    """A little server of another site: pages that wait and then go where the next step is, and what was reported."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.reports: queue.Queue[Sample | None] = queue.Queue()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                step = self.path.removeprefix("/step/")
                onward = collector.steps[int(step)] if step.isdecimal() and int(step) < len(collector.steps) else ""
                go = f"setTimeout(function () {{ location = {json.dumps(onward)}; }}, {QUIET_MILLISECONDS})" if onward else ""
                self._answer(f"<!doctype html><title>quiet</title><script>{go}</script>".encode())

            def do_POST(self) -> None:
                times = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self._answer(b"")
                collector.reports.put(times and Sample(*times))

            def _answer(self, body: bytes) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://localhost:{self._server.server_port}"

    def __enter__(self) -> Collector:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def site(command: Sequence[str | Path], environment: Mapping[str, str]) -> Iterator[int]:
    """Run a server that says where it listens; the value is its port."""
    with subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            yield port_of(process)
        finally:
            process.terminate()


@contextmanager
def sites(against: Sequence[Path]) -> Iterator[dict[str, int]]:
    serve = [sys.executable, "-m", "cometware", "serve", "benchmarks.first_message_site:app", "--bind", "127.0.0.1:0"]
    node = ["node", Path(__file__).with_name("first_message_peers.js"), tool("peers")]
    with site(serve, {"AGAINST": os.pathsep.join(str(path.resolve()) for path in against)}) as ours, site(node, {}) as peers:
        yield {OURS: ours, PEERS: peers}


def visits(collector: Collector, subject: Subject, url: str) -> list[Sample | None]:
    """Return what a browser that is new reports of its visits; None if no message came."""
    pages = [html(subject, collector.url, f"{collector.url}/step/{number + 1}") for number in range(len(VISITS))]
    collector.steps = [f"{url}/page?{urlencode({'html': page}, quote_via=quote)}" for page in pages]
    with tempfile.TemporaryDirectory(prefix="cometware-", ignore_cleanup_errors=True) as folder:
        flags = [*CHROMIUM_FLAGS, "--headless=new", f"--user-data-dir={folder}"]
        command = [find_program("chromium"), *flags, f"{collector.url}/step/0"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                found: list[Sample | None] = []
                while len(found) < len(VISITS) and None not in found:
                    found.append(collector.reports.get(timeout=SILENCE_SECONDS + 30))
                return found
            finally:
                process.kill()  # its profile goes, too: nothing of it needs a good end
                process.wait()


def shown(samples: Sequence[Sample | None], field: int, base: float | None) -> str:
    """Write the median, its quartiles, and its ratio to the reference."""
    good = [sample[field] for sample in samples if sample is not None]
    if not good or len(good) < len(samples):
        return "never" if not good else f"{len(samples) - len(good)} of {len(samples)} never"
    middle = statistics.median(good)
    low, _, high = statistics.quantiles(good, n=4, method="inclusive") if len(good) > 1 else (middle, middle, middle)
    digits = 1 if middle < 100 else 0
    ratio = f" {middle / base:.2f} ×" if base else ""
    return f"{middle:,.{digits}f} ({low:,.{digits}f}–{high:,.{digits}f}){ratio}"


def table(found: Mapping[str, Sequence[Sequence[Sample | None]]]) -> Iterator[str]:
    """Write a line for each client: both times of both visits, each with its ratio to the bare WebSocket's."""
    yield "| client | first visit: page | first visit: client | second visit: page | second visit: client |"
    yield "|---|---|---|---|---|"
    for name, runs in found.items():
        cells = []
        for visit in range(len(VISITS)):
            samples = [run[visit] if visit < len(run) else None for run in runs]
            for field in range(len(Sample._fields)):
                reference = [run[visit][field] for run in found.get(BARE, []) if len(run) > visit and run[visit]]  # type: ignore[index]
                cells.append(shown(samples, field, statistics.median(reference) if reference else None))
        yield f"| {name} | {' | '.join(cells)} |"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--samples", default=30, show_default=True, help="New profiles for each client and way.")
@click.option("--behind", multiple=True, type=click.Choice(PROXIES), default=PROXIES, help="Only this way; may be repeated.")
@click.option("--client", "names", multiple=True, type=click.Choice([*SUBJECTS]), help="Only this client; may be repeated.")
@click.option(
    "--against",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Another version of the client, minified: measure it, too; may be repeated.",
)
@click.option("--json", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write all samples to this file.")
def main(samples: int, behind: tuple[str, ...], names: tuple[str, ...], against: tuple[Path, ...], file: Path | None) -> None:
    """Print a table for each way: milliseconds to the first message, medians (quartiles), ratios to a bare WebSocket."""
    subjects = {name: subject for name, subject in SUBJECTS.items() if not names or name in names} | {
        f"cometware, {path.name}": Subject(OURS, [f"/against-{number}.js"], _OURS) for number, path in enumerate(against)
    }
    everything: dict[str, dict[str, list[list[Sample | None]]]] = {}
    with Collector() as collector, sites(against) as ports:
        for way in behind:
            with ExitStack() as stack:
                urls = {
                    home: f"http://127.0.0.1:{port}" if way == "direct" else stack.enter_context(through(way, port))
                    for home, port in ports.items()
                }
                found: dict[str, list[list[Sample | None]]] = {name: [] for name in subjects}
                for number in range(samples):
                    for name in [*subjects][number % len(subjects) :] + [*subjects][: number % len(subjects)]:
                        if [None] not in found[name]:  # else it never comes: once is enough
                            found[name].append(visits(collector, subjects[name], urls[subjects[name].home]))
                    print(f"{way}: {number + 1} of {samples}, {time.strftime('%H:%M:%S')}", file=sys.stderr)
            everything[way] = found
            print(f"\n{way}:\n\n" + "\n".join(table(found)), flush=True)
    if file is not None:
        file.write_text(json.dumps(everything))


if __name__ == "__main__":
    main()
