"""Connections that one process of this host passes on to another: whoever accepts one, who knows its session serves it.

Each process has a name, and listens at a UNIX socket of that name (abstract: no file, gone with the process). It takes
connections only from processes of the same user, and gives them to no other.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import secrets
import socket
import struct
import sys
from _socket import socket as RawSocket
from array import array
from collections.abc import Callable, Iterable
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import gevent
import gevent.socket

from cometware.core import framing
from cometware.servers.base import Parking, Server, Taken
from cometware.transports.report import report

_SIZES = struct.Struct("!III")
_CREDENTIALS = struct.Struct("3i")
_PASS_SECONDS = 10.0
"""How long a passing may take; both processes are on one host."""
_WAITING = 256
_HOST_LENGTH = 4
_BOOT, _NETWORK = "/proc/sys/kernel/random/boot_id", "/proc/self/ns/net"

Serve = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Passed(Parking):
    """The server of a connection that came from another process; it ends behind one answer."""

    def __init__(self, name: str, sock: Any, early: bytes, *, has_upgraded: bool) -> None:
        self.name = name
        self.socket = sock
        self.has_upgraded = has_upgraded
        self._early = early
        self.taken = False

    def take(self, environ: dict[str, Any]) -> Taken:
        """Detach the socket."""
        self.taken = True
        self.socket.setblocking(False)
        return Taken(RawSocket(fileno=self.socket.detach()), self._early)


def home_here() -> str:
    """Make a name for this process: that of its host, and its own."""
    return _host() + secrets.token_urlsafe(9)


def is_on_this_host(home: str) -> bool:
    """Is, or was, this a process to which connections can be passed from here?"""
    return home.startswith(_host())


@cache
def _host() -> str:
    """Name this host until it is started anew; each container is one of its own, since UNIX sockets end at its network."""
    facts = [Path(_BOOT).read_text(), str(os.stat(_NETWORK).st_ino)] if os.path.exists(_BOOT) else [socket.gethostname()]
    return base64.urlsafe_b64encode(hashlib.sha256(" ".join(facts).encode()).digest())[:_HOST_LENGTH].decode()


def _address(home: str) -> str:
    return f"\0cometware-{home}"


def pass_on(home: str, server: Server, environ: dict[str, Any], body: bytes) -> Iterable[bytes] | None:
    """Pass the connection of this request to the process of this name; return what the application returns to its server.

    None, and nothing is done: there is no such process, or the connection cannot be taken from this server.
    """
    if not isinstance(server, Parking) or not server.can_park:
        return None
    try:
        door: Any = gevent.socket.socket(socket.AF_UNIX)
        with gevent.Timeout(_PASS_SECONDS, TimeoutError), closing(door):
            door.connect(_address(home))
            if _user_of(door) != os.geteuid():
                return None
            taken = server.take(environ)
            with closing(taken.sock):
                _send(door, taken, environ, body, name=server.name, has_upgraded=server.has_upgraded)
            return taken.result
    except ConnectionRefusedError:
        return None


def _send(door: Any, taken: Taken, environ: dict[str, Any], body: bytes, **about: Any) -> None:
    fields = {key: value for key, value in environ.items() if isinstance(value, str)}
    head = json.dumps([fields, about]).encode()
    data = _SIZES.pack(len(head), len(body), len(taken.early)) + head + body + taken.early
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [taken.sock.fileno()]))]
    sent = door.sendmsg([data], rights)
    door.sendall(data[sent:])


def _user_of(door: Any) -> int:
    """Who is at the other end?"""
    found = door.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(found)[1])


class Door:
    """Where this process takes connections. One greenlet accepts, and lives as long as the process; one for each serves it."""

    def __init__(self, home: str, serve: Serve, max_body_bytes: int) -> None:
        self._serve = serve
        self._max_bytes = max_body_bytes
        self._listener = gevent.socket.socket(socket.AF_UNIX)
        self._listener.bind(_address(home))
        self._listener.listen(_WAITING)
        gevent.spawn(self._accept)

    def _accept(self) -> None:
        while True:
            try:
                door, _ = self._listener.accept()
            except OSError:
                report("taking connections from other processes")
                gevent.sleep(1)
            else:
                gevent.spawn(self._take, door)

    def _take(self, door: Any) -> None:
        sock: Any = None
        try:
            with gevent.Timeout(_PASS_SECONDS, TimeoutError), closing(door):
                if _user_of(door) != os.geteuid():
                    return
                data, sock = self._receive(door)
            head, body, early = data
            fields, about = json.loads(head)
            self._answer(fields, body, Passed(about["name"], sock, early, has_upgraded=about["has_upgraded"]))
        except (OSError, TimeoutError):
            pass  # the other process has died, or the client has
        except Exception:
            report("a connection from another process")
        finally:
            if sock is not None:
                sock.close()

    def _receive(self, door: Any) -> tuple[list[bytes], Any]:
        data, rights, _, _ = door.recvmsg(65536, socket.CMSG_LEN(4))
        if not rights:
            raise OSError("no connection was passed")
        sock = gevent.socket.socket(fileno=array("i", rights[0][2])[0])
        while len(data) < _SIZES.size and (more := door.recv(65536)):
            data += more
        sizes = _SIZES.unpack_from(data)
        if sum(sizes) > self._max_bytes:
            raise OSError("more was passed than a request may have")
        while len(data) < _SIZES.size + sum(sizes):
            more = door.recv(65536)
            if not more:
                raise OSError("the other process has died")
            data += more
        parts, at = [], _SIZES.size
        for size in sizes:
            parts.append(data[at : at + size])
            at += size
        return parts, sock

    def _answer(self, fields: dict[str, str], body: bytes, server: Passed) -> None:
        environ = {
            **fields,
            "wsgi.version": (1, 0),
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": False,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
            "CONTENT_LENGTH": str(len(body)),
            "cometware.server": server,
        }
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        started: list[Any] = []
        result = self._serve(environ, lambda *head: started.append(head))
        if server.taken:
            return
        status, headers, *_ = started[0]
        server.socket.sendall(framing.head(status, [*headers, ("Connection", "close")]) + b"".join(result))
        server.socket.shutdown(socket.SHUT_WR)
