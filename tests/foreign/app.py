"""A chat that speaks to Socket.IO clients: `/` for everybody, `/admin` for those who know the word."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from flask import Flask, Response, request, send_file

from cometware import Args, Channel, Client, Cometware, Limits, Refused

app = Flask(__name__)
limits = Limits(**json.loads(os.environ.get("LIMITS", "{}")))
url = os.environ.get("CHANNEL", "memory:")
channel = Channel(url, limits=limits)
admin = Channel(url, name="admin", limits=limits)
closed: list[str] = []
notes: list[Any] = []


@channel.on_open
def arrived(client: Client) -> None:
    assert client.environ is not None
    if client.auth.get("token") == "wrong" or "refuse" in client.environ["QUERY_STRING"]:
        raise Refused(403, "members only")
    if "room" in client.auth:
        client.join(f"room:{client.auth['room']}")


@channel.on_close
def left(client: Client, reason: str) -> None:
    closed.append(reason)


@channel.on("echo")
def echo(client: Client, data: Any) -> Any:
    client.send(data, event="echo")
    return data


@channel.on("note")
def note(client: Client, data: Any) -> None:
    """Count, and return nothing."""
    notes.append(data)
    client.send(len(notes), event="noted")


@channel.on("others")
def others(client: Client, data: Any) -> None:
    channel.publish(data, event="others", but=client.id)


@channel.on("ask")
def ask(client: Client, data: Any) -> Any:
    return client.call("question", data, timeout=10)


@channel.on("call nobody")
def call_nobody(client: Client, data: Any) -> str:
    try:
        client.call("nobody answers", None, timeout=0.05)
    except TimeoutError as error:
        return str(error)
    return "answered"


@channel.on("fail")
def fail(client: Client, data: Any) -> None:
    raise Refused(402, "pay first")


@channel.on("who")
def who(client: Client, data: Any) -> Any:
    return {
        "id": client.id,
        "user": client.user,
        "transport": client.transport,
        "dialect": client.dialect,
        "rooms": sorted(client.rooms),
        "process": os.getpid(),
    }


@channel.on("kick")
def kick(client: Client, data: Any) -> None:
    client.send("last", event="last")
    client.close(int(data), "kicked")


@channel.on_message
def said(client: Client, data: Any) -> None:
    channel.publish(data)


@admin.on_open
def admitted(client: Client) -> None:
    if client.auth.get("word") != "sesame":
        raise Refused(401, "say the word")


@admin.on("echo")
def admin_echo(client: Client, data: Any) -> Any:
    client.send(Args(["admin", data]), event="echo")
    return ["admin", data]


@app.post("/channel/publish")
def publish() -> str:
    arguments = request.get_json()
    return str((admin if arguments.pop("admin", False) else channel).publish(**arguments))


@app.post("/revoke/<user>")
def revoke(user: str) -> str:
    channel.revoke(user)
    return ""


@app.get("/notes")
def show_notes() -> Any:
    return json.dumps(notes), {"Content-Type": "application/json"}


@app.get("/closed")
def show_closed() -> Any:
    return json.dumps(closed), {"Content-Type": "application/json"}


@app.get("/here")
def here() -> Any:
    return json.dumps([client.transport for client in channel.presence()]), {"Content-Type": "application/json"}


@app.get("/page/<int:version>")
def page(version: int) -> str:
    """Load the client as a page does, by a script tag."""
    return f'<!doctype html><meta charset="utf-8"><title>page</title><script src="/script/{version}"></script>'


@app.get("/script/<int:version>")
def script(version: int) -> Response:
    folder = Path(__file__).parents[2] / ".tools" / "socketio" / "node_modules" / f"client{version}" / "dist"
    return send_file(folder / "socket.io.js", mimetype="text/javascript")


app.wsgi_app = Cometware(  # type: ignore[method-assign]
    app.wsgi_app,
    {"/": channel, "/admin": admin},
    socketio="/socket.io",
    user=lambda environ: app.request_class(environ).cookies.get("user"),
    recovery=bool(os.environ.get("RECOVERY")),
    allowed_origins=["http://page.example"],
)
