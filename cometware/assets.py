"""The files that a browser asks the channel for: its client, as it is and minified; and its types, for developers."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple
from urllib.parse import quote

from werkzeug.wrappers import Request

from cometware.response import Response

_SHORT = "public, max-age=600"
_LONG = "public, max-age=31536000, immutable"
_SCRIPT = "text/javascript; charset=utf-8"
_TEXT = "text/plain; charset=utf-8"
_SOURCES = {
    "client.js": ("cometware.js", _SCRIPT),
    "client.mjs": ("cometware.mjs", _SCRIPT),
    "client.min.js": ("cometware.min.js", _SCRIPT),
    "client.min.js.map": ("cometware.min.js.map", "application/json"),
    "client.d.ts": ("cometware.d.ts", _TEXT),
    "client.d.mts": ("cometware.d.mts", _TEXT),
}


class Asset(NamedTuple):
    """A file in memory. `caching` is its Cache-Control; `gzipped` is there only for what every page loads."""

    body: bytes
    gzipped: bytes | None
    content_type: str
    etag: str
    caching: str


def serve(environ: dict[str, Any], start_response: Any, name: str) -> Iterable[bytes] | None:
    """Answer a GET or HEAD for one of the files; None if there is none of this name."""
    asset = _assets().get(name)
    if asset is None or environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
        return None
    response = Response(asset.body, content_type=asset.content_type)
    response.set_etag(asset.etag)
    if asset.gzipped is not None:
        response.headers["Vary"] = "Accept-Encoding"
        if Request(environ).accept_encodings["gzip"]:
            response.data = asset.gzipped
            response.headers["Content-Encoding"] = "gzip"
            response.set_etag(f"{asset.etag}-gzip")  # other bytes (RFC 9110 §8.8.3.3)
    response.headers["Cache-Control"] = asset.caching
    response.headers["Access-Control-Allow-Origin"] = "*"
    if name.endswith(".min.js"):
        response.headers["SourceMap"] = "client.min.js.map"
    response.make_conditional(environ)
    return response(environ, start_response)


def versioned_name() -> str:
    """Return the name of the minified client that changes with its content, like `client-1a2b3c4d5e.min.js`."""
    return next(name for name in _assets() if name.startswith("client-") and name.endswith(".js"))


def page(path: str) -> Response:
    """Return the page that tries every transport from the very browser that asks for it.

    `path` is the channel's, as it was asked for: the client is found beside it, whatever a proxy puts in front.
    """
    text, policy = _page()
    prefix = path.rpartition("/")[2]
    response = Response(text.replace("{{client}}", f"{quote(prefix)}/client.min.js" if prefix else "client.min.js"))
    response.content_type = "text/html; charset=utf-8"
    response.headers["Content-Security-Policy"] = policy
    response.headers["Vary"] = "Accept"
    return response


@cache
def _page() -> tuple[str, str]:
    """Return the page and what it may do: nothing but its own script, the client, and requests to the channel."""
    text = files("cometware").joinpath("static").joinpath("page.html").read_text("utf-8")
    script, style = (_source_hash(text, tag) for tag in ("script", "style"))
    return text, (
        f"default-src 'none'; script-src 'self' {script}; style-src {style}; connect-src 'self' ws: wss:; frame-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


def _source_hash(text: str, tag: str) -> str:
    source = text.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"


@cache
def _assets() -> dict[str, Asset]:
    folder = files("cometware").joinpath("static")
    assets: dict[str, Asset] = {}
    for name, (file, content_type) in _SOURCES.items():
        beside = b'"./client.js"' if file.endswith("ts") else b'"./client.min.js"'
        body = folder.joinpath(file).read_bytes().replace(b'"./cometware.js"', beside)
        digest = hashlib.sha256(body).hexdigest()[:10]
        assets[name] = asset = Asset(body, None, content_type, digest, _SHORT)
        if name == "client.min.js":
            assets[name] = asset = asset._replace(gzipped=folder.joinpath(f"{file}.gz").read_bytes())
            assets[f"client-{digest}.min.js"] = asset._replace(caching=_LONG)
    return assets
