"""The WebSocket of an Engine.IO session: frames are packets."""

from __future__ import annotations

from _socket import socket as RawSocket
from typing import TYPE_CHECKING

from cometware.core.events import Close
from cometware.core.framing import Frame
from cometware.dialects import engineio
from cometware.dialects.base import Shape
from cometware.errors import BadFrame
from cometware.transports.turns import in_turns
from cometware.transports.websocket import WebSocket
from cometware.transports.worker import Worker

if TYPE_CHECKING:
    from cometware.transports.session import Session

_UPGRADE_SECONDS = 10.0
"""How long a WebSocket may take to prove itself and take over from the polls."""
_NEVER = 2**62


class EngineSocket(WebSocket):
    """It carries a session, or (as its `probe`) wants to. `base64`: its client wants bytes as text."""

    __slots__ = ("base64", "session")

    def __init__(self, worker: Worker, sock: RawSocket, shape: Shape, session: Session, *, base64: bool) -> None:
        super().__init__(worker, sock, shape, None)
        self.base64 = base64
        self.session: Session | None = session
        self.beat_tick = _NEVER

    def probe(self) -> None:
        """Become the session's probe."""
        assert self.session is not None
        self.session.probe = self
        self.end_later(Close(1000), _UPGRADE_SECONDS)

    def beat(self) -> None:
        """Hearts beat once for a session."""

    def _message(self, data: bytes) -> None:
        session = self.session
        if session is None:
            return
        try:
            self.worker.check_size(len(data))
            packet = engineio.read_packet(data.decode() if self.text else data, session.version)
            if session.socket is self:
                in_turns(len(data), session.receive, packet)
            else:
                self._probe(session, packet)
        except UnicodeDecodeError as error:
            self._fail(session, Close(1007, f"text that is not UTF-8: {error.reason} at byte {error.start}"))
        except BadFrame as error:
            self._fail(session, Close(1009 if error.code == "size" else 1002, error.message))

    def _fail(self, session: Session, close: Close) -> None:
        if session.socket is self:
            session.close("protocol", close)
        else:
            self.end(close)

    def _probe(self, session: Session, packet: engineio.Packet) -> None:
        """Take the two packets of an upgrade; anything else ends this socket, and the session stays on its polls."""
        if packet == (engineio.PING, "probe") and not session.upgrading:
            self.write(engineio.writer(session.version, "websocket", base64=self.base64)([Frame("3probe")]))
            session.begin_upgrade()
        elif packet.type == engineio.UPGRADE and session.upgrading:
            self.end_tick = 0
            session.upgrade(self)
        else:
            self.end(Close(1002, "expected 2probe, then 5"))

    # What the session carries

    def keep(self, data: bytes, sent: int) -> None:
        self.unsent = memoryview(data)[sent:]
        if self.session is not None and self.session.socket is self:
            self.session.fell_behind()
        self.watch()

    def flushed(self) -> None:
        if self.session is not None and self.session.socket is self:
            self.session.flushed()

    @property
    def is_full(self) -> bool:
        return self.session is not None and self.session.is_full

    # The end

    def farewell(self, close: Close) -> bytes:
        return self.goodbye(close)

    def let_go(self, close: Close) -> None:
        """The session has ended."""
        self.session = None
        self.end(close)

    def finish(self) -> None:
        super().finish()
        self._part("left")

    def lost(self, reason: str) -> None:
        super().lost(reason)
        self._part(reason)

    def _part(self, reason: str) -> None:
        """This socket is no way for its session any more."""
        session, self.session = self.session, None
        if session is None:
            return
        if session.socket is self:
            session.close(reason)
        else:
            session.probe, session.upgrading = None, False
