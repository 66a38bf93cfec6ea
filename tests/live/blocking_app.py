"""An application whose views and handlers block for real, whatever gevent has patched."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from typing import Any

from flask import Flask, Response, request
from gevent import monkey

from cometware import Channel, Client, Cometware, Limits

block = monkey.get_original("time", "sleep")
app = Flask(__name__)
options = json.loads(os.environ["LIMITS"])
threads = options.pop("threads")
channel = Channel(limits=Limits(**options))


@app.get("/block/<float:seconds>")
def blocking_view(seconds: float) -> str:
    block(seconds)
    return "done"


@app.get("/switch")
def switch() -> str:
    return f"{sys.getswitchinterval():g}"


@app.post("/echo")
def echo() -> bytes:
    return request.get_data()


@app.post("/refuse")
def refuse() -> tuple[str, int]:
    return "too large", 413


@app.post("/lines")
def lines() -> tuple[str, int]:
    try:
        return str(sum(1 for _ in request.stream)), 200
    except OSError as error:
        return str(error), 400


@app.post("/lines-later")
def lines_later() -> Response:
    """Begin the answer, and only then read."""
    body = request.environ["wsgi.input"]

    def pieces() -> Iterator[bytes]:
        yield b"begun"
        yield from body

    return Response(pieces())


@app.get("/pieces")
def pieces() -> Response:
    return Response(f"{number}\n" for number in range(3))


@channel.on("block")
def blocking_handler(client: Client, seconds: float) -> str:
    block(seconds)
    return "done"


@channel.on_message
def said(client: Client, data: Any) -> None:
    channel.publish(data)


app.wsgi_app = Cometware(app.wsgi_app, channel, threads=threads)  # type: ignore[method-assign]
