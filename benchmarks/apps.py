"""The application under test: an ordinary Flask app, bare and with its channel."""

from __future__ import annotations

from typing import Any

from flask import Flask

from cometware import Channel, Client, Cometware


def make() -> Flask:
    """Make the legacy application."""
    flask_app = Flask(__name__)

    @flask_app.get("/")
    def index() -> str:
        return "hello"

    return flask_app


bare = make()
app = make()
channel = Channel()


@channel.on_message
def said(client: Client, data: Any) -> None:
    """What begins with `E` goes back to its sender, anything else to everybody."""
    if data.startswith("E"):
        client.send(data)
    else:
        channel.publish(data)


app.wsgi_app = Cometware(app.wsgi_app, channel)  # type: ignore[method-assign]
