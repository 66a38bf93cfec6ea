"""What a wire understands of the frames that it receives."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from cometware.core.data import Data


class Received(NamedTuple):
    """A message from the client: `number` is its own count of messages (None: it does not count), `asks` for a reply.

    `label` is under what the reply is asked for, where that is not the number.
    """

    event: str
    data: Data
    number: int | None = None
    asks: bool = False
    label: int | None = None


class Pinged(NamedTuple):
    """The client wants to hear something at once, to learn whether the connection still lives."""


class Left(NamedTuple):
    """The client says that it goes: it has left when so many seconds are over and it has not come back."""

    wait_seconds: float = 0


Event: TypeAlias = Received | Pinged | Left


class Close(NamedTuple):
    """Why a client or a connection ends. The code says what to do next: 4000–4399 come back, 4400–4499 do not."""

    code: int
    reason: str = ""


DRAIN = 4000
REAUTHORISE = 4001
HISTORY_LOST = 4002
REPLACED = 4003
AWAY = 4004
LATER = 4005
LEFT = 4006
UNAUTHORISED = 4401
FORBIDDEN = 4403
REVOKED = 4410
TOO_MANY = 4429


def close_code(code: int) -> int:
    """Check a close code of the application.

    Raises:
        ValueError: It is none that a WebSocket may carry (RFC 6455 §7.4.2: 1000, 3000–4999).
    """
    if code != 1000 and not 3000 <= code <= 4999:
        raise ValueError(f"close(code={code}): expected 1000 or 3000 to 4999 (4000–4399 come back, 4400–4499 do not)")
    return code
