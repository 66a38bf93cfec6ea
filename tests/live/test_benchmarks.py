"""The benchmarks still run, and what they measure is right. How fast it is, no test may say."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import load
from benchmarks.__main__ import shown
from benchmarks.measures import SHORT, WEBSOCKET, Bench, Failure, Row, run
from benchmarks.servers import COMETWARE, FLOOR

ROOT = Path(__file__).parents[2]
NAMES = ("websocket", "poll", "idle")
"""What is measured each time; `make bench` measures all."""
SHARED = ("delivery", "publish", "mirror", "memory", "resume")
MEASURED = 18
"""Lines of a short run: each measure, of the floor (or the bare application) and of cometware by each protocol."""


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Make a short run in a process of its own: it pins itself to a core."""
    file = tmp_path_factory.mktemp("benchmarks") / "rows.json"
    command = [sys.executable, "-m", "benchmarks", *NAMES, "--short", "--json", str(file)]
    run = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=240)
    assert run.returncode == 0, run.stdout
    found: list[dict[str, Any]] = json.loads(file.read_text())
    return found


def test_nothing_is_lost_doubled_or_reordered(rows: list[dict[str, Any]]) -> None:
    assert [row for row in rows if row["faults"] != {"lost": 0, "doubled": 0, "reordered": 0}] == []


def test_every_ratio_is_a_positive_number(rows: list[dict[str, Any]]) -> None:
    assert len(rows) == MEASURED
    assert [row for row in rows if not 0 < row["ratio"] < math.inf] == []


@pytest.fixture
def on_its_cores() -> Iterator[None]:
    """Give this process its cores back: a bench pins it to one."""
    before = os.sched_getaffinity(0)
    yield
    os.sched_setaffinity(0, before)


@pytest.mark.usefixtures("on_its_cores")
def test_who_is_there_is_attended_to_while_others_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "ATTEND_SECONDS", 0)
    with Bench(SHORT) as bench, bench.crowd(bench.server(FLOOR), WEBSOCKET, 2) as there:
        there._publish(1)
        assert there.faults.lost == 3  # its publisher hears it, too
        with bench.crowd(bench.server(FLOOR), WEBSOCKET, 2, meanwhile=there.idle):
            assert there.faults.lost == 0


@pytest.mark.usefixtures("on_its_cores")
def test_a_server_that_dies_spoils_no_line_but_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bench, "names", lambda self, transport: [FLOOR, COMETWARE])
    victims = [COMETWARE]

    def measure(bench: Bench) -> list[Row]:
        with bench.crowds("echo", WEBSOCKET, 5, publishing=False) as crowds:
            for crowd in crowds:
                if crowd.server.name in victims:
                    os.kill(crowd.server.pid, signal.SIGKILL)
            victims.clear()
            return bench.rounds("echo", crowds, lambda crowd: crowd.echo(0.05), lambda tally: tally.cpu_each, "s")

    lines = run({"echo": measure}, ["echo", "echo"], SHORT, lambda line: None)
    assert [(line.server, type(line)) for line in lines] == [
        (FLOOR, Row),
        (COMETWARE, Failure),
        (FLOOR, Row),
        (COMETWARE, Row),
    ]
    assert shown(lines[1]).startswith("| echo | cometware | failed |  | Connection")


@pytest.mark.full
def test_what_several_workers_cost_is_measured(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    command = [sys.executable, "-m", "benchmarks", *SHARED, "--short", "--json", str(file)]
    run = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=240)
    assert run.returncode == 0, run.stdout
    found: list[dict[str, Any]] = json.loads(file.read_text())
    assert [row for row in found if not 0 < row["value"] < math.inf or not 0 < row["ratio"] < math.inf] == []
    assert {row["server"] for row in found} == {"memory", "SQLite", "Redis"}
    (commands,) = [row["value"] for row in found if row["measure"].endswith(": commands")]
    assert commands == 2


@pytest.mark.parametrize(
    ("arguments", "rows"),
    [
        (["benchmarks.attacks", "nothing", "pipelined views", "--seconds", "0.5", "--connections", "2"], 2),
        (["benchmarks.prices", "a view", "query names", "--count", "20"], 2),
    ],
)
def test_what_strangers_can_do_is_measured(arguments: list[str], rows: int) -> None:
    command = [sys.executable, "-m", *arguments]
    run = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=240)
    assert run.returncode == 0, run.stdout
    table = [line for line in run.stdout.splitlines() if line.startswith("|")]
    assert len(table) == 2 + rows, run.stdout
    assert "nan" not in run.stdout
