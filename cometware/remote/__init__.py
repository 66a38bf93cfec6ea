"""A client of a channel that is served elsewhere: `cometware.connect`. It needs no gevent, and works with it."""

from cometware.remote.connection import Connection, connect
from cometware.remote.keeping import Heard

__all__ = ["Connection", "Heard", "connect"]
