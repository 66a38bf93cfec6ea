"""gunicorn: its gevent worker (`gunicorn -k gevent`), whose socket is in the environ; the process of any of its workers."""

from __future__ import annotations

import io
import signal
from typing import Any

from cometware.servers.base import Parking, Server, Taken, take_socket
from cometware.servers.behind import behind


class GeventWorker(Parking):
    """Connections are parked; one ends after its poll, since only its worker could serve it again.

    `request` is gunicorn's, as far as it is to be had: whoever wraps the application from outside may hide it, or wrap the
    answer, by which gunicorn would know that there is nothing left to do. Then it finds a socket whose peer has gone.
    """

    name = "gunicorn gevent"

    def __init__(self, sock: Any, unreader: Any, request: Any, start_response: Any = None) -> None:
        self.socket = sock
        self._unreader = unreader
        self._request = request
        self._start_response = start_response

    def take(self, environ: dict[str, Any]) -> Taken:
        """Detach the socket, with what gunicorn's parser has read already, and leave it a dead one."""
        early, self._unreader.buf = self._unreader.buf.getvalue(), io.BytesIO()
        sock, decrypted = take_socket(self.socket)
        if self._request is not None:
            self._request.must_close = True
        if self._start_response is not None:  # wrappers see an answer, and gunicorn writes it to nobody
            upgrades = environ.get("HTTP_UPGRADE", "").lower() == "websocket"
            status = "101 Switching Protocols" if upgrades else "200 OK"
            self._start_response(status, [("Content-Type", "application/octet-stream")])
        return Taken(sock, early + decrypted, result=_AlreadyHandled())


class _AlreadyHandled(list[bytes]):
    """Equal to the object by which gunicorn's workers know that there is nothing left for them to do."""

    def __eq__(self, other: object) -> bool:
        from gunicorn.workers.base_async import ALREADY_HANDLED

        return other is ALREADY_HANDLED


def find_gevent_worker(environ: dict[str, Any], start_response: Any) -> Server | None:
    """Find gunicorn's socket; None if this is another server, or a worker that blocks."""
    response: Any = getattr(start_response, "__self__", None)
    if _is_response(response) and "gunicorn.socket" in environ:
        return _gevent_worker(response.sock, response.req.unreader, environ, response.req)
    if not _is_gunicorn(environ):
        return None
    response = behind(start_response, _is_response)
    if response is not None:
        return _gevent_worker(response.sock, response.req.unreader, environ, response.req, start_response)
    reader = behind(environ.get("wsgi.input"), lambda one: hasattr(getattr(one, "unreader", None), "buf"))
    return _gevent_worker(environ.get("gunicorn.socket"), getattr(reader, "unreader", None), environ, None, start_response)


def _gevent_worker(
    sock: Any, unreader: Any, environ: dict[str, Any], request: Any, start_response: Any = None
) -> Server | None:
    if not type(sock).__module__.startswith("gevent.") or unreader is None or environ.get("HTTP_VERSION") == "2":
        return None  # one connection of HTTP/2 carries many requests: it is nobody's alone
    return GeventWorker(sock, unreader, request, start_response)


def _is_response(one: Any) -> bool:
    """Is this the object of gunicorn's to which `start_response` belongs?"""
    return hasattr(one, "sock") and hasattr(getattr(one, "req", None), "must_close")


def _is_gunicorn(environ: dict[str, Any]) -> bool:
    return "gunicorn.socket" in environ or str(environ.get("SERVER_SOFTWARE", "")).startswith("gunicorn/")


def threads_of_process(start_response: Any) -> int:
    """Return how many threads gunicorn gives to requests in this process; 0 if that is not to be found."""
    process = find_process() or behind(start_response, lambda one: hasattr(getattr(one, "cfg", None), "threads"))
    return int(getattr(getattr(process, "cfg", None), "threads", 0))


def find_process() -> Any | None:
    """Find gunicorn's own object for this process, whatever its kind: it handles SIGTERM. None under other servers."""
    process = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return process if hasattr(process, "alive") and hasattr(getattr(process, "cfg", None), "worker_exit") else None
