"""One message channel for the web application that you already have."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cometware.channel import Channel
from cometware.client import Client
from cometware.core.data import Args
from cometware.core.entry import Entry, Position
from cometware.core.rates import Rate, Rates
from cometware.errors import Closed, CometwareError, Failed, LogUnavailable, Refused, Unreachable
from cometware.limits import Limits
from cometware.roster.base import Presence

if TYPE_CHECKING:
    from cometware.middleware import Cometware
    from cometware.remote import Connection, Heard, connect
    from cometware.servers.pywsgi import Handler

__all__ = [
    "Args",
    "Channel",
    "Client",
    "Closed",
    "Cometware",
    "CometwareError",
    "Connection",
    "Entry",
    "Failed",
    "Handler",
    "Heard",
    "Limits",
    "LogUnavailable",
    "Position",
    "Presence",
    "Rate",
    "Rates",
    "Refused",
    "Unreachable",
    "connect",
]

__version__ = "0.1.0"

_LATER = {
    "Cometware": "cometware.middleware",
    "Handler": "cometware.servers.pywsgi",
    "Connection": "cometware.remote",
    "Heard": "cometware.remote",
    "connect": "cometware.remote",
}


def __getattr__(name: str) -> Any:
    """Import what serves clients, and gevent with it, and the client, only where asked for: a task queue publishes without."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_LATER[name]), name)
    return found
