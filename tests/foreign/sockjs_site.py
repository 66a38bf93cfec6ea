"""A page with an unmodified sockjs-client from a script tag, and its echo, which allows pages of `localhost`, too."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from cometware import Channel, Client, Cometware, Limits

CLIENT = Path(__file__).parents[2] / ".tools/sockjs/node_modules/sockjs-client/dist/sockjs.min.js"
FILES = {"/page": (Path(__file__).with_name("sockjs.html"), "text/html"), "/sockjs.js": (CLIENT, "text/javascript")}
channel = Channel(limits=Limits(**json.loads(os.environ.get("LIMITS", "{}"))))


@channel.on_message
def echo(client: Client, data: Any) -> None:
    if data == "close me":
        client.close(3000, "Go away!")
    elif data == "to all":
        channel.publish("to all", event="named")
    else:
        client.send(data)


def files(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    path, kind = FILES.get(environ["PATH_INFO"], (None, "text/plain"))
    body = b"" if path is None else path.read_bytes()
    start_response("404 Not Found" if path is None else "200 OK", [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]


def who(environ: dict[str, Any]) -> str | None:
    return parse_qs(environ.get("HTTP_COOKIE", "")).get("user", [None])[0]


@cache
def cometware(port: str) -> Cometware:
    origins = [f"http://localhost:{port}"]
    return Cometware(files, channel, user=who, sockjs="/old/address", sockjs_script="/sockjs.js", allowed_origins=origins)


def app(environ: dict[str, Any], start_response: Any) -> Any:
    return cometware(environ["SERVER_PORT"])(environ, start_response)
