"""A response that does not end: Server-Sent Events and ndjson."""

from __future__ import annotations

from _socket import socket as RawSocket
from typing import TYPE_CHECKING

from cometware.core.events import Close
from cometware.core.framing import LAST_CHUNK
from cometware.dialects.base import Shape
from cometware.roster.base import Record
from cometware.transports.connection import Connection

if TYPE_CHECKING:
    from cometware.transports.worker import Worker


class Stream(Connection):
    """Chunked for HTTP/1.1, else it ends with its socket."""

    transport = "stream"

    __slots__ = ("chunked",)

    def __init__(self, worker: Worker, sock: RawSocket, shape: Shape, record: Record, *, chunked: bool) -> None:
        super().__init__(worker, sock, shape, record)
        self.chunked = chunked

    def goodbye(self, close: Close) -> bytes:
        return LAST_CHUNK if self.chunked else b""


class EventStream(Stream):
    """The same as Server-Sent Events."""

    transport = "sse"

    __slots__ = ()
