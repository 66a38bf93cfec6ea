"""Whose session it is: a copied `sid` is of no use to somebody else.

Rule: the application is asked again only if a request bears other credentials than the one before, or when that was too long
ago; a poll on the fast path is the same head as one that was asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b

from cometware.client import Environ
from cometware.dialects.engineio import FORBIDDEN
from cometware.endpoint.exchange import Exchange
from cometware.endpoint.socketio.errors import BadEngineRequest
from cometware.transports.report import tell
from cometware.transports.session import Session

_NO_CREDENTIALS = {
    "HTTP_" + name
    for names in (
        "ACCEPT ACCEPT_CHARSET ACCEPT_ENCODING ACCEPT_LANGUAGE CACHE_CONTROL CONNECTION CONTENT_ENCODING CONTENT_LENGTH",
        "CONTENT_TYPE DNT EXPECT IF_MODIFIED_SINCE IF_NONE_MATCH KEEP_ALIVE ORIGIN PRAGMA PRIORITY REFERER SEC_FETCH_DEST",
        "SEC_FETCH_MODE SEC_FETCH_SITE SEC_FETCH_USER SEC_GPC SEC_WEBSOCKET_EXTENSIONS SEC_WEBSOCKET_KEY TE TRACEPARENT",
        "SEC_WEBSOCKET_PROTOCOL SEC_WEBSOCKET_VERSION TRACESTATE TRANSFER_ENCODING UPGRADE X_AMZN_TRACE_ID",
        "X_CORRELATION_ID X_REQUEST_ID X_REQUEST_START",
    )
    for name in names.split()
}
"""Headers that change from request to request, and tell nobody who asks. Any other one may be what `user` goes by."""
_SERVERS_WORD = ("REMOTE_USER", "AUTH_TYPE", "SSL_")
_PROTOCOL = frozenset({"EIO", "transport", "sid", "t", "j", "b64"})


def credentials(environ: Environ, query: Mapping[str, str]) -> bytes:
    """Return what stands for all of a request by which an application may know its user; none of it can be read from that."""
    told = [
        f"{name}={value}"
        for name, value in environ.items()
        if (name[:5] == "HTTP_" and name not in _NO_CREDENTIALS) or name.startswith(_SERVERS_WORD)
    ]
    told += [f"{name}={value}" for name, value in query.items() if name not in _PROTOCOL]
    told.sort()
    return blake2b("\0".join(told).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def begin(exchange: Exchange, session: Session, query: Mapping[str, str]) -> None:
    """Note by which request a session began: its namespaces ask the application for that one's user."""
    if exchange.find_user is not None:
        session.credentials = credentials(exchange.environ, query)
        session.ask_tick = exchange.worker.tick_after(exchange.worker.limits.reauthorise_seconds)


def check(exchange: Exchange, session: Session, query: Mapping[str, str]) -> None:
    """See that a request which names a session comes from its user. May wait; the session may have ended by then.

    Raises:
        BadEngineRequest: It comes from somebody else, or from nobody who is known.
    """
    find_user, worker, environ = exchange.find_user, exchange.worker, exchange.environ
    if find_user is None:
        return
    shown, tick = credentials(environ, query), worker.wheel.tick
    if shown == session.credentials and tick < session.ask_tick:
        return
    if not session.is_known:
        session.know(worker.who(find_user, session.namespaces.environ), {})
    if session.user is not None and session.user != worker.who(find_user, {**environ, "cometware.auth": session.auth}):
        tell("403 session", "403 session: a request with another user's Socket.IO session (sid) was refused")
        raise BadEngineRequest(FORBIDDEN, "this session is another user's; begin a new one")
    session.credentials = shown
    session.ask_tick = worker.tick_after(worker.limits.reauthorise_seconds)
