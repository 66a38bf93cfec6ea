"""Several applications, each with a channel, that differ in what they believe of a proxy."""

from __future__ import annotations

from typing import Any

import django
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from cometware import Channel, Cometware
from cometware.flask import Comet

settings.configure(
    SECRET_KEY="x",
    ROOT_URLCONF="tests.live.proxied",
    ALLOWED_HOSTS=["shop.example"],
    USE_X_FORWARDED_HOST=True,
    SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https"),
)
django.setup()
urlpatterns: list[Any] = []


def channel() -> Channel:
    made = Channel()
    made.on_message(lambda client, data: None)
    return made


def inside(**counts: int) -> Any:
    """The order of most factories."""
    app = Flask("inside")
    app.wsgi_app = ProxyFix(app.wsgi_app, **counts)  # type: ignore[method-assign]
    Comet(app, channel())
    return app


def outside(**counts: int) -> Any:
    app = Flask("outside")
    Comet(app, channel())
    app.wsgi_app = ProxyFix(app.wsgi_app, **counts)  # type: ignore[method-assign]
    return app


APPS = {
    "inside": inside(x_for=1, x_proto=1, x_host=1),
    "outside": outside(x_for=1, x_proto=1, x_host=1),
    "blind": inside(x_for=1, x_proto=1),
    "plain": Cometware(Flask("plain").wsgi_app, channel()),
    "django": Cometware(WSGIHandler(), channel()),
}


def route(environ: dict[str, Any], start_response: Any) -> Any:
    _, name, *rest = environ["PATH_INFO"].split("/")
    if name not in APPS:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"alive"]
    return APPS[name]({**environ, "PATH_INFO": "/" + "/".join(rest)}, start_response)


app = Cometware(route, channel())
