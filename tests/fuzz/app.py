"""All that `Cometware` can do, for strangers to try: handlers, hooks, namespaces, SockJS, tokens."""

from __future__ import annotations

import json
import os
from typing import Any
from urllib.parse import parse_qsl

from cometware import Channel, Client, Cometware, Limits

limits = Limits(
    rates=None,
    max_message_bytes=20_000,
    poll_seconds=0.5,
    heartbeat_seconds=2,
    pong_seconds=5,
    grace_seconds=1,
    session_seconds=0.5,
    order_seconds=0.3,
    body_seconds=2,
    answer_seconds=10,
    overlap_seconds=0.5,
    tail_seconds=0,
)
url = os.environ.get("CHANNEL", "memory:")
channel, admin = Channel(url, limits=limits), Channel(url, name="admin", limits=limits)


@channel.on_message
@admin.on_message
def said(client: Client, data: Any) -> None:
    """Let everybody hear it, so that every dialect has to write it."""
    try:
        channel.publish(data)
    except ValueError:
        client.send("no data for all")


@channel.on("echo")
@admin.on("echo")
def echo(client: Client, data: Any) -> Any:
    return data


@channel.on("room")
def room(client: Client, data: Any) -> None:
    client.join("room:a")
    client.data["said"] = str(data)[:100]


def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """The views, and the hooks."""
    body = environ["wsgi.input"].read()
    path = environ["PATH_INFO"]
    if "cometware.hook" in environ and path.startswith("/realtime/event/"):
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps({"publish": [{"data": json.loads(body)["data"]}], "heard": True}).encode()]
    if path.startswith("/realtime/"):
        start_response("204 No Content", [])
        return []
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"alive"]


def user(environ: dict[str, Any]) -> str | None:
    return dict(parse_qsl(environ.get("HTTP_COOKIE", "").replace(";", "&"))).get("user")


app = Cometware(  # type: ignore[assignment]
    app,
    {"/": channel, "/admin": admin},
    user=user,
    status_token="token",
    publish_token="token",
    hooks="/realtime",
    sockjs_script="/sockjs.js",
    recovery=True,
    threads=int(os.environ.get("THREADS", "0")),
    allowed_origins=["https://site.example"],
)
