"""The files that a browser asks the channel for: its client, as it is and minified."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from werkzeug.wrappers import Response

_SHORT = "public, max-age=600"
_LONG = "public, max-age=31536000, immutable"
_SCRIPT = "text/javascript; charset=utf-8"
_SOURCES = {
    "client.js": ("cometware.js", _SCRIPT),
    "client.mjs": ("cometware.mjs", _SCRIPT),
    "client.min.js": ("cometware.min.js", _SCRIPT),
    "client.min.js.map": ("cometware.min.js.map", "application/json"),
}


class Asset(NamedTuple):
    """A file in memory. `caching` is its Cache-Control."""

    body: bytes
    content_type: str
    etag: str
    caching: str


def serve(environ: dict[str, Any], start_response: Any, name: str) -> Iterable[bytes] | None:
    """Answer a GET or HEAD for one of the files; None if there is none of this name."""
    asset = _assets().get(name)
    if asset is None or environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
        return None
    response = Response(asset.body, content_type=asset.content_type)
    response.headers["Cache-Control"] = asset.caching
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.set_etag(asset.etag)
    response.make_conditional(environ)
    return response(environ, start_response)


def versioned_name() -> str:
    """Return the name of the minified client that changes with its content, like `client-1a2b3c4d5e.min.js`."""
    return next(name for name in _assets() if name.startswith("client-") and name.endswith(".js"))


@cache
def _assets() -> dict[str, Asset]:
    folder = files("cometware").joinpath("static")
    assets: dict[str, Asset] = {}
    for name, (file, content_type) in _SOURCES.items():
        body = folder.joinpath(file).read_bytes().replace(b'"./cometware.js"', b'"./client.min.js"')
        digest = hashlib.sha256(body).hexdigest()[:10]
        assets[name] = Asset(body, content_type, digest, _SHORT)
        if name == "client.min.js":
            assets[f"client-{digest}.min.js"] = Asset(body, content_type, digest, _LONG)
    return assets
