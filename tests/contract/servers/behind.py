"""The application behind a middleware that replaces `start_response`, as many do."""

from __future__ import annotations

from typing import Any

from tests.live.app import app as inner


def app(environ: dict[str, Any], start_response: Any) -> Any:
    def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        return start_response(status, [*headers, ("X-Outer", "yes")], exc_info)

    return inner(environ, start)
