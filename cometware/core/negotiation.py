"""One URL, every transport: what a request on the channel's path asks for."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from cometware.core.entry import Position
from cometware.core.keys import is_key

SUBPROTOCOL = "cometware.v1"
"""The WebSocket subprotocol of the native dialect."""

_KEY_PREFIX = "key."
_CALLBACK = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]{0,63}\Z")


class Transport(str, Enum):
    """How frames travel."""

    WEBSOCKET = "websocket"
    SSE = "sse"
    STREAM = "stream"
    POLL = "poll"
    POST = "post"
    PAGE = "page"


@dataclass(frozen=True)
class Facts:
    """What of a request decides, in plain values. `accept` is the best of `ACCEPTED` for its Accept header."""

    method: str
    accept: str = "application/json"
    content_type: str = ""
    upgrade: str = ""
    connection: str = ""
    websocket_key: str | None = None
    subprotocols: Sequence[str] = ()
    key: str | None = None
    last_event_id: str | None = None
    query: Mapping[str, str] | None = None


ACCEPTED = ("application/json", "text/event-stream", "application/x-ndjson", "text/html")
_BY_ACCEPT = dict(zip(ACCEPTED, (Transport.POLL, Transport.SSE, Transport.STREAM, Transport.PAGE), strict=True))
_BY_NAME = {"sse": Transport.SSE, "stream": Transport.STREAM, "poll": Transport.POLL}


@dataclass(frozen=True)
class Asked:
    """The answer of `negotiate`.

    `position` is where to read on from; `has_position` tells an unknown one (None) from none at all. `last` is how much
    history to begin with, `wait_seconds` None the server's own choice. `callback` names the function that a poll's answer
    calls (JSONP); `tell_accepted` asks a poll for the last accepted number, since a form's own answer cannot be read.
    """

    transport: Transport
    native: bool
    key: str | None = None
    position: Position | None = None
    has_position: bool = False
    last: int = 0
    wait_seconds: float | None = None
    callback: str = ""
    tell_accepted: bool = False


class NotNegotiable(Exception):
    """This request can not be answered; `status` and `headers` say how to say so."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, code, message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})


def negotiate(facts: Facts) -> Asked:
    """Read from a request which transport, which dialect, who and from where.

    Raises:
        NotNegotiable: A method, an option or a key is not what it may be, or a proxy took the Upgrade away.
    """
    if facts.method not in ("GET", "POST"):
        raise NotNegotiable(
            405,
            "method",
            f"got {facts.method[:20]}, expected GET, POST or OPTIONS",
            {"Allow": "GET, POST, OPTIONS"},
        )
    query = facts.query or {}
    key = _key(facts)
    version = query.get("v")
    if version not in (None, "1"):
        raise NotNegotiable(400, "version", f"v={version[:20]!r}: this server speaks v=1")
    if facts.method == "POST":
        native = version == "1" or facts.content_type == "application/json"
        return Asked(Transport.POST, native, key)
    transport, native = _transport(facts, query, version == "1")
    after = facts.last_event_id or query.get("last_event_id") or query.get("lastEventId") or query.get("after")
    return Asked(
        transport,
        native,
        key,
        position=Position.parse(after) if after else None,
        has_position=bool(after),
        last=_last(query.get("last")),
        wait_seconds=_wait(query.get("wait")),
        callback=query.get("callback", ""),
        tell_accepted="accepted" in query,
    )


def _transport(facts: Facts, query: Mapping[str, str], v1: bool) -> tuple[Transport, bool]:
    if facts.upgrade.lower() == "websocket" and "upgrade" in facts.connection.lower():
        return Transport.WEBSOCKET, v1 or SUBPROTOCOL in facts.subprotocols
    if facts.websocket_key is not None:
        raise NotNegotiable(
            426,
            "upgrade",
            "this is a WebSocket request whose Upgrade header a proxy took away. In nginx: proxy_http_version 1.1; "
            "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; "
            "in Apache: mod_proxy_http with upgrade=websocket; until then use another transport",
            {"Upgrade": "websocket", "Connection": "Upgrade"},
        )
    name = query.get("transport")
    if name is not None and name not in _BY_NAME:
        raise NotNegotiable(400, "transport", f"transport={name[:40]!r}: expected sse, stream or poll")
    if "callback" in query:
        if not is_callback(query["callback"]):
            raise NotNegotiable(400, "callback", "callback: expected the name of a function, of A–Z a–z 0–9 _ $, up to 64")
        if name not in (None, "poll"):
            raise NotNegotiable(400, "callback", f"callback: a script can only poll, got transport={name}")
        return Transport.POLL, True
    transport = _BY_NAME[name] if name is not None else _BY_ACCEPT[facts.accept]
    return transport, v1 or transport is not Transport.SSE


def is_callback(name: str) -> bool:
    """Is this the plain name of a function? A path to one would let a stranger call methods of the page."""
    return _CALLBACK.match(name) is not None


def offered_key(facts: Facts) -> str | None:
    """Find the key that a request carries, be it one or not."""
    offered = [name[len(_KEY_PREFIX) :] for name in facts.subprotocols if name.startswith(_KEY_PREFIX)]
    return facts.key or (offered[0] if offered else None) or (facts.query or {}).get("key")


def _key(facts: Facts) -> str | None:
    key = offered_key(facts)
    if key is not None and not is_key(key):
        raise NotNegotiable(
            400,
            "key",
            f"a client's key is 22 to 86 characters of base64url (A–Z a–z 0–9 - _), random, at least 128 bits; "
            f"got {len(key)} characters",
        )
    return key


def _last(text: str | None) -> int:
    if text is None:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise NotNegotiable(400, "last", f"last={text[:40]!r}: expected a number of entries")
    return int(text)


def _wait(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise NotNegotiable(400, "wait", f"wait={text[:40]!r}: expected a number of seconds")
    return seconds
