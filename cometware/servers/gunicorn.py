"""gunicorn: its gevent worker (`gunicorn -k gevent`), whose socket is in the environ; the process of any of its workers."""

from __future__ import annotations

import signal
from _socket import socket as RawSocket
from typing import Any

from cometware.servers.base import Parking, Server, Taken


class GeventWorker(Parking):
    """Connections are parked; one ends after its poll, since only its worker could serve it again."""

    name = "gunicorn gevent"

    def __init__(self, sock: Any, request: Any) -> None:
        self.socket = sock
        self._request = request

    def take(self, environ: dict[str, Any]) -> Taken:
        """Detach the socket, with what gunicorn's parser has read already, and tell it to read no more."""
        early = self._request.unreader.take_buffered()
        sock = RawSocket(fileno=self.socket.detach())
        sock.setblocking(False)
        self._request.must_close = True
        return Taken(sock, early, result=_AlreadyHandled())


class _AlreadyHandled(list[bytes]):
    """Equal to the object by which gunicorn's workers know that there is nothing left for them to do."""

    def __eq__(self, other: object) -> bool:
        from gunicorn.workers.base_async import ALREADY_HANDLED

        return other is ALREADY_HANDLED


def find_gevent_worker(environ: dict[str, Any], start_response: Any) -> Server | None:
    """Find gunicorn's socket; None if this is another server, or a worker that blocks.

    Its request is behind `start_response`: not to be had where a middleware in front of ours has replaced that.
    """
    sock = environ.get("gunicorn.socket")
    if sock is None or not type(sock).__module__.startswith("gevent.") or environ.get("HTTP_VERSION") == "2":
        return None  # one connection of HTTP/2 carries many requests: it is nobody's alone
    request = getattr(getattr(start_response, "__self__", None), "req", None)
    return GeventWorker(sock, request) if hasattr(request, "must_close") else None


def find_process() -> Any | None:
    """Find gunicorn's own object for this process, whatever its kind: it handles SIGTERM. None under other servers."""
    process = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return process if hasattr(process, "alive") and hasattr(getattr(process, "cfg", None), "worker_exit") else None
