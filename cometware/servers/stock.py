"""`gevent.pywsgi` with its own handler or gevent-websocket's: the socket is behind `wsgi.input`."""

from __future__ import annotations

from contextlib import suppress
from ssl import SSLWantReadError
from typing import Any

from gevent.pywsgi import WSGIHandler

from cometware.servers.base import Parking, Server, Taken, take_socket
from cometware.servers.behind import behind


class StockPywsgi(Parking):
    """Connections are parked as with our own handler, but end after a poll: the server cannot be given one back.

    gevent-websocket's handler says 101 before the application runs; it chooses no subprotocol that we could name.
    """

    def __init__(self, environ: dict[str, Any], stream: Any, sock: Any, handler: Any) -> None:
        self._stream = stream
        self._rfile = getattr(stream, "rfile", stream)
        self._handler = handler
        self.socket = sock
        self.has_upgraded = environ.get("wsgi.websocket") is not None
        self.name = "gevent-websocket" if self.has_upgraded else "pywsgi"

    def take(self, environ: dict[str, Any]) -> Taken:
        """Detach the socket; what the server still does with it then meets nothing."""
        self.socket.setblocking(False)
        early = b""
        with suppress(SSLWantReadError):
            early = self._rfile.read1(65536) or b""
        sock, decrypted = take_socket(self.socket)
        self._rfile.close()
        if self._stream is not self._rfile:  # of a request's body, nothing is left to be discarded
            self._stream.content_length, self._stream.chunked_input = 0, False
        websocket = environ.get("wsgi.websocket")
        if websocket is not None:
            websocket.closed = True
            websocket.stream = None
        if getattr(self._handler, "response_headers", "") is None:  # gunicorn's access log goes through them
            self._handler.response_headers = []
        return Taken(sock, early + decrypted)


def find_stock_pywsgi(environ: dict[str, Any], start_response: Any) -> Server | None:
    """Find the socket of a gevent server, and its handler behind `start_response`; None if this is another server."""
    stream = behind(environ.get("wsgi.input"), lambda one: _socket_of(one) is not None)
    sock = _socket_of(stream)
    if sock is None:
        return None
    return StockPywsgi(environ, stream, sock, behind(start_response, lambda one: isinstance(one, WSGIHandler)))


def _socket_of(stream: Any) -> Any | None:
    """Return the gevent socket that a request's body is read from."""
    sock = getattr(getattr(getattr(stream, "rfile", stream), "raw", None), "_sock", None)
    return sock if type(sock).__module__.startswith("gevent.") else None
