"""An application that answers with the path that was asked for, so that a test sees whose answer it got."""

from __future__ import annotations

from typing import Any

from cometware import Channel, Cometware


def echo(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    if environ["PATH_INFO"] == "/upload":
        environ["wsgi.input"].read()
    body = environ["PATH_INFO"].encode("latin-1")
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


app = Cometware(echo, Channel())
