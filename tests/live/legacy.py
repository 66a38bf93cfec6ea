"""An application that had WebSocket endpoints by gevent-websocket before the channel came, as they are found in the wild."""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from typing import Any

from geventwebsocket import Resource, WebSocketApplication, WebSocketError
from geventwebsocket.protocols.base import BaseProtocol

from cometware import Channel, Client, Cometware, Limits


class Deliberate(Exception):
    """A failure that a test asked for."""


class ChatProtocol(BaseProtocol):  # type: ignore[misc]
    PROTOCOL_NAME = "chat"


class Chat(WebSocketApplication):  # type: ignore[misc]
    """Everybody here hears everybody: written as gevent-websocket's own examples are."""

    protocol_class = ChatProtocol

    def on_open(self) -> None:
        self.ws.send("welcome")

    def on_message(self, message: Any) -> None:
        if message is None:
            return
        for client in self.ws.handler.server.clients.values():
            client.ws.send(f"{len(self.ws.handler.server.clients)}: {message}")

    def on_close(self, reason: Any) -> None:
        closed.append(reason)


closed: list[Any] = []


def site(environ: dict[str, Any], start_response: Any) -> Any:
    view = VIEWS.get(environ["PATH_INFO"], missing)
    return view(environ, start_response)


def text(start_response: Any, status: str, body: str) -> list[bytes]:
    start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body))), ("X-View", "mine")])
    return [body.encode()]


def missing(environ: dict[str, Any], start_response: Any) -> Any:
    return text(start_response, "404 Not Found", "nothing here")


def page(environ: dict[str, Any], start_response: Any) -> Any:
    return text(start_response, "200 OK", f"a page, websocket: {environ.get('wsgi.websocket') is not None}")


def echo(environ: dict[str, Any], start_response: Any) -> Any:
    websocket = environ.get("wsgi.websocket")
    if websocket is None:
        return text(start_response, "400 Bad Request", "expected a WebSocket")
    while True:
        message = websocket.receive()
        if message is None:
            return []
        websocket.send(message)


def flask_like(environ: dict[str, Any], start_response: Any) -> Any:
    """Frameworks answer something in the end, whatever went over the WebSocket."""
    websocket = environ["wsgi.websocket"]
    websocket.send("one")
    websocket.send(b"\x02")
    return text(start_response, "200 OK", "to be thrown away")


def members(environ: dict[str, Any], start_response: Any) -> Any:
    """Refuse before the WebSocket is used."""
    if "HTTP_COOKIE" not in environ:
        return text(start_response, "401 Unauthorized", "log in first")
    return echo(environ, start_response)


def bye(environ: dict[str, Any], start_response: Any) -> Any:
    environ["wsgi.websocket"].close(4001, "bye")
    return []


def bye_bye(environ: dict[str, Any], start_response: Any) -> Any:
    environ["wsgi.websocket"].send("last")
    environ["wsgi.websocket"].close()
    return []


def late(environ: dict[str, Any], start_response: Any) -> Any:
    """Send to a client that is gone, until it is noticed."""
    websocket = environ["wsgi.websocket"]
    try:
        while websocket.receive() is not None:
            pass
        websocket.send("too late")
    except WebSocketError as error:
        closed.append(str(error))
    return []


def failing(environ: dict[str, Any], start_response: Any) -> Any:
    raise Deliberate("before the WebSocket was used")


def failing_later(environ: dict[str, Any], start_response: Any) -> Any:
    environ["wsgi.websocket"].send("one")
    raise Deliberate("in the middle")


VIEWS = {
    "/page": page,
    "/echo": echo,
    "/flask-like": flask_like,
    "/members": members,
    "/bye": bye,
    "/bye-bye": bye_bye,
    "/late": late,
    "/failing": failing,
    "/failing-later": failing_later,
    "/closed": lambda environ, start_response: text(start_response, "200 OK", str(len(closed))),
}

channel = Channel(limits=Limits(**json.loads(os.environ.get("LIMITS", "{}"))))


@channel.on_message
def said(client: Client, data: Any) -> None:
    channel.publish(data)


app = Cometware(site, channel, "/comet")
resource = Cometware(Resource(OrderedDict([("^/chat", Chat), ("^/", site)])), channel, "/comet")
