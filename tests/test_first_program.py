"""README's first program, as a reader types it: its install, its serve command and its two curls, where nothing else is."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.live.server import LIMIT_SECONDS, STOP_SECONDS

ROOT = Path(__file__).resolve().parents[1]
INSTALL_SECONDS = 400
README = (ROOT / "README.md").read_text()


def printed() -> tuple[str, str, list[str], list[str]]:
    """Return the name of the file, what is in it, and the lines of the two shell blocks behind it."""
    found = re.search(
        r"^`(\S+\.py)`:\n\n```python run\n(.*?)^```.*?^```sh\n(.*?)^```.*?^```sh\n(.*?)^```", README, re.S | re.M
    )
    assert found is not None, "README has no first program"
    return found[1], found[2], found[3].splitlines(), found[4].splitlines()


@contextmanager
def running(command: str, folder: Path, environ: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Run a line of a shell for the length of the block."""
    process = subprocess.Popen(
        ["sh", "-c", f"exec {command}"], cwd=folder, env=environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=STOP_SECONDS)


@pytest.mark.timeout(INSTALL_SECONDS + 120)
def test_the_first_program_of_the_readme_runs_as_it_is_printed(tmp_path: Path) -> None:
    name, source, (install, serve), (listen, say) = printed()
    checkout, venv = tmp_path / "checkout", tmp_path / "venv"
    shutil.copytree(ROOT / "cometware", checkout / "cometware", ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, checkout / file)
    (checkout / name).write_text(source)
    subprocess.run([sys.executable, "-m", "venv", venv], check=True, timeout=INSTALL_SECONDS)
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV", "COV"))}
    environ = kept | {"PATH": f"{venv / 'bin'}:{os.environ['PATH']}", "PYTHONUNBUFFERED": "1"}
    done = subprocess.run(
        install, shell=True, cwd=checkout, env=environ, capture_output=True, text=True, timeout=INSTALL_SECONDS
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for command in (serve, listen, say):
        assert "127.0.0.1:8000" in command
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    serve, listen, say = (command.replace("8000", port) for command in (serve, listen, say))
    with running(serve, checkout, environ) as server:
        assert server.stdout is not None
        first = server.stdout.readline()
        assert "websocket, sse, stream, poll at /comet" in first, first + server.stdout.read()
        with running(listen, checkout, environ) as listener:
            assert listener.stdout is not None
            assert listener.stdout.readline()  # the server has it
            said = subprocess.run(say, shell=True, env=environ, capture_output=True, text=True, timeout=LIMIT_SECONDS)
            assert said.stdout == '{"accepted":1}\n'
            line = listener.stdout.readline()
            while line and not line.startswith("data: "):
                line = listener.stdout.readline()
            assert line == 'data: {"from":null,"text":"hello"}\n'
