"""Why a client has the transport that it has: one of a fixed list of causes, found from plain facts of its requests."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from cometware.core.negotiation import Facts, Transport
from cometware.core.text import shown

_VIA_CHARACTERS = 80
_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host")


class Cause(Enum):
    """What decided, in words for the log. `SAID` tells those that only the client can know."""

    PASSED = "WebSocket: passed"
    NO_UPGRADE = "WebSocket: Upgrade header absent"
    NO_CONNECTION = "WebSocket: Upgrade header present, Connection does not name it"
    HTTP_1_0 = "WebSocket: request came as HTTP/1.0"
    SERVER = "WebSocket: off under this server"
    SCRIPT = "a script can only poll"
    CHOSEN = "chosen by the page"
    REMEMBERED = "it worked here before, says the client"
    MISSING = "WebSocket: not in this browser, says the client"
    FAILED = "WebSocket: failed, says the client"
    SILENT = "WebSocket: no answer in time, says the client"
    CUT = "WebSocket: cut again and again, says the client"
    BUFFERED = "stream: held back on its way, says the client"
    ASKED = "asked for, the client does not say why"

    @property
    def is_fault(self) -> bool:
        """Is there something between client and server that somebody can put right?"""
        return self in _FAULTS


_FAULTS = frozenset(
    {Cause.NO_UPGRADE, Cause.NO_CONNECTION, Cause.HTTP_1_0, Cause.FAILED, Cause.SILENT, Cause.CUT, Cause.BUFFERED}
)
SAID = {
    "chosen": Cause.CHOSEN,
    "remembered": Cause.REMEMBERED,
    "websocket-missing": Cause.MISSING,
    "websocket-failed": Cause.FAILED,
    "websocket-silent": Cause.SILENT,
    "websocket-cut": Cause.CUT,
    "stream-buffered": Cause.BUFFERED,
}
"""What a client may say by `?why=`; anything else it says is as nothing."""
_OVER_ALL = frozenset({Cause.CHOSEN, Cause.BUFFERED})


def why(transport: str, carried: Sequence[str], said: str | None, failed: Cause | None, *, by_script: bool = False) -> Cause:
    """Tell why a client comes by this transport.

    `carried` are the transports of the server, `said` what the client states, `failed` what became of this client's own
    WebSocket on the way here, if we saw it. `by_script`: JSONP.
    """
    if transport == Transport.WEBSOCKET.value:
        return Cause.PASSED
    if by_script:
        return Cause.SCRIPT
    statement = SAID.get(said or "")
    if statement in _OVER_ALL:
        return statement
    if Transport.WEBSOCKET.value not in carried:
        return Cause.SERVER
    return failed or statement or Cause.ASKED


def failed_websocket(facts: Facts, protocol: str) -> Cause | None:
    """Tell why this request for a WebSocket can be none; None if it can, or is no such request.

    `protocol` is that of the request, like `HTTP/1.1`.
    """
    if facts.method != "GET" or facts.websocket_key is None:
        return None
    if facts.upgrade.lower() != "websocket":
        return Cause.NO_UPGRADE
    if "upgrade" not in facts.connection.lower():
        return Cause.NO_CONNECTION
    return Cause.HTTP_1_0 if protocol == "HTTP/1.0" else None


def trail(via: str | None, protocol: str, present: Sequence[str]) -> str:
    """Tell what a request's way here shows of itself: `, Via: 1.1 squid`. Nothing if it shows nothing.

    `present` are the names of its headers of which only the presence is told, since they hold addresses.
    """
    if via:
        return f", Via: {shown(via, _VIA_CHARACTERS)}"
    forwarded = next((name for name in _FORWARDED if name in present), None)
    if forwarded is not None:
        return f", {forwarded} present"
    return ", HTTP/1.0" if protocol == "HTTP/1.0" else ""
