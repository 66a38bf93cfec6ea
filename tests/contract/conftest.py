"""The servers of all contract tests. Each test brings clients and rooms of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.live.server import PATIENT, Server, serve


@pytest.fixture(scope="package")
def server() -> Iterator[Server]:
    """A server on which nothing happens by a clock."""
    with serve(PATIENT | {"max_message_bytes": 65536, "order_seconds": 60}) as server:
        yield server


@pytest.fixture(scope="package")
def hasty_server() -> Iterator[Server]:
    """A server whose clocks are fast."""
    with serve({"heartbeat_seconds": 0.5, "poll_seconds": 0.5, "order_seconds": 0.25}) as server:
        yield server
