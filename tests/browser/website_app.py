"""A site with a channel for the browser tests: pages that use the client, and views that say what the server saw.

A page's query steers it: `options` is JSON for `new Cometware`, `times` JSON for `Cometware.times`, `at` another address of
the channel, `mask` names features to remove first, `key` the name under which the page tells what it saw.
"""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from html import escape
from typing import Any

import gevent
from flask import Flask, jsonify, redirect, request
from gevent.event import Event

from cometware import Channel, Client, Cometware, Limits, Rate, Rates, Refused

app = Flask(__name__)
app.secret_key = "not a secret: this is a test"
wanted = json.loads(os.environ.get("LIMITS", "{}"))
if "rates" in wanted:
    wanted["rates"] = Rates(**{name: Rate(*pair) for name, pair in wanted["rates"].items()})
limits = Limits(**wanted)
channel = Channel(limits=limits, around=app.app_context)
said: defaultdict[str, list[Any]] = defaultdict(list)
opened: list[str] = []
reports: dict[str, Any] = {}
news = Event()


def tell() -> None:
    news.set()
    news.clear()


@channel.on_open
def arrive(client: Client) -> None:
    assert client.environ is not None
    if "refuse" in client.environ.get("HTTP_COOKIE", ""):
        raise Refused(403, "not today")
    opened.append(client.id)
    client.join("room:lobby")
    tell()


@channel.on_close
def leave(client: Client, reason: str) -> None:
    said["left"].append(client.id)
    tell()


@channel.on_message
def hear(client: Client, data: Any) -> None:
    said[client.id].append(data)
    said["all"].append(data)
    tell()


@channel.on("echo")
def echo(client: Client, data: Any) -> Any:
    return data


@channel.on("say")
def say(client: Client, data: Any) -> Any:
    """To everybody, as a chat does."""
    channel.publish(data, event="said")
    return client.user


@channel.on("burst")
def burst(client: Client, data: Any) -> Any:
    for number in range(data):
        client.send(number)
        if number % 64 == 0:
            gevent.sleep(0)


@channel.on("slow")
def slow(client: Client, data: Any) -> Any:
    gevent.sleep(data)
    return data


@channel.on("fail")
def fail(client: Client, data: Any) -> Any:
    raise Refused(409, "you asked for it")


@app.get("/page")
def page() -> str:
    client = request.args.get("client", "/comet/client.js")
    return f"""<!doctype html><meta charset="utf-8"><title>page</title><body>
<script>{request.args.get("first", "")}</script>
<script src="{escape(client)}"></script>
<script>
var seen = [], events = [], began = +new Date();
function note(name) {{
  function or(value) {{ return value === undefined ? null : value; }}
  return function (a, b) {{ events.push([name, or(a), or(b), new Date() - began]); }};
}}
var times = {request.args.get("times", "{}")};
for (var name in times) Cometware.times[name] = times[name];
var comet = new Cometware({json.dumps(request.args.get("at", "/comet"))}, {request.args.get("options", "{}")});
comet.on('message', function (data) {{
  seen.push(data);
  if (seen.length == 1) events.push(['first message', null, null, new Date() - began]);
}});
var names = ['open', 'transport', 'reset', 'close', 'error', 'said'];
for (var i = 0; i < names.length; i++) comet.on(names[i], note(names[i]));
{request.args.get("then", "")}
</script>"""


@app.get("/blank")
def blank() -> str:
    """A page with the client that does nothing by itself."""
    return '<!doctype html><meta charset="utf-8"><script src="/comet/client.js"></script>'


@app.route("/behind-a-login/comet", methods=["GET", "POST"])
def behind_a_login() -> Any:
    """What many apps answer to whoever is not logged in."""
    return redirect("/blank")


@app.get("/publish")
def publish() -> Any:
    """Publish `data` (JSON), or the numbers from `start`, `n` of them, `rate` a second."""
    to = request.args.get("to", "*")
    if "data" in request.args:
        channel.publish(json.loads(request.args["data"]), to=to, event=request.args.get("event", "message"))
        return "", 204
    start, count = request.args.get("start", 0, int), request.args.get("n", 1, int)
    rate = request.args.get("rate", 0, float)

    def run() -> None:
        began = time.monotonic()
        for number in range(count):
            channel.publish(start + number, to=to)
            if rate:
                ahead = number / rate - (time.monotonic() - began)
                if ahead > 0.005:
                    gevent.sleep(ahead)
            elif number % 64 == 0:
                gevent.sleep(0)

    if rate:
        gevent.spawn(run)
    else:
        run()
    return "", 204


@app.get("/bytes")
def publish_bytes() -> Any:
    channel.publish({"raw": bytes(range(256)), "$bytes": 1})
    channel.publish({"$bytes": "mine"})
    return "", 204


@app.get("/said")
def what_was_said() -> Any:
    """Wait until `client` (or anybody) has said `n` things, and all of `until` (JSON), and return what it has said."""
    client, count = request.args.get("client", "all"), request.args.get("n", 0, int)
    awaited = json.loads(request.args.get("until", "[]"))
    with gevent.Timeout(request.args.get("seconds", 90, float), False):
        while len(said[client]) < count or any(one not in said[client] for one in awaited):
            news.wait(0.2)
    return jsonify(said[client])


@app.get("/clients")
def clients() -> Any:
    return jsonify(
        [{"id": one.id, "user": one.user, "transport": one.transport, "why": one.why} for one in channel.presence()]
    )


@app.get("/opened")
def who_came() -> Any:
    return jsonify(opened)


@app.get("/close/<client>/<int:code>")
def close(client: str, code: int) -> Any:
    channel.close(client, code, "by the test")
    return "", 204


@app.get("/drain/<float:seconds>")
def drain(seconds: float) -> Any:
    app.wsgi_app.drain(seconds)  # type: ignore[attr-defined]
    return "", 204


@app.get("/login/<user>")
def login(user: str) -> Any:
    response = jsonify(user)
    response.set_cookie("user", user)
    return response


@app.route("/report/<key>", methods=["GET", "POST"])
def report(key: str) -> Any:
    """A page without a driver tells what it saw: by a script tag or an image, so by GET."""
    reports[key] = json.loads(request.args["d"])
    tell()
    return "", 200, {"Content-Type": "text/javascript"}


@app.get("/reports/<key>")
def read_report(key: str) -> Any:
    with gevent.Timeout(request.args.get("seconds", 90, float), False):
        while key not in reports:
            news.wait(0.2)
    return jsonify(reports.get(key))


def user(environ: dict[str, Any]) -> str | None:
    with app.request_context(environ):
        return request.cookies.get("user")


origins = os.environ.get("ORIGINS", "").split()
app.wsgi_app = Cometware(app.wsgi_app, channel, path="/comet", user=user, allowed_origins=origins)  # type: ignore[method-assign]
