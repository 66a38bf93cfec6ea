"""Sees that the code has changed: the process then begins anew, with the same command. For development."""

from __future__ import annotations

import os
import sys
import time
from typing import NoReturn

import click

_LOOK_SECONDS = 0.5
_FILES = 5000
"""Files of this folder that are looked at."""


class Changes:
    """Of the files of all modules that are loaded, and of the code in this folder."""

    def __init__(self) -> None:
        self._times = {name: _time(name) for name in _neighbours()}

    def wait(self) -> None:
        """Return when a file has changed; give way meanwhile."""
        while not (changed := self._look()):
            time.sleep(_LOOK_SECONDS)
        click.echo(f"cometware: {changed} has changed")

    def _look(self) -> str:
        """Return the name of a file that is not as it was. What was loaded meanwhile is no change."""
        for module in list(sys.modules.values()):
            name = getattr(module, "__file__", None)
            if isinstance(name, str):
                self._times.setdefault(name, _time(name))
        return next((name for name, changed_at in self._times.items() if _time(name) != changed_at), "")

    def restart(self) -> NoReturn:
        """Be the same program again."""
        sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, "-m", "cometware", *sys.argv[1:]])


def _time(name: str) -> int:
    try:
        return os.stat(name).st_mtime_ns
    except OSError:
        return 0


def _neighbours() -> list[str]:
    """Name the code in this folder: what could not be loaded, for a mistake in it, is there."""
    found = []
    for folder, folders, names in os.walk(os.getcwd()):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in ("node_modules", "site-packages")]
        found += [os.path.join(folder, name) for name in names if name.endswith(".py")]
    return found[:_FILES]
