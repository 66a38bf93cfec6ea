"""WebSocket (RFC 6455): frames are read by the sans-I/O protocol of `websockets`, and written by us, once for all.

Rule: what is small is read at once. Everything else is read by a greenlet that gives way between two pieces, and as long as
it has something to read, the socket is not read.
"""

from __future__ import annotations

import json
from _socket import socket as RawSocket
from codecs import utf_8_decode
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import gevent
from websockets.datastructures import Headers
from websockets.exceptions import InvalidHeaderValue
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import OPEN, SERVER, Protocol
from websockets.server import ServerProtocol

try:
    from websockets.speedups import apply_mask
except ImportError:  # its part in C is not everywhere
    from websockets.utils import apply_mask

from cometware.core import framing, pulse
from cometware.core.entry import Position
from cometware.core.events import AWAY, HISTORY_LOST, TOO_MANY, Close, Event, Left, Pinged, Received
from cometware.core.framing import size_of_frame
from cometware.core.negotiation import SUBPROTOCOL, NotNegotiable
from cometware.core.pieces import LARGE
from cometware.core.rates import Wait
from cometware.core.text import shown
from cometware.core.wheel import ticks
from cometware.dialects.base import Shape
from cometware.errors import BadFrame, Gap
from cometware.roster.base import Record
from cometware.transports.clock import TICK_SECONDS
from cometware.transports.connection import Connection
from cometware.transports.poller import READ
from cometware.transports.report import report
from cometware.transports.turns import in_turns, turns_here

if TYPE_CHECKING:
    from cometware.transports.worker import Worker

_PING = framing.websocket_frame(framing.PING, b"")
_POOL: list[Reader] = []
_POOL_SIZE = 256
_ACCEPTORS = 64
_PART_SECONDS = 1.0
"""How long the peer's Close or mistake waits for the handlers of what came before it."""
_MESSAGES = (0x80 | framing.TEXT, 0x80 | framing.BINARY)
_PIECE_BYTES = 512
"""Of short frames, so many bytes are read in one go: some 80 of the shortest."""
_SMALL_BYTES = 8 * 1024
"""A frame up to this is read at once, and what it says is understood."""


