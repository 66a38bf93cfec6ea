"""Where `cometware serve` listens, in gunicorn's words: `HOST:PORT`, `PORT`, `unix:PATH`, `fd://NUMBER`."""

from __future__ import annotations

import os
import re
import socket
import stat
from typing import NamedTuple

WAITING = 4096
"""Connections that may wait to be taken, if the system allows it: any more are tried again seconds later."""


class Bind(NamedTuple):
    """One place: a host and a port, or the path of a UNIX socket, or the descriptor of a socket that listens already."""

    host: str = ""
    port: int = 0
    path: str = ""
    descriptor: int = -1

    def __str__(self) -> str:
        """Write it as gunicorn takes it."""
        if self.path:
            return f"unix:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" if self.descriptor < 0 else f"fd://{self.descriptor}"

    def listen(self) -> socket.socket:
        """Return a socket that listens there.

        Raises:
            OSError: It is taken, or must not be used.
        """
        if self.descriptor >= 0:
            return socket.socket(fileno=self.descriptor)
        if self.path:
            if os.path.exists(self.path) and stat.S_ISSOCK(os.stat(self.path).st_mode):
                os.unlink(self.path)  # left by one who has ended
            sock = socket.socket(socket.AF_UNIX)
            sock.bind(self.path)
        else:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            family, kind, protocol, _, address = found[0]
            sock = socket.socket(family, kind, protocol)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
        sock.listen(WAITING)
        return sock


def parse(text: str) -> Bind:
    """Read one place. A port alone is one of this host, which nobody else reaches.

    >>> parse("8000")
    Bind(host='127.0.0.1', port=8000, path='', descriptor=-1)

    Raises:
        ValueError: It is none.
    """
    if text.startswith("unix:") and text[5:]:
        return Bind(path=text[5:].removeprefix("//"))
    found = re.fullmatch(r"fd://(\d+)", text)
    if found is not None:
        return Bind(descriptor=int(found[1]))
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > 65535 or "/" in host:
        raise ValueError(f"got {text!r}, expected HOST:PORT like 127.0.0.1:8000, PORT, unix:PATH or fd://NUMBER")
    return Bind(host.strip("[]") or "127.0.0.1", int(port))


def shown(sock: socket.socket, scheme: str) -> str:
    """Tell where a socket listens."""
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return f"unix:{name}"
    host = f"[{name[0]}]" if ":" in name[0] else name[0]
    return f"{scheme}://{host}:{name[1]}"
