"""One socket on this worker, with its shape and its place in the log. One writer: whoever calls must be in this thread.

Rule: nothing here waits. What the socket does not take stays in `unsent`, one batch at most, shared with all who were sent
the same bytes; everything else stays in the log.
"""

from __future__ import annotations

import socket
from _socket import socket as RawSocket
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from cometware.core.entry import Position
from cometware.core.events import REAUTHORISE, REPLACED, Close
from cometware.dialects.base import Shape
from cometware.roster.base import NO_ROOMS, Record
from cometware.transports.poller import READ, WRITE

if TYPE_CHECKING:
    from cometware.transports.worker import Worker

_BUFFER = memoryview(bytearray(65536))
"""Where every connection of this thread receives; `recv(65536)` would allocate and trim as much for each small request."""
_NOTSENT_LOWAT = getattr(socket, "TCP_NOTSENT_LOWAT", 25)
_FINISH_SECONDS = 3.0
"""How long the peer may take to close its side after we closed ours."""
_UNSENT_BYTES = 256 * 1024
"""A peer that does not take this much is not read from, so that it cannot make us owe it more (pongs, errors)."""


class Answer(NamedTuple):
    """What all answers to polls with this body share: what stands before and behind the client's own part of the head.

    `body` and `position` are what they were made of, for a script's answer, which nobody shares.
    """

    head: bytes
    tail: bytes
    body: bytes
    position: Position


