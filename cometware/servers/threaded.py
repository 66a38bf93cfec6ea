"""Servers that answer each request in a thread, or one after the other: Werkzeug's and Django's development servers,
`gunicorn -k gthread` and `sync`, waitress, `wsgiref`.

Their sockets stay theirs. A connection gets one end of a socket pair; the thread of the request reads the other end and
gives the server what it reads, so that everything behind it is as it is with a parked socket.
"""

from __future__ import annotations

import importlib
import select
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

from cometware.logs.base import real_lock
from cometware.response import NOSNIFF
from cometware.servers.base import Server, Taken
from cometware.servers.behind import behind
from cometware.servers.gunicorn import threads_of_process
from cometware.servers.pools import SeenThreads, threads_of_cheroot, threads_of_granian

_FREE_THREADS = 2
"""Threads of a pool that are never held: the application needs them."""
_MANY = 100
"""Requests that are held at most where each request has a thread of its own."""
_HIDDEN = (
    "a middleware in front of Cometware replaces start_response and wsgi.input, and what gunicorn has read of this connection "
    "is behind neither: clients poll once a second; let Cometware be the outermost, or that middleware keep what it wraps"
)
_SERVING_ALONE = frozenset({"MainThread", "django-main-thread"})
"""The threads of Django's development server with `--nothreading`, which says in the environ that it has many."""
_HOP_BY_HOP = frozenset({"connection", "transfer-encoding"})


class Threaded(Server):
    """`limit` requests may be held at one time (0: none). `streams`: does it send at once what it is given?"""

    frames_bodies = True
    may_block = True

    def __init__(self, name: str, limit: int, *, streams: bool, client: Any = None, why: str = "") -> None:
        self._why = why
        self._client = client
        self.name = name
        self.limit = limit
        self._streams = streams
        self._place: _Place | None = None
        self.pulled: socket.socket | None = None

    @property
    def transports(self) -> tuple[str, ...]:
        return ("sse", "stream", "poll") if self._streams and self.limit else ("poll",)

    @property
    def can_park(self) -> bool:
        return self._place is not None

    @property
    def why(self) -> str:
        if self._why:
            return self._why
        if not self.limit:
            return "no request may be held, since it has no thread to spare: clients poll once a second"
        if not self._streams:
            return f"{self.limit} long polls may be held; streams are off, since it sends a response when it is complete"
        return f"{self.limit} requests may be held, a thread each; WebSocket is off, since it does not hand over sockets"

    def reserve(self) -> None:
        """Keep a place for this request, if there is one left: before it is asked what it is, since many come at once."""
        self._place = _held.reserve(self.limit)

    def release(self) -> None:
        """Give the place back: the request was answered."""
        if self._place is not None:
            self._place.release()
            self._place = None

    def take(self, environ: dict[str, Any]) -> Taken:
        """Begin a response that the request's thread will pull."""
        ours, self.pulled = socket.socketpair()
        ours.setblocking(False)
        return Taken(socket.SocketType(fileno=ours.detach()))

    def pull(self, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Give the server what comes through the pair: the head now, the body as it comes."""
        assert self.pulled is not None and self._place is not None
        return _Pulled(self.pulled, self._place, start_response, self._client)


class _Held:
    """The requests of this process that are held: its threads are what runs out."""

    def __init__(self) -> None:
        self.count = 0
        self._lock = real_lock()

    def reserve(self, limit: int) -> _Place | None:
        with self._lock:
            if self.count >= limit:
                return None
            self.count += 1
            return _Place(self)

    def release(self) -> None:
        with self._lock:
            self.count -= 1


class _Place:
    """The right to hold one request."""

    def __init__(self, held: _Held) -> None:
        self._held: _Held | None = held

    def release(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            held.release()


_held = _Held()


def held_requests() -> int:
    """Return how many requests this process holds in threads, or may be about to."""
    return _held.count


class _Pulled:
    """The body of a held response, as an iterator of the server's thread."""

    def __init__(self, sock: socket.socket, place: _Place, start_response: Callable[..., Any], client: Any) -> None:
        self._sock = sock
        self._place = place
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)
        if client is not None:
            self._poll.register(client, select.POLLRDHUP)
        try:
            self._rest = self._start(start_response)
        except BaseException:
            self.close()
            raise

    def _start(self, start_response: Callable[..., Any]) -> bytes:
        """Read the head that the connection wrote, and tell it to the server in the server's own way.

        None comes if the client has gone, or the worker has ended: then nobody reads the answer, or it says come back.
        """
        data = b""
        while b"\r\n\r\n" not in data:
            more = self._next()
            if not more:
                start_response("503 Service Unavailable", [("Retry-After", "1"), ("Content-Length", "0"), NOSNIFF])
                return b""
            data += more
        head, _, rest = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = [line.partition(": ") for line in lines]
        start_response(first.partition(" ")[2], end_to_end((name, value) for name, _, value in pairs))
        return rest

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        data, self._rest = self._rest, b""
        data = data or self._next()
        if not data:
            self.close()
            raise StopIteration
        return data

    def _next(self) -> bytes:
        """Wait for more. A client that has sent FIN is gone: an idle response would not learn it for two heartbeats."""
        ready = [descriptor for descriptor, _ in self._poll.poll()]
        return self._sock.recv(65536) if self._sock.fileno() in ready else b""

    def close(self) -> None:
        """The server is done, or its client is gone: so is the connection at the other end."""
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)  # a child may hold a copy
        self._sock.close()
        self._place.release()

    def __del__(self) -> None:
        self.close()  # Werkzeug's server may not, after a connection that broke


