"""A connection whose TLS our own process ends, taken from its server: what a parked connection asks of its socket.

Rule: the descriptor tells neither what TLS has read ahead nor why it waits. So a read takes all that was decrypted, and what
would block says so as a plain socket does. Technique: the TLS object belongs to the raw socket (it holds it weakly), never to
gevent's around it; both move here, and gevent's is left with a dead one (`servers.base.bury`).
"""

from __future__ import annotations

import select
import socket
import ssl
from _socket import socket as RawSocket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

import gevent.socket
import gevent.ssl
from gevent import monkey

_poll: Callable[[], Any] = monkey.get_original("select", "poll") if monkey.is_module_patched("select") else select.poll
_RECORD_BYTES = 16384
"""What one record may hold (RFC 8446 §5.1)."""


def is_tls(sock: Any) -> bool:
    return hasattr(type(sock), "getpeercert")


def take_tls(sock: Any) -> tuple[RawSocket, bytes]:
    """Take a TLS connection from gevent's socket, with what was decrypted and not read; that socket's owner may bury it."""
    raw, tls = sock._sock, sock._sslobj
    early = b""
    while tls.pending():
        early += tls.read(_RECORD_BYTES)
    sock._sslobj, sock._closed = None, True
    sock._detach_socket("detached")
    return cast(RawSocket, TLSSocket(raw, tls)), early


class TLSSocket:
    """The methods that a parked connection, or who serves it again, calls of a socket that does not block."""

    __slots__ = ("_has_said_goodbye", "_raw", "_tls", "close", "family", "fileno", "setsockopt")

    def __init__(self, raw: RawSocket, tls: Any) -> None:
        raw.setblocking(False)
        self._raw = raw
        self._tls = tls
        self._has_said_goodbye = False
        self.family = raw.family
        self.fileno = raw.fileno
        self.close = raw.close
        self.setsockopt = raw.setsockopt

    def send(self, data: bytes | memoryview) -> int:
        """Send what the socket takes, record after record.

        Raises:
            BlockingIOError: It takes nothing now. The same bytes must come first the next time, as TLS demands.
        """
        view, sent = memoryview(data), 0
        try:
            while sent < len(view):
                sent += self._tls.write(view[sent:])
        except ssl.SSLWantWriteError:
            if not sent:
                raise BlockingIOError from None
        except ssl.SSLWantReadError:
            raise ConnectionAbortedError("the peer wants another handshake") from None
        return sent

    def recv_into(self, buffer: memoryview) -> int:
        """Receive all that is decrypted; 0: the peer has ended its side, in whichever way.

        Raises:
            BlockingIOError: Nothing has come, or not yet a whole record.
        """
        if self._has_said_goodbye:
            return self._raw.recv_into(buffer)  # nobody reads it any more: only its end counts
        received = 0
        try:
            while not received or (self._tls.pending() and received < len(buffer)):
                size: int = self._tls.read(len(buffer) - received, buffer[received:])
                if not size:
                    break
                received += size
        except ssl.SSLWantReadError:
            raise BlockingIOError from None
        except ssl.SSLWantWriteError:
            raise ConnectionAbortedError("the peer wants another handshake") from None
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return 0
        return received

    def recv(self, size: int, flags: int) -> bytes:
        """Look whether the peer is still there, as `MSG_PEEK` does: b"", if it has ended its side.

        Raises:
            BlockingIOError: It has not.
        """
        poll = _poll()
        poll.register(self._raw, select.POLLRDHUP)
        if poll.poll(0):
            return b""
        raise BlockingIOError

    def shutdown(self, how: int) -> None:
        """Close our side, and say so: else a peer could not tell our end from somebody's cut."""
        if how == socket.SHUT_WR and not self._has_said_goodbye:
            self._has_said_goodbye = True
            with suppress(ssl.SSLError):  # it would wait for the peer's word
                self._tls.shutdown()
        self._raw.shutdown(how)

    def as_gevents(self) -> Any:
        """Return gevent's socket around this connection, for a server that waits. Its own constructor would begin TLS anew."""
        found: Any = gevent.ssl.SSLSocket.__new__(gevent.ssl.SSLSocket)
        gevent.socket.socket.__init__(found, fileno=self._raw.fileno())
        found._sock.detach()
        found._sock, found._sslobj, found._context = self._raw, self._tls, self._tls.context
        found._connected = found.server_side = found.suppress_ragged_eofs = True
        found._session = found.server_hostname = None
        found.do_handshake_on_connect = False
        return found


def wrapped(raw: RawSocket) -> Any:
    """Return gevent's socket around one that was taken, whichever kind it is."""
    if isinstance(raw, TLSSocket):
        return raw.as_gevents()
    sock = gevent.socket.socket(fileno=raw.detach())
    sock.setblocking(True)
    return sock
