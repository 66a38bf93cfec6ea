"""An environment that has nothing but what was installed into it, as somebody has who follows the README."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.live.server import ROOT

_SECONDS = 240
_SOURCES = ("cometware", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")
_PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")


def checkout(folder: Path) -> Path:
    """Copy what a package is made of: to build it leaves files behind."""
    for name in _SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            folder.mkdir(exist_ok=True)
            shutil.copy(source, folder / name)
    return folder


def wheel(folder: Path) -> Path:
    """Build the package once, for all environments."""
    build = [*_PIP, "wheel", "--no-deps", "--wheel-dir", str(folder), "."]
    subprocess.run(build, cwd=checkout(folder / "cometware"), check=True, timeout=_SECONDS)
    (found,) = folder.glob("*.whl")
    return found


class Environment:
    """A fresh virtual environment. It has no pip of its own, which takes the most time to make."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=_SECONDS)

    def install(self, *requirements: str, cwd: Path | None = None) -> None:
        """Do what `pip install` does; from pip's cache in a second or two."""
        command = [*_PIP[:3], "--python", str(self.folder), *_PIP[3:], "install", "--no-compile", *requirements]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, cwd=cwd)
        assert done.returncode == 0, done.stderr

    def command(self, name: str) -> str:
        return str(self.folder / "bin" / name)

    @property
    def environ(self) -> dict[str, str]:
        """Nothing of the tests' own environment is found."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
        return kept | {"PATH": f"{self.folder / 'bin'}:{kept['PATH']}"}
