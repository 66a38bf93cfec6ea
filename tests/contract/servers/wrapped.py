"""The application below wrappers of others; `X-Wrapper` names the one that a request meets."""

from __future__ import annotations

from functools import partial
from typing import Any
from wsgiref.validate import validator

from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware
from sentry_sdk.integrations.wsgi import SentryWsgiMiddleware

from tests.live.app import app as inner

KEPT = ("HTTP_", "wsgi.", "REQUEST_", "PATH_", "QUERY_", "SCRIPT_", "SERVER_", "REMOTE_", "CONTENT_")


def closure(environ: dict[str, Any], start_response: Any) -> Any:
    """Add a header, as many do."""

    def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        return start_response(status, [*headers, ("X-Outer", "yes")], exc_info)

    return inner(environ, start)


def generator(environ: dict[str, Any], start_response: Any) -> Any:
    """Ask the application only when the server asks for the answer."""
    yield from inner(environ, start_response)


def gathered(environ: dict[str, Any], start_response: Any) -> Any:
    return list(inner(environ, partial(start_response)))


def stripped(environ: dict[str, Any], start_response: Any) -> Any:
    """Hand on only what PEP 3333 knows, to an answer that is wrapped twice."""
    environ = {key: value for key, value in environ.items() if key.startswith(KEPT)}
    yield from inner(environ, lambda *head: start_response(*head))


class Reader:
    """A body that is looked at on its way."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def read(self, *size: int) -> bytes:
        data: bytes = self._stream.read(*size)
        return data


def looking(environ: dict[str, Any], start_response: Any) -> Any:
    environ["wsgi.input"] = Reader(environ["wsgi.input"])
    return closure(environ, start_response)


WRAPPERS: dict[str, Any] = {
    "closure": closure,
    "generator": generator,
    "gathered": gathered,
    "stripped": stripped,
    "looking": looking,
    "validator": validator(inner),
    "sentry": SentryWsgiMiddleware(inner),
    "opentelemetry": OpenTelemetryMiddleware(inner),
    "all": OpenTelemetryMiddleware(SentryWsgiMiddleware(looking)),
}


def app(environ: dict[str, Any], start_response: Any) -> Any:
    return WRAPPERS.get(environ.get("HTTP_X_WRAPPER", ""), inner)(environ, start_response)
