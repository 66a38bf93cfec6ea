"""A turn for each request where the server is gevent's, but not our own: its loop asks nobody else between two requests of a
connection that has sent them at once. Our own handler sees to that itself (`servers.incoming`)."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import gevent

from cometware.transports.turns import turns_here

_rounds: WeakKeyDictionary[Any, int] = WeakKeyDictionary()
"""The round of the loop in which a connection has had its last request."""


def take_turn(environ: dict[str, Any]) -> None:
    """Let others come first, if this connection was not waited for since its last request and the round's turn is over."""
    sock = environ.get("gunicorn.socket")
    if sock is None:
        stream = environ.get("wsgi.input")
        sock = getattr(getattr(getattr(stream, "rfile", stream), "raw", None), "_sock", None)
    if not type(sock).__module__.startswith("gevent."):
        return
    loop = gevent.get_hub().loop
    if _rounds.get(sock) == loop.iteration:
        turns = turns_here()
        if turns.is_over():
            turns.give_way()
    _rounds[sock] = loop.iteration
