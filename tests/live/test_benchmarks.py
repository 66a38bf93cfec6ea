"""The benchmarks still run, and what they measure is right. How fast it is, no test may say."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

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
    run = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=110)
    assert run.returncode == 0, run.stdout
    found: list[dict[str, Any]] = json.loads(file.read_text())
    return found


def test_nothing_is_lost_doubled_or_reordered(rows: list[dict[str, Any]]) -> None:
    assert [row for row in rows if row["faults"] != {"lost": 0, "doubled": 0, "reordered": 0}] == []


def test_every_ratio_is_a_positive_number(rows: list[dict[str, Any]]) -> None:
    assert len(rows) == MEASURED
    assert [row for row in rows if not 0 < row["ratio"] < math.inf] == []


@pytest.mark.full
def test_what_several_workers_cost_is_measured(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    command = [sys.executable, "-m", "benchmarks", *SHARED, "--short", "--json", str(file)]
    run = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=110)
    assert run.returncode == 0, run.stdout
    found: list[dict[str, Any]] = json.loads(file.read_text())
    assert [row for row in found if not 0 < row["value"] < math.inf or not 0 < row["ratio"] < math.inf] == []
    assert {row["server"] for row in found} == {"memory", "SQLite", "Redis"}
    (commands,) = [row["value"] for row in found if row["measure"].endswith(": commands")]
    assert commands == 2
