"""An ordinary application, wrapped and served by us; and beside it the same one, bare, under gevent's own handler."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

from gevent.pywsgi import WSGIServer
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from cometware import Channel, Client, Cometware

closed: list[str] = []


class Deliberate(Exception):
    """A failure that a test asked for."""


class Stream:
    """A response of several parts that wants to be closed."""

    def __init__(self, name: str, parts: list[bytes], fails: bool = False) -> None:
        self._name, self._parts, self._fails = name, parts, fails

    def __iter__(self) -> Iterator[bytes]:
        yield from self._parts
        if self._fails:
            raise Deliberate("in the middle")

    def close(self) -> None:
        closed.append(self._name)


def text(environ: dict[str, Any], start_response: Any) -> Any:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]


def stream(environ: dict[str, Any], start_response: Any) -> Any:
    start_response("200 Fine", [("Content-Type", "text/plain")])
    return Stream("stream", [b"one", b"", b"two", b"x" * 100_000])


def headers(environ: dict[str, Any], start_response: Any) -> Any:
    many = [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("x-Odd-CASE", "\xe9"), ("Server", "mine"), ("Date", "never")]
    start_response("418 I'm a teapot", [*many, ("Content-Length", "0")])
    return []


def written(environ: dict[str, Any], start_response: Any) -> Any:
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    write(b"by hand, ")
    return [b"and by return"]


def empty(environ: dict[str, Any], start_response: Any) -> Any:
    start_response("204 No Content", [])
    return []


def unchanged(environ: dict[str, Any], start_response: Any) -> Any:
    start_response("304 Not Modified", [("ETag", '"x"')])
    return []


def fails(environ: dict[str, Any], start_response: Any) -> Any:
    raise Deliberate("at once")


def fails_later(environ: dict[str, Any], start_response: Any) -> Any:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return Stream("fails later", [b"one"], fails=True)


def changes_its_mind(environ: dict[str, Any], start_response: Any) -> Any:
    import sys

    start_response("200 OK", [("Content-Type", "text/plain")])
    try:
        raise Deliberate("caught")
    except Deliberate:
        start_response("500 Sorry", [("Content-Type", "text/plain"), ("Content-Length", "5")], sys.exc_info())
    return [b"sorry"]


def upload(environ: dict[str, Any], start_response: Any) -> Any:
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(len(body)))])
    return [body]


def ignores_the_body(environ: dict[str, Any], start_response: Any) -> Any:
    return text(environ, start_response)


def file(environ: dict[str, Any], start_response: Any) -> Any:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return io.BytesIO(b"line\n" * 3)


def show_environ(environ: dict[str, Any], start_response: Any) -> Any:
    names = ("REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "SERVER_PROTOCOL", "HTTP_X_MINE", "CONTENT_TYPE")
    shown = {name: environ.get(name) for name in names}
    shown |= {name: str(environ[name]) for name in environ if name.startswith("wsgi.") and name != "wsgi.input"}
    del shown["wsgi.errors"]
    body = json.dumps(shown, sort_keys=True).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def how_often_closed(environ: dict[str, Any], start_response: Any) -> Any:
    body = json.dumps(closed).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def stock_port(environ: dict[str, Any], start_response: Any) -> Any:
    body = str(stock.server_port).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


VIEWS = {
    "/": text,
    "/text": text,
    "/stream": stream,
    "/headers": headers,
    "/written": written,
    "/empty": empty,
    "/unchanged": unchanged,
    "/fails": fails,
    "/fails-later": fails_later,
    "/changes-its-mind": changes_its_mind,
    "/upload": upload,
    "/ignores-the-body": ignores_the_body,
    "/file": file,
    "/environ": show_environ,
    "/closed": how_often_closed,
    "/stock-port": stock_port,
    "/comet-something": text,
    "/cometware": text,
    "/Comet": text,
    "/a/comet": text,
}


def site(environ: dict[str, Any], start_response: Any) -> Any:
    view = VIEWS.get(environ["PATH_INFO"])
    if view is None:
        start_response("404 Not Found", [("Content-Length", "4")])
        return [b"gone"]
    return view(environ, start_response)


def add_channel(app: Any) -> Cometware:
    channel = Channel()

    @channel.on_message
    def said(client: Client, data: Any) -> None:
        channel.publish(data)

    return Cometware(app, channel, "/comet")


app = add_channel(DispatcherMiddleware(site, {"/prefix": add_channel(site)}))
stock = WSGIServer(("127.0.0.1", 0), DispatcherMiddleware(site, {"/prefix": site}), log=None)
stock.start()
