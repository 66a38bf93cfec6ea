"""A server that can be killed and started again at the same port, as a client that comes back needs it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import IO, Any

from tests.live.server import ROOT, STOP_SECONDS, Server, _port
from tests.proxies.foreground import free_port


class Restarting:
    """`server` is the running one. `kill` leaves it no time to say anything; `start` runs another one in its place."""

    server: Server

    def __init__(self, limits: dict[str, Any], errors: IO[str]) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/comet"
        self._limits = limits
        self._errors = errors
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> Server:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "cometware", "serve", "tests.live.app:app", "--bind", f"127.0.0.1:{self.port}"],
            cwd=ROOT,
            env=os.environ | {"LIMITS": json.dumps(self._limits)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self.server = Server(self._process, _port(self._process, self._errors), self._errors)
        return self.server

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.wait(STOP_SECONDS)
            assert process.stdout is not None
            process.stdout.close()

    def restart(self) -> Server:
        self.kill()
        return self.start()


@contextlib.contextmanager
def restarting(limits: dict[str, Any] | None = None) -> Iterator[Restarting]:
    with tempfile.TemporaryFile("w+") as errors:
        server = Restarting(limits or {}, errors)
        server.start()
        try:
            yield server
        finally:
            server.kill()
