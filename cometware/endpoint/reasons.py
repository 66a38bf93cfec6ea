"""Why each client has the transport that it has: what `core.cause` decides, remembered and told within bounds.

Rule: however many strangers come, and whatever they write into their headers, this holds no more than `_TEXTS` texts and
`_FAILED` keys; a client's record only points at a text.
"""

from __future__ import annotations

from collections import OrderedDict

from cometware.client import Environ
from cometware.core import keys
from cometware.core.cause import Cause, failed_websocket, trail, why
from cometware.core.negotiation import Asked, Facts, offered_key
from cometware.endpoint.answers import query_of
from cometware.servers.base import Server
from cometware.transports.report import logger

_TEXTS = 256
"""Distinct texts; beyond, a client's way here is left out."""
_FAILED = 1000
"""Clients whose WebSocket was seen to fail, the latest."""
_HEADERS = {
    "Forwarded": "HTTP_FORWARDED",
    "X-Forwarded-For": "HTTP_X_FORWARDED_FOR",
    "X-Forwarded-Proto": "HTTP_X_FORWARDED_PROTO",
    "X-Forwarded-Host": "HTTP_X_FORWARDED_HOST",
}


class Reasons:
    """Those of one endpoint. Everything here stays in the thread of the channel's loop."""

    def __init__(self) -> None:
        self._texts: dict[tuple[Cause, str], str] = {}
        self._failed: OrderedDict[str, Cause] = OrderedDict()
        self._told: set[Cause] = set()

    def look(self, facts: Facts, environ: Environ) -> None:
        """See whether this is a WebSocket that cannot be one: then its client will come by another transport."""
        cause = failed_websocket(facts, environ.get("SERVER_PROTOCOL", ""))
        if cause is None:
            return
        text = self._text(cause, _trail(environ))
        self._tell(cause, "websocket", text)
        key = offered_key(facts)
        if key is not None:
            self._failed[keys.key_id(key)] = cause
            if len(self._failed) > _FAILED:
                self._failed.popitem(last=False)

    def of(self, transport: str, asked: Asked, server: Server, environ: Environ) -> str:
        """Tell why this client comes by this transport; log it, if the cause is the first of its kind.

        A POST is no way to listen: nothing is told of it.
        """
        if transport == "post":
            return ""
        said = query_of(environ).get("why") if "why=" in environ.get("QUERY_STRING", "") else None
        failed = self._failed.get(keys.key_id(asked.key)) if asked.key and self._failed else None
        cause = why(transport, server.transports, said, failed, by_script=bool(asked.callback))
        text = self._text(cause, f" ({server.why})" if cause is Cause.SERVER else _trail(environ))
        self._tell(cause, transport, text)
        return text

    def _text(self, cause: Cause, details: str) -> str:
        text = self._texts.get((cause, details))
        if text is None:
            if len(self._texts) >= _TEXTS:
                return cause.value
            text = self._texts[cause, details] = cause.value + details
        return text

    def _tell(self, cause: Cause, transport: str, text: str) -> None:
        if cause not in self._told:
            self._told.add(cause)
            tell = logger.warning if cause.is_fault else logger.info
            tell("why %s: %s (told once for each kind of cause)", transport, text)


def _trail(environ: Environ) -> str:
    present = [name for name, variable in _HEADERS.items() if variable in environ]
    return trail(environ.get("HTTP_VIA"), environ.get("SERVER_PROTOCOL", ""), present)