class Connection:
    """A live connection has no position of its own: it stands where the worker's dispatcher stands.

    `slot` is the tick for which it stands in the worker's wheel (-1: none), `beat_tick` its next heartbeat, `end_tick` when
    it ends with `end_close` (0: never; None: it is asked to come back through the app's login), `round` the last round in
    which it was written to, `rooms` those under which the dispatcher has it. `rival` is when it gives way to a newer
    connection of its client, if one still lives then, and what it is told (None: it is the newest).
    """

    transport: ClassVar[str] = ""
    is_bounded: ClassVar[bool] = False
    """Is it to be told what it has carried? Of a shape, all are or none."""

    __slots__ = (
        "beat_tick",
        "end_close",
        "end_tick",
        "fd",
        "finishing",
        "live",
        "position",
        "record",
        "rival",
        "rooms",
        "round",
        "shape",
        "slot",
        "sock",
        "unsent",
        "worker",
    )

    def __init__(self, worker: Worker, sock: RawSocket, shape: Shape, record: Record | None) -> None:
        self.worker = worker
        self.sock = sock
        self.fd = sock.fileno()
        self.shape = shape
        self.record = record
        self.rooms = NO_ROOMS
        self.position: Position | None = None
        self.live = False
        self.round = 0
        self.unsent: memoryview | None = None
        self.slot = -1
        self.beat_tick = 0
        self.end_tick = 0
        self.end_close: Close | None = None
        self.rival: tuple[int, Close] | None = None
        self.finishing = False

    @property
    def dialect(self) -> str:
        return self.shape.dialect.name

    @property
    def closed(self) -> bool:
        return self.fd < 0

    def park(self) -> None:
        """Begin to watch the socket."""
        if self.sock.family != socket.AF_UNIX:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sock.setsockopt(socket.IPPROTO_TCP, _NOTSENT_LOWAT, 65536)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, self.worker.silence_milliseconds)
        self.worker.poller.add(self.fd, self)

    # Writing

    def write(self, data: bytes) -> None:
        """Send what this connection alone is owed, behind what it is already being sent."""
        if self.unsent is not None:
            self.unsent = memoryview(bytes(self.unsent) + data)
            self.watch()
        elif not self.closed:
            self.send_shared(data)

    def send_shared(self, data: bytes) -> bool:
        """Try to send bytes that others may share. Did the socket take all? If not, the rest waits in `unsent`."""
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.lost("reset")
            return False
        if sent == len(data):
            return True
        self.keep(data, sent)
        return False

    def keep(self, data: bytes, sent: int) -> None:
        """Keep what the socket did not take of these bytes; until it does, this connection is behind."""
        self.unsent = memoryview(data)[sent:]
        self.worker.fell_behind(self)
        self.watch()

    def on_writable(self) -> None:
        if self.unsent is not None:
            try:
                sent = self.sock.send(self.unsent)
            except BlockingIOError:
                return
            except OSError:
                self.lost("reset")
                return
            self.unsent = self.unsent[sent:] if sent < len(self.unsent) else None
            if self.unsent is not None:
                return
        self.watch()
        if self.finishing:
            self.half_close()
        else:
            self.flushed()

    def carried(self, size: int) -> None:
        """So many bytes of the log were written, and may be more than this connection was to carry."""

    def compose(self, body: bytes, position: Position) -> Answer:
        """Write an answer that all polls of this shape share, if it is one of polls."""
        raise NotImplementedError

    def answer(self, parts: Answer) -> None:
        """Give the answer that `compose` wrote."""
        raise NotImplementedError

    def flushed(self) -> None:
        """Go on with the log, now that the socket takes more."""
        self.worker.pump(self)

    def watch(self) -> None:
        """Tell the poller what to look for now."""
        if not self.closed:
            self.worker.poller.watch(self.fd, self.wanted())

    def wanted(self) -> int:
        """Return the events to watch for."""
        if self.unsent is None:
            return READ
        return WRITE if len(self.unsent) > _UNSENT_BYTES else READ | WRITE

    # Reading

    def on_readable(self) -> None:
        try:
            size = self.sock.recv_into(_BUFFER)
        except BlockingIOError:
            return
        except OSError:
            self.lost("reset")
            return
        if not size:
            self.lost("left")
        elif not self.finishing:
            self.received(_BUFFER[:size].tobytes())

    def received(self, data: bytes) -> None:
        """Take what the peer sent. A response has no way in: it is dropped."""

    @property
    def is_gone(self) -> bool:
        """Has the peer closed its side, though the poller has not come to it yet?"""
        try:
            return not self.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True

    # What the wheel brings

    def due(self, tick: int) -> None:
        """Do what this tick asks for, and come up again when the next thing is due."""
        if self.finishing:
            if tick >= self.beat_tick:
                self.lost("closed")
            else:
                self.worker.put(self, self.beat_tick)
            return
        if self.rival is not None and tick >= self.rival[0]:
            (_, farewell), self.rival = self.rival, None
            self.worker.clients.give_way(self, farewell)
        elif self.end_tick and tick >= self.end_tick:
            close, self.end_tick = self.end_close, 0
            if close is None:
                self.ask_to_reconnect(0, REAUTHORISE_CLOSE)
            else:
                self.end(close)
        elif tick >= self.beat_tick:
            self.beat()
        if not self.closed and self.slot < 0 and not self.finishing:
            self.schedule()

    def schedule(self) -> None:
        """Stand in the wheel until the nearest of heartbeat and ends."""
        tick = min(self.beat_tick, self.end_tick) if self.end_tick else self.beat_tick
        self.worker.put(self, tick if self.rival is None else min(tick, self.rival[0]))

    def beat(self) -> None:
        """Prove to the client, the proxies and ourselves that the connection lives."""
        self.beat_tick = self.worker.tick_after(self.worker.limits.heartbeat_seconds)
        if self.unsent is None and self.live:
            self.write(self.worker.heartbeat(self.shape))

    def end_later(self, close: Close, seconds: float) -> None:
        """End with this close after a while, unless something ends it sooner."""
        tick = self.worker.tick_after(seconds)
        if not self.end_tick or tick < self.end_tick:
            self.end_tick, self.end_close = tick, close
            self.schedule()

    def give_way_later(self, reason: str) -> None:
        """A newer connection serves the client: end a while after that began, if one still does so then."""
        if self.rival is None:
            self.rival = self.worker.tick_after(self.worker.limits.overlap_seconds), Close(REPLACED, reason)
            self.schedule()

    # The end

    def end(self, close: Close) -> None:
        """End cleanly: say why, then close."""
        if self.closed or self.finishing:
            return
        self.worker.clients.detach(self)
        self.write(self.farewell(close))
        self.finish()

    def finish_with(self, close: Close) -> None:
        """End a connection that was never served: its preface has said why."""
        self.write(self.goodbye(close))
        self.finish()

    def farewell(self, close: Close) -> bytes:
        """Return the last bytes of a connection: why it ends, and how its transport ends."""
        return self.shape.write(self.shape.dialect.close(close)) + self.goodbye(close)

    def goodbye(self, close: Close) -> bytes:
        """Return how this transport ends."""
        return b""

    def reset(self, reason: str, position: Position) -> bool:
        """Tell that history was lost. Can this connection go on? One that cannot say it ends."""
        frames = self.shape.dialect.reset(reason, position)
        self.write(self.shape.write(frames))
        return not self.closed

    def ask_to_reconnect(self, wait_seconds: float, close: Close) -> None:
        """Ask for a new connection; end this one a while after. One that cannot say it ends now."""
        frames = self.shape.dialect.reconnect(wait_seconds)
        if not frames:
            self.end(close)
            return
        self.write(self.shape.write(frames))
        self.end_later(close, wait_seconds + self.worker.limits.overlap_seconds)

    def finish(self) -> None:
        """Close our side as soon as all is sent, the socket as soon as the peer closed its own."""
        if self.closed:
            return
        self.finishing = True
        self.beat_tick = self.worker.tick_after(_FINISH_SECONDS)
        self.worker.put(self, self.beat_tick)
        if self.unsent is None:
            self.half_close()

    def half_close(self) -> None:
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.lost("reset")

    def lost(self, reason: str) -> None:
        """Let go of a socket that is gone. A dead socket is a normal end."""
        if self.closed:
            return
        worker = self.worker
        worker.clients.detach(self, reason)
        worker.unput(self)
        worker.poller.remove(self.fd)
        self.fd = -1
        self.unsent = None
        try:
            self.sock.shutdown(socket.SHUT_RDWR)  # a child may hold a copy, and closing ours would end nothing
        except OSError:
            pass
        self.sock.close()


REAUTHORISE_CLOSE = Close(REAUTHORISE, "come back through the application's login")
