"""One Engine.IO session: who asks by which transport, what it is owed, and when it was last heard.

Rule: what is published stays in the log. A session holds nothing but its own few packets (opening, pong, disconnect); of
what its packets mean to Socket.IO, its `Namespaces` know.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from cometware.client import Environ
from cometware.core import pulse
from cometware.core.events import Close
from cometware.core.framing import Frame
from cometware.core.heads import CACHE_BUSTER, Changing
from cometware.core.wheel import ticks
from cometware.dialects import engineio
from cometware.errors import BadFrame
from cometware.limits import Limits
from cometware.transports.clock import TICK_SECONDS
from cometware.transports.connection import Answer
from cometware.transports.member import FULL, compose
from cometware.transports.namespaces import Namespaces
from cometware.transports.poll import SCRIPT_TYPE, Poll

if TYPE_CHECKING:
    from cometware.transports.engine import Engine
    from cometware.transports.enginesocket import EngineSocket

_NORMAL = Close(1000)
_CONNECT_SECONDS = 45.0
"""How long a session may live that was never connected to a namespace."""
_LEFT_SECONDS = 1.0
_ENDED_SECONDS = 30.0
"""How long the one poll that is under way, or comes next, is told that a session has ended."""
_MAX_OWED = 1000
"""Packets that a session may be owed beside its mail; more of them only a hostile client provokes."""


class Session:
    """One Engine.IO session, from its handshake to its end, on whatever transport it is.

    `socket` is its WebSocket (None: it polls), `probe` one that may become it, `poll` the GET that waits. `owed` are the
    packets that wait for the next poll. `user` is whose it is, once that `is_known`, found with what the first namespace was
    shown (`auth`); `credentials` stand for those of the newest request that was found to be theirs, good until `ask_tick`.
    `address` is where it came from; until `resting_until`, no more of its packets are read.
    """

    __slots__ = (
        "address", "ask_tick", "auth", "base64", "beat_tick", "closed", "connect_tick", "credentials", "engine",
        "heard", "is_known", "namespaces", "owed", "pinged", "plan", "poll", "posting", "probe", "released",
        "resting_until", "script", "sid", "slot", "socket", "upgrading", "user", "version",
    )  # fmt: skip

    def __init__(self, engine: Engine, sid: str, version: int, environ: Environ, *, base64: bool) -> None:
        worker = engine.worker
        self.engine = engine
        self.sid = sid
        self.version = version
        self.base64 = base64
        self.namespaces = Namespaces(self, environ)
        self.address: str = environ.get("cometware.address", "")
        self.resting_until = 0.0
        self.owed: list[Frame] = []
        self.socket: EngineSocket | None = None
        self.probe: EngineSocket | None = None
        self.upgrading = False
        self.released = False
        self.poll: Poll | None = None
        self.script: str | None = None
        self.posting = False
        self.plan: bytes | None = None
        self.closed = False
        self.heard = True
        self.pinged = 0
        self.slot = -1
        self.is_known = False
        self.user: str | None = None
        self.auth: dict[str, Any] = {}
        self.credentials = b""
        self.ask_tick = 0
        self.beat_tick = worker.wheel.tick + (_every(worker.limits) if version == 4 else _silence(worker.limits))
        self.connect_tick = worker.tick_after(_CONNECT_SECONDS)
        worker.put(self, self.beat_tick)

    @property
    def transport(self) -> str:
        return "poll" if self.socket is None else "websocket"

    def opening(self, upgrades: tuple[str, ...]) -> Frame:
        """Write the packet that tells the client of its session."""
        limits = self.engine.worker.limits
        interval, timeout = _every(limits) * TICK_SECONDS, _patience(limits) * TICK_SECONDS
        return Frame(engineio.opening(self.sid, upgrades, interval, timeout, limits.max_message_bytes))

    def know(self, user: str | None, auth: dict[str, Any]) -> None:
        """Its user was found, for its first namespace: nobody else's requests are taken from now on."""
        if not self.is_known:
            self.is_known, self.user, self.auth = True, user, auth

    # In

    def receive(self, packet: engineio.Packet) -> None:
        """Take one packet.

        Raises:
            BadFrame: The protocol does not allow it; the caller ends the session.
        """
        self.heard = True
        kind, data = packet
        worker = self.engine.worker
        if worker.meters is not None:
            wait = worker.meters.owe((self.sid, self.user, self.address), 1, len(data), worker.now())
            if wait is not None:
                self._rest(wait.seconds)
        if kind == engineio.MESSAGE:
            self.namespaces.receive(data)
        elif kind == engineio.PING:
            if self.version == 4:
                raise BadFrame("packet", "a ping from the client: in Engine.IO 4, the server pings")
            self._pong()
        elif kind == engineio.CLOSE:
            self.close("left", last="6")

    def _rest(self, seconds: float) -> None:
        """Read nothing for so long: the protocol has no word for "later", and what has come is taken."""
        worker = self.engine.worker
        now, until = worker.now(), self.resting_until
        self.resting_until = max(until, now + seconds)
        if until <= now:
            worker.clock.timer(seconds).start(self._go_on)

    def _go_on(self) -> None:
        left = self.resting_until - self.engine.worker.now()
        if left > 0:
            self.engine.worker.clock.timer(left).start(self._go_on)
            return
        self.heard = True
        if self.socket is not None:
            self.socket.watch()

    def has_room(self, count: int) -> bool:
        """May so many messages be taken just now?"""
        return not self._is_resting and self.namespaces.has_room(count)

    @property
    def _is_resting(self) -> bool:
        return self.resting_until > 0 and self.engine.worker.now() < self.resting_until

    @property
    def is_full(self) -> bool:
        """Should no more be read just now?"""
        return self._is_resting or self.namespaces.is_full

    def _pong(self) -> None:
        if self.owed and self.owed[-1].body == "3":
            return  # one answer is enough for all that wait
        self.send(Frame("3"))

    # Out

    def send(self, *frames: Frame) -> None:
        """Send packets of the session's own: at once, or by the next poll."""
        if self.socket is not None:
            self.socket.write(self.write(frames))
            return
        self.owed += frames
        if len(self.owed) > _MAX_OWED:
            self.close("protocol")
        elif self.poll is not None:
            self.answer(self.compose(self.write(self.take_owed())))

    def write(self, frames: Iterable[Frame]) -> bytes:
        return engineio.writer(self.version, self.transport, base64=self.base64)(frames)

    def take_owed(self) -> list[Frame]:
        frames, self.owed = self.owed, []
        return frames

    def compose(self, payload: bytes) -> Answer:
        return compose(payload, engineio.content_type(payload))

    def answer(self, parts: Answer) -> None:
        """Answer the poll that waits; until the next one, everybody here is behind."""
        poll, self.poll = self.poll, None
        assert poll is not None
        self._hold_back()
        if self.script is not None:
            parts = compose(engineio.script(self.script, parts.body), SCRIPT_TYPE)
        poll.release(parts)

    def read(self) -> bytes:
        """Return what waits for a poll, as one payload; nothing, if there is nothing."""
        if self.owed:
            return self.write(self.take_owed())
        for member in list(self.namespaces.members.values()):
            payload = member.read()
            if payload:
                return payload
        return b""

    def hold(self, poll: Poll, prefix: bytes, script: str | None, *, keep_alive: bool) -> None:
        """Let a poll wait until there is something to say."""
        self.poll, self.script = poll, script
        poll.hold_for(self, prefix, keep_alive=keep_alive)
        if self.owed:
            self.answer(self.compose(self.write(self.take_owed())))
        else:
            self.let_write()

    def let_write(self) -> None:
        """Bring the members up to date, as far as there is a way out."""
        for member in list(self.namespaces.members.values()):
            if self.socket is not None:
                if self.socket.unsent is not None:
                    return
            elif self.poll is None:
                return
            member.unsent = None
            member.worker.pump(member)

    def flushed(self) -> None:
        """The socket takes more."""
        self.let_write()

    def _hold_back(self) -> None:
        """Let no member write: from now on each has a position of its own."""
        for member in self.namespaces.members.values():
            member.worker.fell_behind(member)
            member.unsent = FULL

    def fell_behind(self) -> None:
        """The socket is full."""
        self._hold_back()

    def poll_lost(self, reason: str) -> None:
        """The poll's socket is gone; whatever the client does next, it begins anew."""
        self.poll = None
        self._hold_back()
        self.close("left")

    # To a WebSocket

    def begin_upgrade(self) -> None:
        """A WebSocket has proved itself: end the poll at once, so that the client may switch."""
        self.upgrading, self.released = True, self.poll is not None
        if self.poll is not None:
            self.answer(self.compose(self.write([Frame("6")])))

    def upgrade(self, socket: EngineSocket) -> None:
        """Go on by this WebSocket."""
        self.probe, self.upgrading = None, False
        owed = self.take_owed()
        if self.poll is not None:
            self.answer(self.compose(self.write([Frame("6")])))
        self.socket = socket
        self.base64 = socket.base64
        self.engine.worker.polls.forget(self)
        for member in self.namespaces.members.values():
            member.carry(socket.sock, self.namespaces.shape(member.namespace))
        if owed:
            self.send(*owed)
        self.engine.worker.soon(self.let_write)

    # The clock

    def due(self, tick: int) -> None:
        """Do what this tick asks for."""
        if tick >= self.beat_tick:
            self._beat(tick)
        if not self.closed:
            self.engine.worker.put(self, self.beat_tick)

    def _beat(self, tick: int) -> None:
        worker, limits = self.engine.worker, self.engine.worker.limits
        self.heard = self.heard or self.posting or self.resting_until > worker.now()
        if self.namespaces.is_idle and tick >= self.connect_tick:
            self.close("protocol")
        elif self.version == 3:
            self.beat_tick = tick + _silence(limits)
            if not self.heard:
                self.close("silent")
            self.heard = False
        else:
            self._ping(tick)

    def _ping(self, tick: int) -> None:
        limits = self.engine.worker.limits
        found = pulse.beat(tick, self.pinged, heard=self.heard, every=_every(limits), patience=_patience(limits))
        if found is None:
            self.close("silent")
            return
        pings, self.pinged, self.beat_tick = found
        if not pings:
            return
        if self.socket is None or self.socket.unsent is None:
            self.heard = False
            self.send(Frame("2"))
        else:
            self.pinged, self.beat_tick = 0, tick + _every(limits)

    # The end

    def lost(self, reason: str) -> None:
        """End without a word: something here has failed, or this process ends."""
        self.close(reason)

    def close(self, reason: str, close: Close = _NORMAL, *, last: str = "1") -> None:
        """End the session. A poll that waits is told `last`; one that comes too late is told once, if the server ends it."""
        if self.closed:
            return
        self.closed = True
        worker = self.engine.worker
        worker.unput(self)
        worker.polls.forget(self)
        self.engine.ended(self)
        if self.poll is not None:
            self.answer(self.compose(self.write([Frame(last)])))
        elif self.socket is None and last == "6":
            self.engine.tell_once(self.sid, self.write([Frame("6")]), _LEFT_SECONDS)
        elif self.socket is None and reason == "closed":
            self.engine.tell_once(self.sid, self.write([Frame("6"), Frame("1")]), _ENDED_SECONDS)
        self.namespaces.close(reason)
        for socket in (self.probe, self.socket):
            if socket is not None:
                socket.let_go(close)


def _every(limits: Limits) -> int:
    """Return how many ticks lie between two pings; the client is told what is kept."""
    return ticks(limits.heartbeat_seconds, TICK_SECONDS)


def _patience(limits: Limits) -> int:
    """Return for how many ticks a client may be silent after a ping."""
    return ticks(limits.pong_seconds, TICK_SECONDS)


def _silence(limits: Limits) -> int:
    """Return for how many ticks a client may be silent that pings by itself (version 3)."""
    return _every(limits) + _patience(limits) + 1


class EnginePlan(NamedTuple):
    """How to answer the polls of a session."""

    owner: Session
    prefix: bytes
    until_tick: int
    script: str | None

    @property
    def changing(self) -> Changing:
        return CACHE_BUSTER

    @property
    def is_good(self) -> bool:
        session = self.owner
        return not session.closed and session.socket is None and not session.upgrading and session.poll is None

    def hold(self, poll: Poll, text: bytes) -> bool:
        """Let this poll wait."""
        self.owner.heard = True
        self.owner.hold(poll, self.prefix, self.script, keep_alive=True)
        return True
