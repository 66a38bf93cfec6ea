"""The kit in a Django project's own test run: its test database, its transactions, its sessions."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.live.server import ROOT
from tests.postgresql_server import postgresql


@pytest.mark.parametrize("database", ["SQLite in memory", "an SQLite file", "PostgreSQL"])
def test_a_django_project_tests_its_channel_with_its_own_runner(tmp_path: Path, database: str) -> None:
    command = [sys.executable, "-W", "error", "-m", "django", "test", "tests.testing.django_cases"]
    environment = os.environ | {
        "DJANGO_DATABASE": str(tmp_path / "site.db"),
        "DJANGO_SETTINGS_MODULE": "tests.hooks.django_site.settings",
    }
    with ExitStack() as stack:
        if database == "an SQLite file":
            environment["DJANGO_TEST_DATABASE"] = str(tmp_path / "test.db")
        elif database == "PostgreSQL":
            environment["DJANGO_POSTGRESQL"] = str(stack.enter_context(postgresql()))
        run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240)
    assert (run.returncode, "Ran 7 tests" in run.stderr) == (0, True), run.stderr
