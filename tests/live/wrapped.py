"""The application of the tests with things around it, as deployments have them: what `cometware serve` is told to serve."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from flask import Flask
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from whitenoise import WhiteNoise

from cometware import Channel, Cometware
from tests.live.app import app as site


def nothing_here(environ: Any, start_response: Any) -> Iterable[bytes]:
    start_response("404 Not Found", [("Content-Length", "0")])
    return []


def around(app: Any) -> Callable[[Any, Any], Iterable[bytes]]:
    """A plain closure, which says nothing of what it wraps."""

    def wrapped(environ: Any, start_response: Any) -> Iterable[bytes]:
        result: Iterable[bytes] = app(environ, start_response)
        return result

    return wrapped


class Instrumented:
    """As instrumentations do it: it keeps the application under a name of its own, and wraps `start_response`."""

    def __init__(self, wsgi: Any) -> None:
        self.wsgi = wsgi

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        def started(status: str, headers: Any, *error: Any) -> Any:
            return start_response(status, headers, *error)

        result: Iterable[bytes] = self.wsgi(environ, started)
        return result


proxy_fix = ProxyFix(site)
white_noise = WhiteNoise(site, root=str(Path(__file__).parent), prefix="static/")
telemetry = OpenTelemetryMiddleware(site)
packages = ProxyFix(OpenTelemetryMiddleware(white_noise))
closure = around(site)
instrumented = Instrumented(site)
everything = ProxyFix(Instrumented(around(site)))
mount = DispatcherMiddleware(nothing_here, {"/shop": site})
mount_everything = ProxyFix(DispatcherMiddleware(nothing_here, {"/shop": around(Instrumented(site))}))  # type: ignore[arg-type]


def create_app(greeting: str = "made", *, loud: bool = False) -> Flask:
    """An application factory."""
    made = Flask("made")
    made.wsgi_app = Cometware(made.wsgi_app, Channel(name="made"))  # type: ignore[method-assign]
    made.add_url_rule("/greeting", view_func=lambda: greeting.upper() if loud else greeting, endpoint="greeting")
    return made


def create_with(greeting: str) -> Flask:
    return create_app(greeting)