def end_to_end(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the headers without those of the connection: an application may not set them (PEP 3333), it is the server's."""
    return [(name, value) for name, value in headers if name.lower() not in _HOP_BY_HOP]


def find_threaded(environ: dict[str, Any], start_response: Any) -> Threaded:
    """Tell what a server that is none of gevent's can do, by what it puts into the environ."""
    name, client = (
        environ.get("SERVER_SOFTWARE") or ("uWSGI" if "uwsgi.version" in environ else "unknown"),
        _client_socket(environ),
    )
    if not environ.get("wsgi.multithread"):
        return Threaded("gunicorn sync" if "gunicorn.socket" in environ else name, 0, streams=False)
    if name.startswith("WSGIServer/") and threading.current_thread().name in _SERVING_ALONE:
        return Threaded(name, 0, streams=False)
    if "werkzeug.socket" in environ or name.startswith("WSGIServer/"):
        return Threaded(name, _MANY, streams=True, client=client)
    if type(environ.get("gunicorn.socket")).__module__.startswith("gevent."):
        return Threaded("gunicorn gevent", 0, streams=False, why=_HIDDEN)
    if "gunicorn.socket" in environ or name.startswith("gunicorn/"):
        threads = threads_of_process(start_response)
        return Threaded("gunicorn gthread", max(0, threads - _FREE_THREADS), streams=True, client=client)
    if "waitress.client_disconnected" in environ:
        channel = getattr(environ["waitress.client_disconnected"], "__self__", None)
        threads = getattr(getattr(channel, "adj", None), "threads", 4)
        client = getattr(channel, "socket", None)
        return Threaded("waitress", max(0, threads - _FREE_THREADS), streams=False, client=client)
    if "uwsgi.version" in environ:
        uwsgi = importlib.import_module("uwsgi")  # of the server itself, nowhere else to be had
        threads = int(uwsgi.opt.get("threads", 1))
        return Threaded(name, max(0, threads - _FREE_THREADS), streams=True, client=uwsgi.connection_fd())
    if "mod_wsgi.version" in environ:
        threads = importlib.import_module("mod_wsgi").threads_per_process
        return Threaded("mod_wsgi", max(0, threads - _FREE_THREADS), streams=True)
    return _unknown(name, client)


def _unknown(name: str, client: Any) -> Threaded:
    """Make the best of a server that is not known: it passes on what it is given, as PEP 3333 asks, and has the threads that
    it shows."""
    threads = threads_of_cheroot() or threads_of_granian()
    if threads is not None:
        return Threaded(name, max(0, threads - _FREE_THREADS), streams=True, client=client)
    _seen.see()
    if _seen.has_one_for_each_request:
        return Threaded(name, _MANY, streams=True, client=client)
    limit = max(1, _seen.count - _FREE_THREADS)
    why = (
        f"it does not tell how many threads it has: {_seen.count} were seen so far, so {limit} requests may be held, and more "
        "as more are seen; WebSocket is off, since it does not hand over sockets"
    )
    return Threaded(name, limit, streams=True, client=client, why=why)


_seen = SeenThreads()


def _client_socket(environ: dict[str, Any]) -> Any:
    """Find the socket of the client, only to see when it has gone; None where the server hides it."""
    sock = environ.get("gunicorn.socket") or environ.get("werkzeug.socket")
    if sock is None:  # Django's and cheroot's read the body through layers of their own
        reader = behind(environ.get("wsgi.input"), lambda one: isinstance(_raw_socket(one), socket.SocketType))
        sock = _raw_socket(reader)
    return sock


def _raw_socket(reader: Any) -> Any:
    return getattr(getattr(reader, "raw", None), "_sock", None)
