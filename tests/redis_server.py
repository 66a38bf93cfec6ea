"""A redis-server of a test's own, on a free port; what it keeps is in the folder that it is given."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import redis

from tests.proxies.foreground import free_port

SECONDS = 60


class RedisServer:
    """Started at once; `stop` and `kill` end it, `start` brings it back on the same port."""

    def __init__(self, folder: Path, *options: str, configuration: Path | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()
        self.options = options
        self.configuration = [] if configuration is None else [str(configuration)]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    @classmethod
    def sentinel(cls, folder: Path, config: Path) -> RedisServer:
        """A Sentinel instead; it rewrites its configuration."""
        return cls(folder, "--sentinel", configuration=config)

    def start(self) -> None:
        command = ["redis-server", *self.configuration]
        command += ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--save", ""]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([*command, *self.options], stdout=log, stderr=log)
        self.wait()

    def wait(self) -> None:
        """Return when it answers."""
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                with self.client() as client:
                    client.ping()
                return
            except redis.RedisError:
                assert self.process is not None
                assert self.process.poll() is None, (self.folder / "log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.005)

    def client(self, **options: Any) -> Any:
        return redis.Redis(port=self.port, **options)

    def kill(self) -> None:
        """End it without a word."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(SECONDS)

    def stop(self) -> None:
        assert self.process is not None
        self.process.terminate()
        self.process.wait(SECONDS)
