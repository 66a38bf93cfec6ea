"""An ordinary Flask application with a channel, and views that let a test publish and see what the handlers saw.

Environment: `CHANNEL` and `NAME` are the channel's URL and name, `LIMITS` is JSON for `cometware.Limits`, `SUBPROTOCOLS` a
list with spaces between, `JOURNAL` the folder of a journal that several workers share, `ADDRESSES` JSON for
`Cometware(addresses=…)`, `THREADS` its `threads`. A connection's query steers
`on_open`: `refuse=<status>`, `gate=<name>` waits until a test opens that gate, `room=<name>` joins.
"""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import gevent
from flask import Flask, Response, jsonify, request, session
from gevent import monkey

import cometware.flask
from cometware import Channel, Client, Cometware, Limits, Rate, Rates, Refused
from cometware.servers.threaded import held_requests
from tests.live.held import held
from tests.live.journal import Journal, MemoryJournal, SharedJournal

GATE_SECONDS = 240

app = Flask(__name__)
app.secret_key = "not a secret"


def limits_of(text: str) -> Limits:
    """Read limits, of which `rates` may be an object: a rate in it is a pair."""
    wanted = json.loads(text)
    if wanted.get("rates"):
        rates = {name: Rate(*value) if isinstance(value, list) else value for name, value in wanted["rates"].items()}
        wanted["rates"] = Rates(**rates)
    return Limits(**wanted)


channel = Channel(
    os.environ.get("CHANNEL", "memory:"), limits=limits_of(os.environ.get("LIMITS", "{}")), around=app.app_context
)


class Deliberate(Exception):
    """A handler's failure that a test asked for."""


journal: Journal = SharedJournal(Path(os.environ["JOURNAL"])) if "JOURNAL" in os.environ else MemoryJournal()


def pass_gate(name: str) -> None:
    if not journal.pass_gate(name, GATE_SECONDS):
        raise Deliberate(f"nobody opened the gate {name}")


# The channel


@channel.on_open
def opened(client: Client) -> None:
    assert client.environ is not None
    query = dict(parse_qsl(client.environ.get("QUERY_STRING", "")))
    details = {"transport": client.transport, "dialect": client.dialect, "pid": os.getpid()}
    journal.write("open", client=client.id, user=client.user, **details)
    if "gate" in query:
        pass_gate(query["gate"])
    if "refuse" in query:
        raise Refused(int(query["refuse"]), "members only")
    if "room" in query:
        client.join(query["room"])


@channel.on_message
def said(client: Client, data: Any) -> None:
    shown = data.hex() if isinstance(data, bytes) else data
    journal.write("message", client=client.id, data=shown, transport=client.transport)
    channel.publish({"from": client.id, "data": data})


@channel.on_close
def left(client: Client, reason: str) -> None:
    journal.write("close", client=client.id, reason=reason)


@channel.on("echo")
def echo(client: Client, data: Any) -> Any:
    return data


@channel.on("note")
def note(client: Client, data: Any) -> None:
    """Write into the journal, and give way in the middle of it."""
    journal.write("begin", client=client.id, data=data)
    time.sleep(0)
    journal.write("end", client=client.id, data=data)


@channel.on("wait")
def wait(client: Client, data: Any) -> str:
    journal.write("begin", client=client.id, data=data)
    pass_gate(data)
    journal.write("end", client=client.id, data=data)
    return "done"


@channel.on("sleep")
def sleep(client: Client, data: Any) -> None:
    journal.write("begin", client=client.id, data=data)
    time.sleep(data)
    journal.write("end", client=client.id, data=data)


@channel.on("join")
def join(client: Client, data: Any) -> None:
    client.join(data)


@channel.on("leave")
def leave(client: Client, data: Any) -> None:
    client.leave(data)


@channel.on("rename")
def rename(client: Client, data: Any) -> Any:
    old = client.data.get("name")
    client.data["name"] = data
    return {"was": old, "name": data}


