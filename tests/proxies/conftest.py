"""The origin server that stands behind the proxies, one for all tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from origin import origin


@pytest.fixture(scope="module")
def origin_port() -> Iterator[int]:
    with origin() as port:
        yield port
