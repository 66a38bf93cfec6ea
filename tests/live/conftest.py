"""One server for each module, with the module's `LIMITS`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.live.server import Server, serve


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with serve(request.module.LIMITS) as server:
        yield server
