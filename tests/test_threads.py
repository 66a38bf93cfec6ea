"""The wrapped application in native threads, without a server."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cometware.threads import InThreads


class Failing:
    """An iterable that breaks before its first chunk."""

    closed = 0

    def __iter__(self) -> Iterator[bytes]:
        raise ConnectionError("before the first chunk")

    def close(self) -> None:
        self.closed += 1


def test_an_answer_that_fails_before_its_first_chunk_is_closed() -> None:
    failing = Failing()

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Failing:
        start_response("200 OK", [])
        return failing

    with pytest.raises(ConnectionError, match="before the first chunk"):
        InThreads(app, 1)({"wsgi.input": io.BytesIO()}, lambda *_: None)
    assert failing.closed == 1