@channel.on("publish")
def publish(client: Client, data: Any) -> None:
    channel.publish(data)


@channel.on("forbidden")
def forbidden(client: Client, data: Any) -> None:
    raise Refused(402, "pay first")


@channel.on("failing")
def failing(client: Client, data: Any) -> None:
    raise Deliberate("the test asked for it")


# What a test may do and see


@app.get("/")
def index() -> str:
    return "the application as it was"


@app.post("/login/<name>")
def login(name: str) -> str:
    session["user"] = name
    return name


@app.post("/channel/<method>")
def call(method: str) -> Response:
    """Call a method of the channel from a view."""
    result = getattr(channel, method)(**request.get_json())
    return jsonify(str(result) if method == "publish" else result)


@app.post("/burst")
def burst() -> Response:
    """Publish several messages in one go, so that one round takes them."""
    return jsonify([str(channel.publish(**options)) for options in request.get_json()["messages"]])


@app.get("/presence/<to>")
def presence(to: str) -> Response:
    return jsonify([vars(one) for one in channel.presence(to)])


@app.get("/position")
def position() -> str:
    return str(channel.position)


@app.get("/history/<int:count>")
def history(count: int) -> Response:
    """Return the log: each entry's position and data."""
    return jsonify([[str(entry.position), entry.data] for entry in channel.recent_entries(n=count)])


@app.post("/flood")
def flood() -> Response:
    """Publish numbers as fast as it goes, giving way `every` so many; `rest` is how many milliseconds then."""
    asked = request.get_json()
    first, count, size = asked.get("first", 1), asked["count"], asked.get("size", 0)
    every, rest_seconds = asked.get("every", 50), asked.get("rest", 0) / 1000
    threading.Thread(target=_flood, args=(first, count, "x" * size, every, rest_seconds), daemon=True).start()
    return jsonify(None)


def _flood(first: int, count: int, padding: str, every: int, rest_seconds: float) -> None:
    for number in range(first, first + count):
        channel.publish([number, padding] if padding else number)
        if number % every == 0:
            time.sleep(rest_seconds)
    journal.write("flooded", first=str(first))


@app.post("/threads/<kind>")
def threads(kind: str) -> Response:
    """Publish from native threads that gevent knows nothing of, or from its own pool of them."""
    asked = request.get_json()

    def publish(thread: int) -> None:
        for number in range(asked["count"]):
            channel.publish([thread, number])

    if kind == "pool":
        gevent.get_hub().threadpool.map(publish, range(asked["threads"]))
    else:
        start: Any = monkey.get_original("_thread", "start_new_thread")
        for thread in range(asked["threads"]):
            start(publish, (thread,))
    return jsonify(None)


@app.get("/held")
def count_held() -> Response:
    """Tell what a connection might hold; and how many requests a thread of the server pulls."""
    return jsonify(held() | {"pulled": held_requests()})


@app.post("/gate/<name>")
def open_gate(name: str) -> str:
    journal.open_gate(name)
    return name


@app.get("/journal")
def read_journal() -> Response:
    wanted = request.args.to_dict()
    count, seconds = int(wanted.pop("count", 0)), float(wanted.pop("seconds", 0))
    return jsonify(journal.wait(count, seconds, wanted))


def who(environ: dict[str, Any]) -> str | None:
    """Tell who is logged in, and let a test know that a connection has come this far."""
    query = dict(parse_qsl(environ.get("QUERY_STRING", "")))
    if "mark" in query:
        journal.write("asked", mark=query["mark"])
    return logged_in(environ)


logged_in = cometware.flask.user(app, "user")
app.wsgi_app = Cometware(  # type: ignore[method-assign]
    app.wsgi_app,
    channel,
    path="/comet",
    user=who,
    subprotocols=os.environ.get("SUBPROTOCOLS", "").split(),
    publish_token="a secret",
    addresses=json.loads(os.environ.get("ADDRESSES", "null")),
    threads=int(os.environ["THREADS"]) if "THREADS" in os.environ else None,
)
