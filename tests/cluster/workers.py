"""Several workers of one channel, behind a proxy that sends each request to any of them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from tests.live.server import Server, serve
from tests.proxies.foreground import find_program, listening


class Cluster(Server):
    """The workers as one server: each request of a test goes to any of them."""

    def __init__(self, port: int, workers: Sequence[Server], errors: IO[str]) -> None:
        self.workers = workers
        self.pid = workers[0].pid
        self.port = port
        self._errors = errors

    @property
    def errors(self) -> str:
        return "\n".join(worker.errors for worker in self.workers)


@contextmanager
def cluster(
    url: str,
    limits: dict[str, Any] | None = None,
    *,
    count: int = 2,
    name: str = "comet",
    application: str = "tests.live.app:app",
) -> Iterator[Cluster]:
    """Run so many workers of one channel for the length of the block."""
    with ExitStack() as stack:
        journal = stack.enter_context(tempfile.TemporaryDirectory(prefix="cometware-test-"))
        environ = {"CHANNEL": url, "NAME": name, "JOURNAL": journal}
        workers = [stack.enter_context(serve(limits, application=application, environ=environ)) for _ in range(count)]
        port = stack.enter_context(listening(lambda port, folder: haproxy(port, folder, [one.port for one in workers])))
        yield Cluster(port, workers, stack.enter_context(tempfile.TemporaryFile("w+")))


def haproxy(port: int, folder: Path, workers: Sequence[int]) -> Sequence[str | Path]:
    """Send each request, not only each connection, to any worker; one that does not answer is passed over."""
    configuration = [
        "global",
        "    maxconn 8192",
        "defaults",
        "    mode http",
        "    timeout connect 60s",
        "    timeout client 120s",
        "    timeout server 120s",
        "    timeout tunnel 1h",
        "    option http-no-delay",
        "    option redispatch 1",
        "    retries 6",
        "    retry-on conn-failure empty-response",
        "listen proxy",
        f"    bind 127.0.0.1:{port}",
        "    balance random",
        *(f"    server worker{index} 127.0.0.1:{worker}" for index, worker in enumerate(workers)),
    ]
    (folder / "haproxy.cfg").write_text("\n".join(configuration) + "\n")
    return [find_program("haproxy"), "-db", "-f", folder / "haproxy.cfg"]
