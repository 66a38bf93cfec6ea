"""A test kit for applications with a channel: every transport in the test's own process and thread, with a clock that the
test moves.

The application runs as it is, behind the real channel; only the network and the time are the test's. `docs/testing.md`.
"""

from cometware.testing.client import Client
from cometware.testing.clock import Clock
from cometware.testing.connection import Connection, Message

__all__ = ["Client", "Clock", "Connection", "Message"]