def websocket_headers(environ: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the headers of a WebSocket handshake, as they were sent."""
    names = (
        "Upgrade",
        "Connection",
        "Host",
        "Sec-WebSocket-Key",
        "Sec-WebSocket-Version",
        "Sec-WebSocket-Protocol",
    )
    pairs = ((name, environ.get("HTTP_" + name.upper().replace("-", "_"))) for name in names)
    return [(name, value) for name, value in pairs if value is not None]


def handshake(
    path: str, headers: Sequence[tuple[str, str]], subprotocols: Sequence[str], *, native: bool
) -> tuple[str, list[tuple[str, str]]]:
    """Answer an opening handshake: the status and headers of the 101, to be sent once the application has agreed.

    The native dialect is negotiated as `cometware.v1`; otherwise the first one that the client offers and
    `subprotocols` allows. None in common is no error (RFC 6455 §4.2.2).

    Raises:
        NotNegotiable: 426 for another version than 13, 400 for a bad key or a header that is not ASCII.
    """
    try:
        request = Request(path, Headers(headers))
    except InvalidHeaderValue as error:
        raise NotNegotiable(400, "handshake", shown(str(error))) from None
    version = request.headers.get("Sec-WebSocket-Version", "")
    if version != "13":
        raise NotNegotiable(
            426,
            "websocket_version",
            f"Sec-WebSocket-Version: got {version[:20]!r}, expected 13",
            {"Sec-WebSocket-Version": "13"},
        )
    answer = _acceptor((SUBPROTOCOL,) if native else tuple(subprotocols)).accept(request)
    if answer.status_code != 101:
        raise NotNegotiable(answer.status_code, "handshake", answer.body.decode().strip())
    return "101 Switching Protocols", list(answer.headers.raw_items())


@lru_cache(_ACCEPTORS)
def _acceptor(allowed: tuple[str, ...]) -> ServerProtocol:
    """Return what answers handshakes, and keeps nothing of one for the next."""

    def choose(protocol: ServerProtocol, offered: Sequence[str]) -> str | None:
        return next((name for name in offered if name in allowed), None)

    return ServerProtocol(select_subprotocol=choose)  # type: ignore[arg-type]


class Reader(Protocol):
    """The rules of RFC 6455 as `websockets` knows them. But a Close may come between two fragments, as every control frame may
    (§5.4), and is answered like any other."""

    def recv_frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE:
            self.current_size = None
        super().recv_frame(frame)


def whole_message(data: bytes) -> tuple[int, bytes] | None:
    """Return opcode and payload if these bytes are just one message, as most are: final, masked, and under 64 KiB.

    Anything else is left to a `Reader`, which would read this message in the same way (RFC 6455 §5.2).
    """
    size = len(data)
    if size < 6 or data[0] not in _MESSAGES or data[1] < 0x80:
        return None
    length, at = data[1] - 0x80, 2
    if length > 125:
        length, at = (data[2] << 8) + data[3], 4
        if data[1] == 0xFF or length < 126:
            return None
    return (data[0] & 0x0F, apply_mask(data[at + 4 :], data[at : at + 4])) if size == at + 4 + length else None


def next_piece(reader: Reader | None, rest: memoryview, long: int) -> tuple[bytes, int]:
    """Return what of these bytes is read in one go, and how much of its last frame is still to come.

    That is a few short frames, and of a long one all that is here. `long` is what this returned the last time.
    """
    size = long
    if not size and (reader is None or is_between_frames(reader)):
        while size < _PIECE_BYTES and (frame := size_of_frame(rest[size:])):
            size += frame
    piece = rest[: size or _PIECE_BYTES].tobytes()
    return piece, max(size - len(piece), 0)


class WebSocket(Connection):
    """Messages both ways. `reader` is borrowed from a pool while a message is arriving and given back between two.

    `rest` is what has arrived and is not read yet, `long` how much of its first frame is still to be read, if that is a long
    one; `late_tick` is when the message that is arriving must be here (0: none is). `checked` bytes of `parts` are text.
    `parting` is how this connection ends as soon as what came before the peer's last frame is handled; nothing is read then.
    """

    transport = "websocket"
    refuses: ClassVar[bool] = True
    """Can the peer be told that it is too fast, and send again? Else it is let in late."""

    __slots__ = (
        "answers",
        "checked",
        "heard",
        "is_reading",
        "late_tick",
        "long",
        "owes",
        "parting",
        "parts",
        "paused_until",
        "pinged",
        "reader",
        "rest",
        "text",
    )

    def __init__(self, worker: Worker, sock: RawSocket, shape: Shape, record: Record | None) -> None:
        super().__init__(worker, sock, shape, record)
        self.reader: Reader | None = None
        self.answers: list[bytes] | None = None
        self.parting: bytes | None = None
        self.parts: bytearray | None = None
        self.checked = 0
        self.rest: memoryview | None = None
        self.long = 0
        self.is_reading = False
        self.late_tick = 0
        self.text = False
        self.heard = True
        self.pinged = 0
        self.owes = False
        self.paused_until = 0.0

    # Reading

    def received(self, data: bytes) -> None:
        self.heard = True
        is_free = self.rest is None and not self.is_reading
        if is_free and ((self.reader is None and len(data) <= _PIECE_BYTES) or self._is_small(data)):
            self._read(data)
            return
        self.rest = memoryview(data if self.rest is None else bytes(self.rest) + data)
        self.watch()

    def _is_small(self, data: bytes) -> bool:
        """May this be read at once? Few short frames, or one, of a message that is not long so far."""
        size, reader = len(data), self.reader
        if reader is None:
            return size <= _SMALL_BYTES and size_of_frame(memoryview(data)) == size
        return size <= _PIECE_BYTES and len(reader.reader.buffer) + len(self.parts or b"") + size <= _SMALL_BYTES

    def _read_on(self) -> None:
        """Read what has arrived, a piece in each go."""
        turns = turns_here()
        try:
            while True:
                turns.pace()
                if self.rest is None or self.is_held or self.closed or self.finishing:
                    break
                self._read(self._piece(self.rest))
        except Exception:
            report("a WebSocket's messages")
            self.lost("error")
        finally:
            self.is_reading = False
        self.watch()

    def _piece(self, rest: memoryview) -> bytes:
        """Part from the rest what is read in one go: a few short frames, of a long one all that is here."""
        piece, self.long = next_piece(self.reader, rest, self.long)
        self.rest = rest[len(piece) :] or None
        return piece

    def _read(self, data: bytes) -> None:
        reader = self.reader
        if reader is None:
            size = 4 * self.worker.limits.max_message_bytes
            message = whole_message(data)
            if message is not None and len(data) <= size:
                self._read_whole(*message)
                return
            reader = self.reader = _POOL.pop() if _POOL else Reader(SERVER, state=OPEN, max_size=size)
            reader.max_message_size = size
        reader.receive_data(data)
        self.answers = []
        for frame in reader.events_received():
            if self.finishing or self.fd < 0 or self.parting is not None:
                break
            if isinstance(frame, Frame):
                self._frame(frame.opcode, bytes(frame.data), frame.fin)
        if not self.finishing and self.fd >= 0 and self.parting is None:
            self._answer(reader)
        self._flush()

    def _read_whole(self, opcode: int, payload: bytes) -> None:
        self.answers = []
        self.text = opcode == framing.TEXT
        self._message(payload)
        if self.fd >= 0 and self.is_full:
            self.watch()
        self._flush()

    def write(self, data: bytes) -> None:
        """Send; while frames are being read, gather the answers to all of them for one send."""
        if self.answers is None:
            super().write(data)
        else:
            self.answers.append(data)

    def finish(self) -> None:
        self.rest = None
        self._flush()
        super().finish()

    def _flush(self) -> None:
        answers, self.answers = self.answers, None
        if answers and not self.closed:
            super().write(b"".join(answers))

    def _answer(self, reader: Reader) -> None:
        """Send what the protocol owes (pong, close), and let go of the reader if it rests between two frames."""
        owed = reader.data_to_send()
        if reader.state is not OPEN:
            self.part(b"".join(owed))
            return
        for data in owed:
            self.write(data)
        if self.parts is None and reader.current_size is None and is_between_frames(reader):
            self.reader = None
            self.late_tick = 0
            if len(_POOL) < _POOL_SIZE:
                _POOL.append(reader)
        elif not self.late_tick:
            self.late_tick = self.worker.tick_after(self.worker.limits.message_seconds)
            self.worker.put(self, self.late_tick)
        if self.fd >= 0 and self.is_full:
            self.watch()

    def _frame(self, opcode: Opcode, data: bytes, fin: bool) -> None:
        if opcode is Opcode.TEXT or opcode is Opcode.BINARY:
            self.text = opcode is Opcode.TEXT
            if fin:
                self.late_tick = 0
                self._message(data)
            else:
                self.parts, self.checked = bytearray(data), 0
                self._check_text()
        elif opcode is Opcode.CONT and self.parts is not None:
            self.parts += data
            if not fin:
                self._check_text()
            else:
                data, self.parts = bytes(self.parts), None
                self.late_tick = 0
                self._message(data)

    def _message(self, data: bytes) -> None:
        worker = self.worker
        try:
            worker.check_size(len(data))
            body, most = data.decode() if self.text else data, worker.limits.max_waiting_messages
            if len(data) <= LARGE:
                events = self.shape.dialect.receive(body, most)
            else:
                events = in_turns(len(data), self.shape.dialect.receive, body, most)
            if self.finishing or self.fd < 0:
                return  # it gave way, and meanwhile this has ended
            record, meters = self.record, worker.meters
            if meters is not None and record is not None:
                if self.paused_until and self._is_late(record, events):
                    return
                names = (record.id, record.user, record.address)
                wait = meters.take(names, len(events), len(data), worker.now())
                if wait is not None and self.is_too_fast(wait, record, events, len(data)):
                    return
            if len(events) > 1 and record is not None:
                worker.inboxes.check_room(record, events)
            if Pinged in map(type, events):
                self.write(self.shape.heartbeat(worker.position_of(self)))
            for event in events:
                if isinstance(event, Left):
                    worker.clients.leave_by(self, event.wait_seconds)
                elif self.record is not None:
                    worker.inboxes.deliver(self.record, event, self)
        except UnicodeDecodeError as error:
            self._refuse_text(error)
        except BadFrame as error:
            if worker.meters is None or self.record is None or not self._is_garbage_late(len(data)):
                self.refused(error)

    # Too fast

    def is_too_fast(self, wait: Wait, record: Record, events: Sequence[Event], size: int) -> bool:
        """Refuse these messages, and read no further until the wait is over. Are they refused?"""
        worker, now = self.worker, self.worker.now()
        if worker.lends((record.id, record.user, record.address), events, size):
            return False
        if worker.heeding.told(record.id, wait.seconds, now) >= worker.limits.rate_patience_seconds:
            worker.clients.close(record, Close(TOO_MANY, str(wait)))
            return True
        self.refused(BadFrame("rate", str(wait), wait_seconds=wait.seconds, accepted=record.accepted))
        self.pause(wait.seconds)
        return True

    def _is_late(self, record: Record, events: Sequence[Event]) -> bool:
        """Was this sent before its sender could know that it is to wait? Then it is sent again, behind what was refused."""
        now = self.worker.now()
        if any(isinstance(event, Left) for event in events):
            return False
        if now < self.paused_until:
            return self.refuses
        first = next((event.number for event in events if isinstance(event, Received)), None)
        if first is None or now >= self.paused_until + self.worker.limits.order_seconds:
            self.paused_until = 0.0
        elif first > record.queued + 1:
            return True
        else:
            self.paused_until = 0.0
            self.worker.heeding.listened(record.id)
        return False

    def _is_garbage_late(self, size: int) -> bool:
        """Count what was not understood. Has the sender been told already that it is to wait?"""
        worker, record, now = self.worker, self.record, self.worker.now()
        assert record is not None and worker.meters is not None
        is_late = self.refuses and now < self.paused_until
        wait = worker.meters.owe((record.id, record.user, record.address), 1, size, now)
        if wait is not None:
            self.pause(wait.seconds)
        return is_late

    def pause(self, seconds: float) -> None:
        """Read nothing for so long."""
        now, until = self.worker.now(), self.paused_until
        self.paused_until = max(until, now + seconds)
        if until <= now and not self.closed:
            self.watch()
            self.worker.clock.timer(seconds).start(self._go_on)

    def _go_on(self) -> None:
        left = self.paused_until - self.worker.now()
        if left > 0:
            self.worker.clock.timer(left).start(self._go_on)
        elif not self.closed:
            self.heard = True
            self.watch()

    @property
    def is_paused(self) -> bool:
        return self.worker.now() < self.paused_until

    def _check_text(self) -> None:
        """Refuse what can be no text any more, though its last fragment is not here (RFC 6455 §8.1)."""
        if self.text and self.parts is not None:
            try:
                self.checked += utf_8_decode(self.parts[self.checked :])[1]
            except UnicodeDecodeError as error:
                self._refuse_text(error, self.checked)

    def _refuse_text(self, error: UnicodeDecodeError, offset: int = 0) -> None:
        message = f"text that is not UTF-8: {error.reason} at byte {offset + error.start}"
        self.part(self.farewell(Close(1007, message)))

    @property
    def is_full(self) -> bool:
        """Should no more be read: do so many messages wait for their handlers, or is the peer to wait?"""
        if self.paused_until and self.is_paused:
            return True
        return self.record is not None and self.worker.inboxes.is_full(self.record)

    @property
    def is_held(self) -> bool:
        """Is nothing more to be read just now, for whatever reason of the other way?"""
        return self.is_full or self.parting is not None or not super().wanted() & READ

    def wanted(self) -> int:
        wanted = super().wanted()
        is_held = self.is_reading or self.rest is not None or self.parting is not None or self.is_full
        return wanted & ~READ if is_held else wanted

    def watch(self) -> None:
        if self.rest is not None and not self.is_reading and not self.closed and not self.is_held:
            self.is_reading = True
            gevent.spawn(self._read_on)
        super().watch()

    # What the inbox tells

    def handled(self, number: int | None) -> None:
        """A message of this connection is done: owe its acknowledgement, to be sent within a second."""
        if number is not None and not self.owes:
            self.owes = True
            self.worker.owing.append(self)
        if self.parting is not None and self.record is not None and not self.record.inbox:
            if self.worker.roster.is_shared:
                self.end_later(Close(1000), 0)  # what was published comes back from the store in a moment
            else:
                self.worker.soon(self.end, Close(1000))

    def acknowledge(self) -> None:
        self.owes = False
        if not self.closed and not self.finishing and self.record is not None:
            self.write(self.shape.write(self.shape.dialect.accepted(self.record.accepted)))

    def refused(self, error: BadFrame) -> None:
        """Tell the peer what was wrong; the connection stays, unless it is not the peer's fault."""
        if error.code == "away":
            self.end(Close(AWAY, error.message))
        elif not self.closed:
            self.write(self.shape.write(self.shape.dialect.error(error.code, error.message, error.details)))

    # The wheel and the end

    def due(self, tick: int) -> None:
        if self.late_tick and tick >= self.late_tick and not self.finishing:
            seconds = self.worker.limits.message_seconds
            if self.wanted() & READ:
                self.end(Close(1008, f"a message took longer than Limits.message_seconds={seconds:g}"))
            else:
                self.late_tick = self.worker.tick_after(seconds)  # it is we who do not read
        super().due(tick)

    def schedule(self) -> None:
        super().schedule()
        if self.late_tick:
            self.worker.put(self, self.late_tick)

    def beat(self) -> None:
        """Ping at each heartbeat, and see whether anything came back within `pong_seconds` of a ping (`core.pulse`).

        A full socket is left to TCP's own time-out.
        """
        worker, limits = self.worker, self.worker.limits
        tick, every = worker.wheel.tick, ticks(limits.heartbeat_seconds, TICK_SECONDS)
        patience = ticks(limits.pong_seconds, TICK_SECONDS)
        found = pulse.beat(tick, self.pinged, heard=self.heard or self.is_paused, every=every, patience=patience)
        if found is None:
            self.lost("silent")
            return
        pings, self.pinged, self.beat_tick = found
        if pings and self.unsent is None and self.live:
            self.heard = False
            self.write(worker.heartbeat(self.shape) + _PING)
        elif pings:
            self.pinged, self.beat_tick = 0, tick + every

    def goodbye(self, close: Close) -> bytes:
        return framing.websocket_close(close.code, close.reason)

    def part(self, last: bytes) -> None:
        """End with these bytes because of what the peer sent: behind the answers to what came before it, but soon."""
        self.parting, self.rest = last, None
        if self.record is None or self.record.inbox is None:
            self._depart()
        else:
            self.end_later(Close(1000), _PART_SECONDS)
            self.watch()

    def _depart(self) -> None:
        last, self.parting = self.parting or b"", None
        mail = self._last_mail()
        self.worker.clients.detach(self, "closed")
        self.write(mail + last)
        self.finish()

    def _last_mail(self) -> bytes:
        """Return what is in the log for this client already, at most a batch: no round will come to it any more."""
        worker, record = self.worker, self.record
        if record is None or self not in record.connections:
            return b""
        try:
            entries, _ = worker.read(record, worker.position_of(self), worker.log.head.offset)
        except Gap:
            return b""
        return worker.share(self.shape, entries) if entries else b""

    def end(self, close: Close) -> None:
        if self.parting is None:
            super().end(close)
        elif not self.closed and not self.finishing:
            self._depart()

    def reset(self, reason: str, position: Position) -> bool:
        if self.shape.dialect.name == "plain":
            self.end(Close(HISTORY_LOST, json.dumps({"reset": {"reason": reason}})))
            return False
        return super().reset(reason, position)


def is_between_frames(reader: Protocol) -> bool:
    """Does the parser wait for the first byte of a frame?"""
    waiting = getattr(reader.parser, "gi_yieldfrom", None)
    return not reader.reader.buffer and getattr(waiting, "__name__", "") == "at_eof"
