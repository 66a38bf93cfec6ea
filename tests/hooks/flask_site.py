"""An ordinary Flask application: Flask-Login, Flask-WTF's CSRF protection, sessions in cookies; its views are the handlers.

Environment: `LIMITS` is JSON for `cometware.Limits`, as for `tests.live.app`; `THREADS` is how many native threads run views.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any

import gevent
from flask import Flask, Response, g, jsonify, redirect, request
from flask_login import LoginManager, UserMixin, current_user, login_required, login_user
from flask_wtf.csrf import CSRFProtect, generate_csrf
from gevent import monkey

from cometware import Channel, Client, Limits
from cometware.flask import Comet
from cometware.hooks import is_hook
from tests.hooks.journal import Journal

app = Flask(__name__)
app.secret_key = "not a secret"
channel = Channel(limits=Limits(**json.loads(os.environ.get("LIMITS", "{}"))), around=app.app_context)
comet = Comet(app, channel, user="_user_id", hooks="/realtime", threads=int(os.environ.get("THREADS", "0")))
journal = Journal()
gates: dict[str, gevent.event.Event] = {}


class Protection(CSRFProtect):
    """As it is, but for the channel's own requests."""

    def protect(self, *arguments: Any, **options: Any) -> None:
        if not is_hook(request.environ):
            super().protect(*arguments, **options)


protection = Protection(app)
logins = LoginManager(app)


class User(UserMixin):
    def __init__(self, name: str) -> None:
        self.id = name


@logins.user_loader
def load_user(name: str) -> User:
    return User(name)


@app.teardown_appcontext
def torn_down(error: BaseException | None) -> None:
    if g.get("waiting"):
        journal.write("torn down", data=g.waiting, error=type(error).__name__)


# What clients do


@app.post("/realtime/open")
def opened() -> Any:
    asked = request.get_json()
    query = asked["query"]
    if "login" in query and not current_user.is_authenticated:
        return logins.unauthorized()
    if "redirect" in query:
        return redirect("/login")
    if "refuse" in query:
        return {"why": "members only"}, int(query["refuse"])
    journal.write("open", client=asked["client"], user=asked["user"], transport=asked["transport"])
    return {"join": ["room:lobby"]} if "lobby" in query else ("", 204)


@app.post("/realtime/message")
def said() -> Any:
    asked = request.get_json()
    journal.write("message", client=asked["client"], data=asked["data"])
    return {"publish": [{"data": {"from": current_user.get_id(), "text": asked["data"]}, "to": "room:lobby"}]}


@app.post("/realtime/close")
def left() -> Any:
    asked = request.get_json()
    journal.write("close", client=asked["client"], reason=asked["reason"], user=current_user.get_id())
    return "", 204


@app.post("/realtime/event/whoami")
@login_required
def whoami() -> Any:
    return {"user": current_user.get_id(), "cookies": request.cookies.to_dict(), "url": request.url}


@app.post("/realtime/event/move")
def move() -> Any:
    return jsonify(request.get_json()["data"])


@app.post("/realtime/event/refused")
def refused() -> Any:
    return {"field": "name"}, 422


@app.post("/realtime/event/note")
def note() -> Any:
    """Give way in the middle of it."""
    asked = request.get_json()
    journal.write("begin", client=asked["client"], data=asked["data"])
    gevent.sleep(0)
    journal.write("end", client=asked["client"], data=asked["data"])
    return "", 204


@app.post("/realtime/event/wait")
def wait() -> Any:
    """Wait for a gate, or for the end of all patience."""
    gate = g.waiting = request.get_json()["data"]
    journal.write("begin", data=gate)
    gates.setdefault(gate, gevent.event.Event()).wait()
    return jsonify("done")


@app.post("/realtime/event/sleep")
def sleep() -> Any:
    g.waiting = request.get_json()["data"]
    time.sleep(60)
    return jsonify("done")


@app.post("/realtime/event/block")
def block() -> Any:
    """Block the whole thread."""
    monkey.get_original("time", "sleep")(request.get_json()["data"])
    return jsonify("done")


@channel.on("python")
def python(client: Client, data: Any) -> Any:
    return {"by": "a handler", "of": client.user}


# The site


@app.post("/login/<name>")
@protection.exempt
def login(name: str) -> str:
    login_user(User(name))
    return name


@app.get("/token")
def token() -> str:
    return generate_csrf()


@app.post("/form")
def form() -> str:
    return "accepted"


@app.post("/publish")
@protection.exempt
def publish() -> Response:
    """Publish by the channel in the environ."""
    return jsonify(str(request.environ["cometware.channel"].publish(**request.get_json())))


@app.post("/gate/<name>")
@protection.exempt
def open_gate(name: str) -> str:
    gates.setdefault(name, gevent.event.Event()).set()
    return name


@app.get("/journal")
def read_journal() -> Response:
    return jsonify(journal.read(request.args.to_dict()))
