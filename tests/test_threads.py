"""The wrapped application in native threads, without a server."""

from __future__ import annotations

import io
import sys
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


def ask(app: Any) -> tuple[list[tuple[Any, ...]], list[bytes]]:
    """Run an application in a thread; return each `start_response`, and its output."""
    heads: list[tuple[Any, ...]] = []

    def start_response(*head: Any) -> None:
        heads.append(head)

    result: Any = InThreads(app, 1)({"wsgi.input": io.BytesIO()}, start_response)
    try:
        return heads, list(result)
    finally:
        if hasattr(result, "close"):
            result.close()


def test_a_list_that_wants_to_be_closed_is_closed() -> None:
    class Kept(list[bytes]):
        closed = 0

        def close(self) -> None:
            self.closed += 1

    kept = Kept([b"one", b"two"])

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Kept:
        start_response("200 OK", [])
        return kept

    assert ask(app)[1] == [b"one", b"two"]
    assert kept.closed == 1


def test_an_application_may_change_its_mind_before_its_first_output() -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        start_response("200 OK", [])
        try:
            raise ValueError("too late for the first")
        except ValueError:
            start_response("500 Oh", [], sys.exc_info())
        yield b"sorry"

    heads, output = ask(app)
    assert [head[0] for head in heads] == ["500 Oh"]
    assert output == [b"sorry"]


def test_a_head_comes_too_late_behind_the_first_output() -> None:
    """PEP 3333: the server raises the application's own exception, by which the connection is broken off."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"the first half"
        try:
            raise ValueError("in the middle")
        except ValueError:
            start_response("500 Oh", [], sys.exc_info())
        yield b"a page about the error, which nobody wants to find in the second half"

    with pytest.raises(ValueError, match="in the middle"):
        ask(app)


def test_a_second_head_without_an_exception_is_the_applications_error() -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("200 OK", [])
        start_response("201 Created", [])
        return []

    with pytest.raises(AssertionError, match="second time"):
        ask(app)
