"""A client of a channel that is served elsewhere: `cometware.connect`. It needs no gevent, and works with it."""

from cometware.remote.connection import Connection, Heard, connect

__all__ = ["Connection", "Heard", "connect"]
