"""The messages of a WebSocket that the wrapped application has of its own: read by whoever waits for one.

Rule: what holds for the channel's own WebSockets holds here: the rules of RFC 6455, the limits, and that others have turns.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import monotonic

from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN, SERVER

from cometware.core.events import Close
from cometware.limits import Limits
from cometware.servers.incoming import Incoming
from cometware.transports.turns import turns_here
from cometware.transports.websocket import Reader, is_between_frames, next_piece

_RECEIVED_BYTES = 65536
_UNSPECIFIED = 1005
"""What `websockets` has in the place of a code that a peer did not send."""


class Messages:
    """Reads from a connection; `write` sends what the protocol itself owes."""

    def __init__(self, incoming: Incoming, write: Callable[[bytes], object], limits: Limits) -> None:
        self._incoming = incoming
        self._write = write
        self._seconds = limits.message_seconds
        size = 4 * limits.max_message_bytes
        self._reader = Reader(SERVER, state=OPEN, max_size=size)
        self._frames: deque[Frame] = deque()
        self._rest = memoryview(b"")
        self._long = 0
        self._late = 0.0
        self._opcode = Opcode.TEXT
        self._parts: bytearray | None = None

    def next(self) -> str | bytearray | Close:
        """Return the next message; or how the connection is to be closed, because the peer did or broke a rule.

        Raises:
            EOFError: The connection has ended.
            UnicodeDecodeError: A text is not UTF-8.
            OSError: It was cut.
        """
        self._late = 0.0  # while the application was elsewhere, nobody read
        while True:
            while self._frames:
                frame = self._frames.popleft()
                if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
                    self._opcode, self._parts = frame.opcode, bytearray()
                if frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT) and self._parts is not None:
                    self._parts += frame.data
                    if frame.fin:
                        data, self._parts = self._parts, None
                        return data.decode() if self._opcode is Opcode.TEXT else data
            if self._reader.state is not OPEN:
                return self._ending()
            if not self._rest:
                try:
                    self._receive()
                except TimeoutError:
                    return Close(1008, f"a message took longer than Limits.message_seconds={self._seconds:g}")
            self._read()

    def _ending(self) -> Close:
        close = self._reader.close_rcvd or self._reader.close_sent
        if close is None or close.code == _UNSPECIFIED:
            return Close(1000)
        return Close(close.code, close.reason)

    def _receive(self) -> None:
        """Wait for bytes; for those of a message that has begun, only for a while."""
        incoming = self._incoming
        has_begun = self._reader.current_size is not None or not is_between_frames(self._reader)
        self._late = (self._late or monotonic() + self._seconds) if has_begun else 0.0
        data = incoming.rest() or incoming.receive(self._late - monotonic() if has_begun else None, _RECEIVED_BYTES)
        if not data:
            raise EOFError
        self._rest = memoryview(data)

    def _read(self) -> None:
        """Read a piece; give way before it."""
        turns_here().pace()
        piece, self._long = next_piece(self._reader, self._rest, self._long)
        self._rest = self._rest[len(piece) :]
        self._reader.receive_data(piece)
        self._frames.extend(frame for frame in self._reader.events_received() if isinstance(frame, Frame))
        owed = self._reader.data_to_send()
        if self._reader.state is OPEN and owed:
            self._write(b"".join(owed))
