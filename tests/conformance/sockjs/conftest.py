"""One server with the services of the SockJS suite, for all its clauses."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.live.server import Server, serve


@pytest.fixture(scope="package")
def port() -> Iterator[int]:
    with serve(application="tests.conformance.sockjs.services:app") as server:
        yield server.port


@pytest.fixture(scope="package")
def threaded() -> Iterator[Server]:
    """The same under a server that cannot carry WebSockets."""
    gunicorn = [sys.executable, "-m", "gunicorn", "--threads", "8", "--keep-alive", "60", "--graceful-timeout", "1"]
    command = [*gunicorn, "--bind", "127.0.0.1:0", "-k", "gthread", "tests.conformance.sockjs.services:app"]
    with serve(command=command) as server:
        yield server
