"""`python -m benchmarks [NAME…]`: measure, and show it as Markdown. A full run is written to RESULTS.md."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import resource
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

import click

from benchmarks.measures import MEASURES, SHORT, Effort, Failure, Row, run
from benchmarks.servers import cores, missing_peers
from benchmarks.workers import SHARED

RESULTS = Path(__file__).with_name("RESULTS.md")
ALL = {**MEASURES, **SHARED}
_HEAD = ("measure", "server", "figure", "ratio", "besides", "load busy", "lost/doubled/reordered")


def line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def shown(row: Row | Failure) -> str:
    if isinstance(row, Failure):
        return line((row.measure, row.server, "failed", "", " ".join(row.reason.replace("|", "\\|").split()), "", ""))
    ratio = "" if row.ratio is None else f"{row.ratio:.2f} ×"
    busy = f"{row.busy:.0%}" if row.busy else ""
    figure = f"{row.value:,.{0 if row.value >= 1000 else 2}f} {row.unit}"
    return line((row.measure, row.server, figure, ratio, row.note, busy, str(row.faults)))


def conditions(effort: Effort) -> str:
    """Tell under what conditions the figures were taken, and what they are ratios to."""
    core, load = cores()
    where = "one core for both" if core == load else "the server on one core, the load on another"
    peers = ", ".join(f"{name} {version(name)}" for name in ("Flask", "gevent", "gevent-websocket"))
    release, _, _ = platform.release().partition("-")
    missing = missing_peers() if effort.peers else []
    absent = f" Not installed, so not run: {', '.join(missing)} (pip install -e '.[bench]')." if missing else ""
    return (
        f"{datetime.now(timezone.utc):%Y-%m-%d}, Python {platform.python_version()}, {peers}, {platform.system()} "
        f"{release}, {os.cpu_count()} cores ({where}), load average {os.getloadavg()[0]:.1f} before the run; "
        f"{effort.clients} clients of {effort.seconds:g} s × {effort.rounds} rounds, interleaved, medians.{absent}\n\n"
        "A ratio is to the first server of its measure, in the same round: `floor`, a bare epoll loop in Python with one "
        "`send` for each message and client (`floor.py`), or the bare application. The same loop in C takes 0.3 to 1.0 µs "
        "less of each delivery: ratios to a floor in C would be up to a fifth higher. A load that is busy beyond 90 % holds "
        "down the rates, not the server's CPU for each. Quote ratios, not figures: the machine is shared.\n"
    )


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", nargs=-1, type=click.Choice(list(ALL)), metavar="[NAME]…")
@click.option("--short", is_flag=True, help="A run of seconds that shows that all is well, but not how fast.")
@click.option("--json", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write the rows to this file, too.")
def main(names: tuple[str, ...], short: bool, file: Path | None) -> None:
    """Measure cometware and its peers against a floor. Without names: everything."""
    effort = SHORT if short else Effort()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    text = [conditions(effort), line(_HEAD), line(["---"] * len(_HEAD))]
    print("\n".join(text), flush=True)

    def show(row: Row | Failure) -> None:
        text.append(shown(row))
        print(text[-1], flush=True)

    before = os.sched_getaffinity(0)
    try:
        rows = run(ALL, names or ALL, effort, show)
    finally:
        os.sched_setaffinity(0, before)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if file is not None:
        file.write_text(json.dumps([dataclasses.asdict(row) for row in rows], indent=1))
    if not names and not short:
        RESULTS.write_text("# What speed costs here\n\n" + "\n".join(text) + "\n")
    if any(isinstance(row, Failure) for row in rows):
        sys.exit("not everything could be measured: see the lines that say why")
    if any(isinstance(row, Row) and row.faults for row in rows):
        sys.exit("messages were lost, doubled or reordered")


if __name__ == "__main__":
    main()
