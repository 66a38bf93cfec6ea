"""Nothing but a channel with all that `Cometware` can switch on."""

from __future__ import annotations

from typing import Any

from cometware import Channel, Client, Cometware

channel = Channel()


@channel.on_message
def said(client: Client, data: Any) -> None:
    """Anything may be said."""


def nothing(environ: object, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"the application as it was"]


app = Cometware(
    nothing,
    channel,
    status_token="token",
    publish_token="token",
    hooks="/realtime",
    sockjs_script="/sockjs.js",
)
