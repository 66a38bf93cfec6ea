"""Which server is it? Told by the environ of a request."""

from __future__ import annotations

from typing import Any

from cometware.servers.base import Server
from cometware.servers.behind import behind
from cometware.servers.gunicorn import find_gevent_worker
from cometware.servers.stock import find_stock_pywsgi
from cometware.servers.threaded import find_threaded


def detect(environ: dict[str, Any], start_response: Any) -> Server:
    """Tell the server: our own handler says so itself; the others are known by the objects that they put there."""
    server: Server | None = environ.get("cometware.server")
    return (
        server
        or find_gevent_worker(environ, start_response)
        or find_stock_pywsgi(environ, start_response)
        or behind(start_response, lambda one: isinstance(one, Server))  # whoever makes a new environ leaves out what is ours
        or find_threaded(environ, start_response)
    )
