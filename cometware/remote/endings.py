"""What a server's no means: come back, or not; and as which error the caller hears it. Pure."""

from __future__ import annotations

from typing import Any

from cometware.errors import Closed, CometwareError, Failed, Refused, Unreachable
from cometware.remote.route import Refusal

RETRIED = frozenset({408, 425, 429})


def comes_back(code: int) -> bool:
    """Does a close code ask the client to come back (`docs/protocol.md`)?"""
    return 4000 <= code < 4400


def is_final(refusal: Refusal, *, opened: bool, is_last: bool = False) -> bool:
    """Is this said for good?

    An error that closes tells by its code. Who was never open takes whatever is its own fault so: the application's
    refusal at once, anything else from the last transport that is tried.
    """
    close = refusal.error.get("close")
    if close is not None:
        return not comes_back(close)
    if refusal.status in (401, 403, 410):
        return True
    if opened or refusal.status in RETRIED:
        return False
    is_refused = 400 <= refusal.status < 500 and refusal.error.get("code") == "refused"
    return is_refused or (is_last and 300 <= refusal.status < 500)


def ending(refusal: Refusal, url: str, transport: str) -> CometwareError:
    """Return what the caller is told of it."""
    close, message = refusal.error.get("close"), refusal.error.get("message")
    if close is not None:
        return Closed(close, message or "")
    if refusal.status < 400:
        return Unreachable(url, {transport: str(refusal)})
    reason = message or str(refusal).partition(": ")[2]
    return Refused(refusal.status, reason, body=refusal.body, content_type=refusal.content_type)


def failure(error: dict[str, Any]) -> Failed:
    """Turn the channel's error about a message of ours into one that is raised."""
    details = {name: value for name, value in error.items() if name not in ("code", "message")}
    return Failed(str(error.get("code")), str(error.get("message")), **details)


def told(error: OSError) -> str:
    """Say in a few words why a connection failed."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return error.strerror or str(error) or type(error).__name__
