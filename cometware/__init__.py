"""One message channel for the web application that you already have."""

from cometware.channel import Channel
from cometware.client import Client
from cometware.core.data import Args
from cometware.core.entry import Entry, Position
from cometware.errors import CometwareError, LogUnavailable, Refused
from cometware.limits import Limits
from cometware.middleware import Cometware
from cometware.roster.base import Presence
from cometware.servers.pywsgi import Handler

__all__ = [
    "Args",
    "Channel",
    "Client",
    "Cometware",
    "CometwareError",
    "Entry",
    "Handler",
    "Limits",
    "LogUnavailable",
    "Position",
    "Presence",
    "Refused",
]

__version__ = "0.1.0"
