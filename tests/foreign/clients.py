"""Other people's clients, as they come from npm, in processes of their own."""

from __future__ import annotations

import json
import queue
import subprocess
import threading
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
MODULES = ROOT / ".tools" / "socketio" / "node_modules"
LIMIT_SECONDS = 60.0


def tagged(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"$bytes": b64encode(value).decode()}
    if isinstance(value, list | tuple):
        return [tagged(item) for item in value]
    return {key: tagged(item) for key, item in value.items()} if isinstance(value, dict) else value


def untagged(value: Any) -> Any:
    if isinstance(value, list):
        return [untagged(item) for item in value]
    if isinstance(value, dict):
        return b64decode(value["$bytes"]) if "$bytes" in value else {key: untagged(item) for key, item in value.items()}
    return value


class SocketIO:
    """A socket.io-client of a major version. `lines` are what it told, oldest first."""

    def __init__(self, version: int, port: int, **options: Any) -> None:
        options = {"path": "/comet/socket.io", "forceNew": True, "timeout": 120_000, **options}
        module = str(MODULES / f"client{version}")
        command = [
            "node",
            str(Path(__file__).with_name("socketio.js")),
            module,
            f"http://127.0.0.1:{port}",
            json.dumps(options),
        ]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.told: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self.kept: list[dict[str, Any]] = []
        self._acks = 0
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.told.put(untagged(json.loads(line)))
        self.told.put(None)

    def __enter__(self) -> SocketIO:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(LIMIT_SECONDS)
        self._thread.join(LIMIT_SECONDS)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def wait(self, **wanted: Any) -> dict[str, Any]:
        """Return the next thing told that is like this; what came before it is kept for others."""
        for index, line in enumerate(self.kept):
            if wanted.items() <= line.items():
                return self.kept.pop(index)
        while True:
            try:
                line_or_end = self.told.get(timeout=LIMIT_SECONDS)
            except queue.Empty:
                raise AssertionError(f"no {wanted} within {LIMIT_SECONDS} s; what came was {self.kept[-10:]}") from None
            assert line_or_end is not None, f"the client has ended; what came was {self.kept[-10:]}"
            if wanted.items() <= line_or_end.items():
                return line_or_end
            self.kept.append(line_or_end)

    def connected(self, namespace: str = "/") -> dict[str, Any]:
        return self.wait(on="connect", namespace=namespace)

    def event(self, name: str, namespace: str = "/") -> list[Any]:
        """Return the arguments of the next event of this name."""
        return list(self.wait(on="event", name=name, namespace=namespace)["args"])

    def command(self, **what: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(tagged(what)) + "\n")
        self._process.stdin.flush()

    def emit(self, *args: Any, namespace: str = "/") -> None:
        self.command(emit=args, namespace=namespace)

    def ask(self, *args: Any, namespace: str = "/") -> list[Any]:
        """Emit an event, and return what its acknowledgement says."""
        self._acks += 1
        self.command(emit=args, namespace=namespace, ack=self._acks)
        return list(self.wait(on="ack", ack=self._acks)["args"])

    def ask_within(self, timeout: float, *args: Any) -> tuple[str | None, list[Any]]:
        """Emit an event by `socket.timeout(…)`, in seconds; return the error and the arguments that the callback gets."""
        self._acks += 1
        self.command(emit=args, ack=self._acks, timeout=1000 * timeout)
        answer = self.wait(on="ack", ack=self._acks)
        return answer["error"], answer["args"]
