"""A client of one namespace: its place in that namespace's channel. The session of which it is one carries its bytes."""

from __future__ import annotations

from _socket import socket as RawSocket
from email.utils import formatdate
from typing import TYPE_CHECKING

from cometware.core.entry import Position
from cometware.core.events import Close
from cometware.core.framing import Frame
from cometware.dialects import engineio
from cometware.dialects.base import Shape
from cometware.errors import Gap
from cometware.roster.base import NO_ROOMS, Record
from cometware.transports.connection import Answer, Connection
from cometware.transports.worker import Worker

if TYPE_CHECKING:
    from cometware.transports.session import Session

FULL = memoryview(b"")
"""Stands in a member's `unsent` while its session has no way out for it: between two polls, or behind a full socket."""
_NEVER = 2**62
NOWHERE = Position("", 0)


def compose(payload: bytes, content_type: str, position: Position = NOWHERE) -> Answer:
    """Write the answer to a poll, but for the client's own part of the head."""
    head = (
        "HTTP/1.1 200 OK\r\n"
        f"Content-Type: {content_type}\r\n"
        f"Content-Length: {len(payload)}\r\n"
        f"Date: {formatdate(usegmt=True)}\r\n"
    )
    return Answer(head.encode(), b"\r\n" + payload, payload, position)


class Member(Connection):
    """To its worker, it is a connection like any other; it is attached until its session ends, also between two polls."""

    __slots__ = ("namespace", "session")

    sock: RawSocket

    def __init__(self, session: Session, worker: Worker, namespace: str, record: Record, shape: Shape) -> None:
        self.session = session
        self.namespace = namespace
        self.worker = worker
        self.shape = shape
        self.record = record
        self.fd = 0
        if session.socket is not None:
            self.sock = session.socket.sock
        self.rooms = NO_ROOMS
        self.position = None
        self.live = False
        self.round = 0
        self.unsent = FULL
        self.slot = -1
        self.beat_tick = _NEVER
        self.end_tick = 0
        self.end_close = None
        self.rival = None
        self.finishing = False

    @property
    def id(self) -> str:
        assert self.record is not None
        return self.record.id

    def has_room(self, count: int) -> bool:
        return self.record is None or self.worker.inboxes.has_room(self.record, count)

    def begin(self, position: Position) -> None:
        """Read on from here, as soon as the session has a way out."""
        self.position = position
        if self.record is not None and self.record.user is not None:
            self.end_tick = self.worker.tick_after(self.worker.limits.reauthorise_seconds)
        self.worker.clients.attach(self)

    def carry(self, sock: RawSocket, shape: Shape) -> None:
        """Write to this socket, in this shape, from now on."""
        self.sock, self.shape = sock, shape
        if self.record is not None:
            self.record.transport = shape.name

    # Writing: the dispatcher sends to `sock` itself, the rest is for the session to carry

    def write(self, data: bytes) -> None:
        if self.session.socket is not None:
            self.session.socket.write(data)

    def send_shared(self, data: bytes) -> bool:
        socket = self.session.socket
        return socket is not None and socket.send_shared(data)

    def keep(self, data: bytes, sent: int) -> None:
        if self.session.socket is not None:
            self.session.socket.keep(data, sent)

    def compose(self, body: bytes, position: Position) -> Answer:
        return compose(body, engineio.content_type(body), position)

    def answer(self, parts: Answer) -> None:
        self.session.answer(parts)

    def watch(self) -> None:
        if self.session.socket is not None:
            self.session.socket.watch()

    # Between two polls

    def read(self) -> bytes:
        """Return the next batch of mail, written; nothing, if there is none."""
        while self.record is not None and self.position is not None:
            try:
                entries, self.position = self.worker.read(self.record, self.position, self.worker.dispatcher.position.offset)
            except Gap as gap:
                self.reset(gap.reason, self.worker.dispatcher.position)
                return b""
            if not entries:
                return b""
            payload = self.worker.share(self.shape, entries)
            if payload:
                return payload
        return b""

    def rest(self) -> list[Frame]:
        """Return the last mail of a client that is about to end, at most a batch."""
        if self.record is None or self.position is None:
            return []
        try:
            entries, _ = self.worker.read(self.record, self.position, self.worker.dispatcher.position.offset)
        except Gap:
            return []
        return self.shape.dialect.entries(entries)

    # The end

    def schedule(self) -> None:
        if self.end_tick or self.rival is not None:
            super().schedule()

    def beat(self) -> None:
        """Hearts beat once for a session."""

    def leave(self) -> None:
        """The client itself says goodbye to this namespace."""
        record = self.record
        if record is not None:
            self.worker.clients.ended(record, "left")
        self.worker.clients.detach(self)

    def end(self, close: Close) -> None:
        """End the client; a code that asks it to come back ends the whole session, and the client comes back by itself."""
        self.worker.clients.detach(self)
        if 4000 <= close.code < 4400:
            self.session.close("closed", close)
        else:
            self.session.namespaces.kick(self)

    def ask_to_reconnect(self, wait_seconds: float, close: Close) -> None:
        """End later: the protocol has no word to ask with."""
        if wait_seconds:
            self.end_later(close, wait_seconds)
        else:
            self.end(close)

    def reset(self, reason: str, position: Position) -> bool:
        """History is lost, and the protocol has no word for that: the client begins anew."""
        self.session.close("closed", Close(4002, f"history lost: {reason}"))
        return False

    def lost(self, reason: str) -> None:
        self.session.close(reason)
