"""The services that the SockJS test suite asks of a server: `/echo`, `/close`, `/cookie_needed_echo`, each a channel."""

from __future__ import annotations

import json
import os
from typing import Any

import gevent.event

from cometware import Channel, Client, Cometware, Limits

LIMITS = Limits(**({"response_bytes": 4096} | json.loads(os.environ.get("LIMITS", "{}"))))


def nothing(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("404 Not Found", [("Content-Length", "0")])
    return []


def service(path: str, **options: Any) -> Channel:
    channel = Channel(os.environ.get("CHANNEL", "memory:"), name=path[1:], limits=LIMITS)
    wrapped = Cometware(nothing, channel, f"/channel{path}", sockjs=path, allowed_origins=["*"], **options)
    SERVICES[path] = wrapped
    return channel


SERVICES: dict[str, Cometware] = {}
echo = service("/echo", sockjs_script="/sockjs.min.js")
cookie_needed = service("/cookie_needed_echo", sockjs_cookie=True)
close = service("/close")
slow = service("/slow")
gate = gevent.event.Event()


@echo.on_message
@cookie_needed.on_message
def said(client: Client, data: Any) -> None:
    client.send(data)


@slow.on_message
def waited(client: Client, data: Any) -> None:
    """Handle nothing before somebody says so."""
    client.send("begun")
    if data == "go":
        gate.set()
    gate.wait(240)


@close.on_open
def opened(client: Client) -> None:
    client.close(3000, "Go away!")


def app(environ: dict[str, Any], start_response: Any) -> Any:
    path = environ["PATH_INFO"]
    for prefix, wrapped in SERVICES.items():
        if path.startswith(prefix):
            return wrapped(environ, start_response)
    return nothing(environ, start_response)
