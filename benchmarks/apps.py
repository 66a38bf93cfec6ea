"""The application under test: an ordinary Flask app, bare, with its channel, and with views that block in native threads."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from flask import Flask, Response
from gevent import monkey

from benchmarks.servers import THREADS
from cometware import Channel, Client, Cometware, Limits


def make() -> Flask:
    """Make the legacy application."""
    flask_app = Flask(__name__)

    @flask_app.get("/")
    def index() -> str:
        return "hello"

    return flask_app


def make_blocking() -> Flask:
    """Make one whose views say that they have begun, and then hold their thread."""
    flask_app = make()
    sleep = monkey.get_original("time", "sleep")

    @flask_app.get("/sleep/<float:seconds>")
    def sleeping(seconds: float) -> Response:
        def pieces() -> Iterator[bytes]:
            yield b"begun"
            sleep(seconds)

        return Response(pieces())

    @flask_app.get("/compute/<float:seconds>")
    def computing(seconds: float) -> Response:
        def pieces() -> Iterator[bytes]:
            yield b"begun"
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                pass

        return Response(pieces())

    return flask_app


bare = make()
app = make()
blocking = make_blocking()
dated = make()
limits = Limits(rates=None)  # all of a load comes from one address
channel = Channel(limits=limits)
dated_channel = Channel(limits=limits)


@channel.on_message
def said(client: Client, data: Any) -> None:
    """What begins with `E` goes back to its sender, anything else to everybody."""
    if data.startswith("E"):
        client.send(data)
    else:
        channel.publish(data)


@dated_channel.on_message
def asked(client: Client, data: Any) -> None:
    """Tell everybody, wherever they are, when this was published."""
    dated_channel.publish(moment())


def moment() -> str:
    return f"{time.monotonic():.7f}"


app.wsgi_app = Cometware(app.wsgi_app, channel)  # type: ignore[method-assign]
dated.wsgi_app = Cometware(dated.wsgi_app, dated_channel)  # type: ignore[method-assign]
blocking.wsgi_app = Cometware(blocking.wsgi_app, channel, threads=THREADS)  # type: ignore[method-assign]
