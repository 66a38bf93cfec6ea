"""`gevent.pywsgi` with its own handler or gevent-websocket's: the socket is behind `wsgi.input`."""

from __future__ import annotations

from _socket import socket as RawSocket
from typing import Any

from cometware.servers.base import Parking, Server, Taken


class StockPywsgi(Parking):
    """Connections are parked as with our own handler, but end after a poll: the server cannot be given one back.

    gevent-websocket's handler says 101 before the application runs; it chooses no subprotocol that we could name.
    """

    def __init__(self, environ: dict[str, Any], rfile: Any, sock: Any, handler: Any) -> None:
        self._rfile = rfile
        self._handler = handler
        self.socket = sock
        self.has_upgraded = environ.get("wsgi.websocket") is not None
        self.name = "gevent-websocket" if self.has_upgraded else "pywsgi"

    def take(self, environ: dict[str, Any]) -> Taken:
        """Detach the socket; what the server still does with it then meets nothing."""
        self.socket.setblocking(False)
        early = self._rfile.read1(65536) or b""
        sock = RawSocket(fileno=self.socket.detach())
        self._rfile.close()
        stream = environ["wsgi.input"]
        if stream is not self._rfile:  # of a request's body, nothing is left to be discarded
            stream.content_length, stream.chunked_input = 0, False
        websocket = environ.get("wsgi.websocket")
        if websocket is not None:
            websocket.closed = True
            websocket.stream = None
        if getattr(self._handler, "response_headers", "") is None:  # gunicorn's access log goes through them
            self._handler.response_headers = []
        return Taken(sock, early)


def find_stock_pywsgi(environ: dict[str, Any], start_response: Any) -> Server | None:
    """Find the socket of a gevent server, and its handler behind `start_response`; None if this is another server."""
    stream = environ.get("wsgi.input")
    rfile = getattr(stream, "rfile", stream)
    sock = getattr(getattr(rfile, "raw", None), "_sock", None)
    if sock is None or not type(sock).__module__.startswith("gevent."):
        return None
    return StockPywsgi(environ, rfile, sock, getattr(start_response, "__self__", None))
