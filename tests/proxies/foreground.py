"""Programs in the foreground: each in a process group of its own, in a scratch folder, ended by its own id.

What these tests start dies with them: with the block that started it, or with the process that did.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

LISTENING_SECONDS = 60.0
STOPPING_SECONDS = 3.0
TRIES = 3


class MissingProgram(Exception):
    """A program that the tests need is not there; `.ci/install-system` installs it."""

    def __init__(self, name: str, installer: str = ".ci/install-system") -> None:
        super().__init__(name, installer)
        self.name = name
        self.installer = installer

    def __str__(self) -> str:
        return f"{self.name} is not installed: run {self.installer}"


class DidNotStart(Exception):
    """A program ended, or did not listen in time; the text is what it wrote."""


def find_program(name: str) -> str:
    """Return the path of a program, also of one that only the system's administrator has on the PATH.

    Raises:
        MissingProgram: It is not installed.
    """
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        raise MissingProgram(name)
    return found


def free_port() -> int:
    """Return a loopback port that is free and that the system gives to nobody who asks for any.

    So a server may leave it and come back to it. It is drawn by lot: tests that run side by side do not draw the same.
    """
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    ports = range(11_000, lowest if lowest > 12_000 else 60_000)  # browsers refuse some below, up to 10080
    while True:
        port = secrets.choice(ports)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


class Foreground:
    """A running program, and the file that takes what it writes."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path) -> None:
        self._process = process
        self._output = output

    @property
    def running(self) -> bool:
        return not _ended(self._process.pid)

    @property
    def pid(self) -> int:
        return self._process.pid

    def output(self) -> str:
        """Return the last 4,000 characters that the program wrote to its standard output and error."""
        return self._output.read_text(errors="replace")[-4000:]


@contextlib.contextmanager
def foreground(
    arguments: Sequence[str | Path], *, folder: Path, environ: dict[str, str] | None = None
) -> Iterator[Foreground]:
    """Run a program in `folder` for the length of the block; then end its process group and wait for it."""
    output = folder / "output.log"
    # The kernel ends it if we die without a chance to clean up.
    guarded = [find_program("setpriv"), "--pdeathsig", "TERM", "--", *map(str, arguments)]
    with output.open("ab") as sink:
        process = subprocess.Popen(
            guarded,
            cwd=folder,
            env={**os.environ, **(environ or {})},
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
    try:
        yield Foreground(process, output)
    finally:
        _end_group(process)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End the group that the process leads, also when the leader has already gone.

    The leader is reaped last: until then its id, and so the group's, cannot belong to anybody else.
    """
    _signal_group(process.pid, signal.SIGTERM)
    limit = time.monotonic() + STOPPING_SECONDS
    while time.monotonic() < limit and not _ended(process.pid):
        time.sleep(0.005)
    _signal_group(process.pid, signal.SIGKILL)
    process.wait()


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


def _ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


@contextlib.contextmanager
def listening(
    arguments: Callable[[int, Path], Sequence[str | Path]], *, environ: dict[str, str] | None = None
) -> Iterator[int]:
    """Run a server on a free loopback port for the length of the block; the value is the port.

    `arguments(port, folder)` writes what the server needs into its scratch folder and returns the command
    line.

    Raises:
        DidNotStart: It ended, or did not accept a connection in `LISTENING_SECONDS`.
    """
    with contextlib.ExitStack() as stack:
        for left in reversed(range(TRIES)):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cometware-test-")))
            port = free_port()
            process = stack.enter_context(foreground(arguments(port, folder), folder=folder, environ=environ))
            try:
                _wait_until_listening(process, port)
            except DidNotStart:  # Perhaps somebody else took the port.
                if not left:
                    raise
                stack.close()
                continue
            break
        yield port


def _wait_until_listening(process: Foreground, port: int) -> None:
    limit = time.monotonic() + LISTENING_SECONDS
    while time.monotonic() < limit:
        if not process.running:
            raise DidNotStart(process.output())
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.01)
    raise DidNotStart(f"nothing listens after {LISTENING_SECONDS} s: {process.output()}")
