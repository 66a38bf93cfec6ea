"""The help desk of examples/django_app, with a database of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.server import ROOT

HELP_DESK = ROOT / "examples/django_app"


@pytest.fixture(scope="package")
def help_desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Fill the database; what is started meanwhile finds it and the project."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("django")
        patch.setenv("HELPDESK_DB", str(folder / "helpdesk.db"))
        patch.setenv("HELPDESK_CHANNEL", f"sqlite:///{folder}/channel.db")
        patch.setenv("PYTHONPATH", str(HELP_DESK))
        subprocess.run([sys.executable, "manage.py", "demo"], check=True, cwd=HELP_DESK, timeout=240)
        yield HELP_DESK
