"""The site of `first_message.py`: pages as they are asked for, a channel with one message, and other versions of the client.

`AGAINST` names their files; each is served by its number, compressed and cached as the client itself is.
"""

from __future__ import annotations

import gzip
import os
from pathlib import Path

from flask import Flask, Response, request

from cometware import Channel, Cometware, Limits

app = Flask(__name__)
channel = Channel(limits=Limits(rates=None))
channel.publish("hello")
_against = [gzip.compress(Path(path).read_bytes()) for path in os.environ["AGAINST"].split(os.pathsep) if path]


@app.get("/page")
def page() -> str:
    return request.args["html"]


@app.get("/against-<int:number>.js")
def against(number: int) -> Response:
    headers = {"Content-Encoding": "gzip", "Cache-Control": "public, max-age=31536000, immutable"}
    return Response(_against[number], headers=headers, content_type="text/javascript; charset=utf-8")


app.wsgi_app = Cometware(app.wsgi_app, channel)  # type: ignore[method-assign]
