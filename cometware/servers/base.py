"""What can this server do? Found from the environ of a request, never from what is importable."""

from __future__ import annotations

import socket
from _socket import socket as RawSocket
from collections.abc import Iterable
from typing import Any, NamedTuple

from cometware.limits import Limits
from cometware.servers.tls import is_tls, take_tls
from cometware.transports.poll import GiveBack


class Taken(NamedTuple):
    """A socket that is ours alone now, non-blocking; the server neither reads, writes nor closes it any more.

    `early` is what had been read from it already. `give_back` is None where the server cannot serve it again. `result` is what
    the application returns to the server, which then does nothing.
    """

    sock: RawSocket
    early: bytes = b""
    give_back: GiveBack | None = None
    result: Iterable[bytes] = ()


ALL_TRANSPORTS = ("websocket", "sse", "stream", "poll")


class Server:
    """One kind of server."""

    name: str
    raw_head: bytes | None = None
    """The request as it came, where that is known."""
    limits: Limits | None = None
    """Those of the channel whose middleware has the request; they bound how long its body may take."""
    has_upgraded: bool = False
    """Has it said 101 already, before the application was asked?"""
    frames_bodies: bool = False
    """Does it write a response's body itself, chunked or not?"""
    may_block: bool = False
    """Does each request run where it may block: in a native thread of its own, or in a test?"""

    @property
    def why(self) -> str:
        """Tell why a transport is off; nothing, if all are on."""
        raise NotImplementedError

    @property
    def transports(self) -> tuple[str, ...]:
        """Return what it can carry."""
        raise NotImplementedError

    @property
    def can_park(self) -> bool:
        """Can a connection be taken from it?"""
        raise NotImplementedError

    def take(self, environ: dict[str, Any]) -> Taken:
        """Take the connection of this request. Duty of the caller: return the `result`, without `start_response`."""
        raise NotImplementedError


def take_socket(server_socket: Any) -> tuple[RawSocket, bytes]:
    """Take a server's socket from it; with what TLS had decrypted already.

    It is left with one whose peer has gone: whatever it or a wrapper still does with it then meets an ordinary end.
    """
    if is_tls(server_socket):
        sock, early = take_tls(server_socket)
    else:
        sock, early = RawSocket(fileno=server_socket.detach()), b""
        sock.setblocking(False)
    dead, peer = socket.socketpair()
    peer.close()
    dead.setblocking(False)
    server_socket._sock = dead
    return sock, early


class Parking(Server):
    """A server of gevent's: its connections are taken and parked."""

    socket: Any
    can_park = True
    transports = ALL_TRANSPORTS
    why = ""
