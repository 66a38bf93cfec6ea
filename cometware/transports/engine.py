"""Engine.IO sessions: who asks by which transport, what they are owed, and when they were last heard.

Rule: what is published stays in the log. A session holds nothing but its own few packets (opening, pong, disconnect) and,
for each of its namespaces, a `Member` with a position.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import gevent

from cometware.client import Environ
from cometware.core.entry import RESERVED, Position
from cometware.core.events import Close, Received
from cometware.core.framing import Frame
from cometware.core.keys import is_key
from cometware.core.negotiation import Asked, Transport
from cometware.dialects import engineio, socketio
from cometware.errors import BadFrame, Refused
from cometware.transports.connection import Answer
from cometware.transports.inbox import refusal
from cometware.transports.member import FULL, Member, compose
from cometware.transports.opening import Admission, admit
from cometware.transports.poll import SCRIPT_TYPE, Poll
from cometware.transports.report import report
from cometware.transports.worker import Worker

if TYPE_CHECKING:
    from cometware.transports.enginesocket import EngineSocket

_NORMAL = Close(1000)
_CONNECT_SECONDS = 45.0
"""How long a session may live that was never connected to a namespace."""
_LEFT_SECONDS = 1.0
_ENDED_SECONDS = 30.0
"""How long the one poll that is under way, or comes next, is told that a session has ended."""
_FAREWELLS = 1000
_HOME_BYTES = 9
_MAX_OWED = 1000
"""Packets that a session may be owed beside its mail; more of them only a hostile client provokes."""


class Engine:
    """The sessions of a process. `namespaces` gives the worker of each namespace; `/` is that of the native channel, too."""

    def __init__(
        self,
        worker: Worker,
        namespaces: Mapping[str, Callable[[], Worker]],
        find_user: Callable[[Environ], str | None] | None,
        *,
        recovery: bool,
    ) -> None:
        self.worker = worker
        self.namespaces = namespaces
        self.find_user = find_user
        self.recovery = recovery
        self.sessions: dict[str, Session] = {}
        self.home = secrets.token_urlsafe(_HOME_BYTES)
        """The name of this process, with which the id of each of its sessions begins."""
        self._farewells: OrderedDict[str, tuple[float, bytes]] = OrderedDict()

    def open(self, version: int, environ: Environ, *, base64: bool) -> Session:
        """Begin a session.

        Raises:
            Refused: There are too many (503).
        """
        limits = self.worker.limits
        if len(self.sessions) >= limits.max_clients:
            raise Refused(503, f"this worker keeps {limits.max_clients} sessions; see Limits.max_clients")
        session = Session(self, self.home + secrets.token_urlsafe(24), version, environ, base64=base64)
        self.sessions[session.sid] = session
        return session

    def home_of(self, sid: str) -> str | None:
        """Which other process may have this session? None: this one, or the id is none of ours."""
        home = sid[: len(self.home)]
        return home if is_key(sid) and home != self.home else None

    def farewell(self, sid: str) -> bytes | None:
        """Return what the next poll of a session that has ended is to be told; once."""
        deadline, payload = self._farewells.pop(sid, (0.0, b""))
        return payload if self.worker.clock.monotonic() < deadline else None

    def ended(self, session: Session, farewell: bytes, seconds: float) -> None:
        del self.sessions[session.sid]
        if farewell:
            self._farewells[session.sid] = (self.worker.clock.monotonic() + seconds, farewell)
            if len(self._farewells) > _FAREWELLS:
                self._farewells.popitem(last=False)

    def admit(self, session: Session, namespace: str, auth: dict[str, Any]) -> tuple[Worker, Admission, dict[str, str]]:
        """Let a client into a namespace; return also what it is told. May wait.

        Raises:
            Refused: The application does not want it.
        """
        worker = self.namespaces[namespace]()
        environ = {**session.environ, "cometware.auth": auth}
        user = None if self.find_user is None else worker.blocking(self.find_user, environ)
        before = Recovery.read(auth) if self.recovery else None
        key = None
        if self.recovery:
            key = before.key if before else secrets.token_urlsafe(24)
        position = before.position if before else None
        asked = Asked(Transport.WEBSOCKET, False, key, position=position, has_position=before is not None)
        admission = admit(worker, asked, user, environ, session.transport, socketio.SocketIO.name)
        if admission.close is not None:
            raise Refused(403, admission.close.reason or "closed")
        answer = {"sid": admission.record.id}
        if key is not None:
            recovered = before is not None and admission.recovered and not admission.opened
            answer["pid"] = before.pid if before and recovered else Recovery.write(key, admission.position)
        return worker, admission, answer


class Recovery(NamedTuple):
    """What a client shows that comes back: its key, and up to where it has heard its namespace."""

    pid: str
    key: str
    position: Position | None

    @classmethod
    def read(cls, auth: Mapping[str, Any]) -> Recovery | None:
        """Read it from a CONNECT. Who has never heard an event has no offset: then the `pid` itself says where it began."""
        pid, offset = auth.get("pid"), auth.get("offset")
        if not isinstance(pid, str):
            return None
        key, _, rest = pid.partition(".")
        position = offset if isinstance(offset, str) else rest.partition(".")[0]
        return cls(pid, key, Position.parse(position)) if is_key(key) else None

    @staticmethod
    def write(key: str, position: Position) -> str:
        return f"{key}.{position}.{secrets.token_urlsafe(4)}"


class Session:
    """One Engine.IO session, from its handshake to its end, on whatever transport it is.

    `socket` is its WebSocket (None: it polls), `probe` one that may become it, `poll` the GET that waits. `owed` are the
    packets that wait for the next poll. `connecting` has for each namespace that is being opened what came for it
    meanwhile. `environ` is that of its first request, for as long as a namespace may ask for it.
    """

    __slots__ = (
        "base64", "beat_tick", "closed", "connect_tick", "connecting", "engine", "environ", "heard", "joined", "members",
        "owed", "pinged", "plan", "poll", "posting", "probe", "reader", "released", "script", "sid", "slot", "socket",
        "upgrading", "version",
    )  # fmt: skip

    def __init__(self, engine: Engine, sid: str, version: int, environ: Environ, *, base64: bool) -> None:
        worker = engine.worker
        self.engine = engine
        self.sid = sid
        self.version = version
        self.base64 = base64
        self.environ = environ
        self.reader = socketio.Reader(version + 1)
        self.members: dict[str, Member] = {}
        self.connecting: dict[str, list[socketio.Packet]] = {}
        self.joined = False
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
        self.pinged = False
        self.slot = -1
        limits = worker.limits
        silence = limits.heartbeat_seconds + limits.pong_seconds
        self.beat_tick = worker.tick_after(limits.heartbeat_seconds if version == 4 else silence)
        self.connect_tick = worker.tick_after(_CONNECT_SECONDS)
        worker.put(self, self.beat_tick)

    @property
    def transport(self) -> str:
        return "poll" if self.socket is None else "websocket"

    dialect = socketio.SocketIO.name

    def opening(self, upgrades: tuple[str, ...]) -> Frame:
        """Write the packet that tells the client of its session."""
        limits = self.engine.worker.limits
        return Frame(
            engineio.opening(self.sid, upgrades, limits.heartbeat_seconds, limits.pong_seconds, limits.max_message_bytes)
        )

    # In

    def receive(self, packet: engineio.Packet) -> None:
        """Take one packet.

        Raises:
            BadFrame: The protocol does not allow it; the caller ends the session.
        """
        self.heard = True
        kind, data = packet
        if kind == engineio.MESSAGE:
            whole = self.reader.receive(data)
            if whole is not None:
                self._take(whole)
        elif kind == engineio.PING:
            if self.version == 4:
                raise BadFrame("packet", "a ping from the client: in Engine.IO 4, the server pings")
            self._pong()
        elif kind == engineio.CLOSE:
            self.close("left", last="6")

    def _pong(self) -> None:
        if self.owed and self.owed[-1].body == "3":
            return  # one answer is enough for all that wait
        self.send(Frame("3"))

    def _take(self, packet: socketio.Packet) -> None:
        namespace, _, query = packet.namespace.partition("?")
        member = self.members.get(namespace)
        if packet.type == socketio.CONNECT:
            if member is None and namespace not in self.connecting:
                self._begin_connecting(namespace, packet, query)
        elif namespace in self.connecting:
            waiting = self.connecting[namespace]
            waiting.append(packet)
            if len(waiting) > self.engine.worker.limits.max_waiting_messages:
                raise BadFrame("packet", "too many packets for a namespace that is not connected yet")
        elif member is None:
            if self.version == 4:
                raise BadFrame("packet", f"a packet for the namespace {namespace[:40]!r}, which is not connected")
        elif packet.type == socketio.DISCONNECT:
            self._leave(member)
        elif packet.type == socketio.EVENT:
            self._event(member, packet)
        elif packet.type == socketio.ACK and packet.id is not None:
            member.worker.channel.questions.answer(member.id, packet.id, socketio.data_of(packet.args))
        elif packet.type == socketio.CONNECT_ERROR:
            raise BadFrame("packet", "an error from the client: only servers refuse")

    def _event(self, member: Member, packet: socketio.Packet) -> None:
        name, args = str(packet.args[0]), packet.args[1:]
        if name in socketio.RESERVED[self.version + 1]:
            return
        if name in RESERVED:
            if packet.id is not None:
                details = {"error": {"code": "event", "message": f"{name!r} is a name that the channel keeps for itself"}}
                self.send(*socketio.acknowledged(member.namespace, packet.id, [details]))
            return
        event = Received(name, socketio.data_of(args), None, packet.id is not None, packet.id)
        if member.record is not None:
            member.worker.inboxes.deliver(member.record, event, self)

    def handled(self, number: int | None) -> None:
        """A message of this session is done: the protocol has no word for that."""

    def refused(self, error: BadFrame) -> None:
        """A message came for a client that has ended: it is told so already."""

    @property
    def is_full(self) -> bool:
        """Do so many messages wait for their handlers that no more should be read?"""
        return any(member.is_full for member in self.members.values())

    # Namespaces

    def _begin_connecting(self, namespace: str, packet: socketio.Packet, query: str) -> None:
        if namespace not in self.engine.namespaces:
            self.send(socketio.refused(namespace[:256], self.version + 1, "Invalid namespace"))
            return
        self.connecting[namespace] = []
        auth = packet.args if isinstance(packet.args, dict) else socketio.auth_of(query)
        gevent.spawn(self.connect, namespace, auth)

    def connect(self, namespace: str, auth: dict[str, Any]) -> None:
        """Open a namespace and say so, or why not. Waits for `on_open`; a greenlet of its own ends with that."""
        if self.closed:
            return
        self.connecting.setdefault(namespace, [])
        try:
            worker, admission, answer = self.engine.admit(self, namespace, auth)
        except Refused as error:
            self._refuse(namespace, error)
        except Exception:
            report("the opening of a Socket.IO client")
            self._refuse(namespace, Refused(500, "the server failed; its log says why"))
        else:
            if self.closed:
                worker.clients.left_alone(admission.record)
                return
            self._join(namespace, worker, admission, answer)

    def _refuse(self, namespace: str, error: Refused) -> None:
        self.connecting.pop(namespace, None)
        self.joined = True
        if self.closed:
            return
        details = refusal(error)
        del details["code"]
        message = details.pop("message") or str(error)
        self.send(socketio.refused(namespace, self.version + 1, message, details if self.version == 4 else None))

    def _join(self, namespace: str, worker: Worker, admission: Admission, answer: dict[str, str]) -> None:
        self.joined = True
        member = Member(self, worker, namespace, admission.record, self._shape(namespace))
        self.members[namespace] = member
        if len(self.members) == len(self.engine.namespaces):
            self.environ = {}
        self.send(socketio.connected(namespace, answer if self.version == 4 else None))
        member.begin(admission.position)
        self._let_write()
        for packet in self.connecting.pop(namespace, ()):
            try:
                self._take(packet)
            except BadFrame:
                self.close("protocol")

    def _shape(self, namespace: str) -> Any:
        offsets = self.engine.recovery and self.version == 4
        return socketio.shape(namespace, self.version, self.transport, base64=self.base64, offsets=offsets)

    def _leave(self, member: Member) -> None:
        """The client leaves a namespace; the session stays."""
        del self.members[member.namespace]
        member.leave()

    def kick(self, member: Member) -> None:
        """The server ends a client: it is told behind its last message, and the session stays."""
        if self.members.get(member.namespace) is not member:
            return
        frames = member.rest() if self.socket is None else []
        del self.members[member.namespace]
        member.worker.clients.detach(member)
        self.send(*frames, socketio.disconnected(member.namespace))

    # Out

    def send(self, *frames: Frame) -> None:
        """Send packets of the session's own: at once, or by the next poll."""
        if self.socket is not None:
            self.socket.write(self.write(frames))
            return
        self.owed += frames
        if len(self.owed) > _MAX_OWED:
            raise BadFrame("packet", f"the client provoked {_MAX_OWED} answers and fetches none")
        if self.poll is not None:
            self.answer(self.compose(self.write(self.take_owed())))

    def write(self, frames: Any) -> bytes:
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
        for member in list(self.members.values()):
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
            self._let_write()

    def _let_write(self) -> None:
        """Bring the members up to date, as far as there is a way out."""
        for member in list(self.members.values()):
            if self.socket is not None:
                if self.socket.unsent is not None:
                    return
            elif self.poll is None:
                return
            member.unsent = None
            member.worker.pump(member)

    def flushed(self) -> None:
        """The socket takes more."""
        self._let_write()

    def _hold_back(self) -> None:
        """Let no member write: from now on each has a position of its own."""
        for member in self.members.values():
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
        for member in self.members.values():
            member.carry(socket.sock, self._shape(member.namespace))
        if owed:
            self.send(*owed)
        self.engine.worker.soon(self._let_write)

    # The clock

    def due(self, tick: int) -> None:
        """Do what this tick asks for."""
        if tick >= self.beat_tick:
            self._beat(tick)
        if not self.closed:
            self.engine.worker.put(self, self.beat_tick)

    def _beat(self, tick: int) -> None:
        worker, limits = self.engine.worker, self.engine.worker.limits
        self.heard = self.heard or self.posting
        if not self.joined and not self.connecting and tick >= self.connect_tick:
            self.close("protocol")
        elif self.version == 3:
            self.beat_tick = worker.tick_after(limits.heartbeat_seconds + limits.pong_seconds)
            if not self.heard:
                self.close("silent")
            self.heard = False
        elif self.pinged:
            self.pinged = False
            if not self.heard:
                self.close("silent")
            self.beat_tick = worker.tick_after(limits.heartbeat_seconds - limits.pong_seconds)
        else:
            self.beat_tick = worker.tick_after(min(limits.pong_seconds, limits.heartbeat_seconds))
            if self.socket is None or self.socket.unsent is None:
                self.pinged, self.heard = True, False
                self.send(Frame("2"))

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
        farewell = {"left": b"", "closed": self.write([Frame("6"), Frame("1")])}.get(reason, b"")
        if last == "6" and self.poll is None:
            farewell = self.write([Frame("6")])
        has_ended = self.socket is not None or self.poll is not None
        self.engine.ended(self, b"" if has_ended else farewell, _LEFT_SECONDS if last == "6" else _ENDED_SECONDS)
        if self.poll is not None:
            self.answer(self.compose(self.write([Frame(last)])))
        members, self.members = self.members, {}
        for member in members.values():
            member.worker.clients.detach(member, reason)
            member.fd = -1
        for socket in (self.probe, self.socket):
            if socket is not None:
                socket.let_go(close)
        self.environ = {}


class EnginePlan(NamedTuple):
    """How to answer the polls of a session."""

    owner: Session
    prefix: bytes
    until_tick: int
    script: str | None

    @property
    def is_good(self) -> bool:
        session = self.owner
        return not session.closed and session.socket is None and not session.upgrading and session.poll is None

    def hold(self, poll: Poll, text: bytes) -> bool:
        """Let this poll wait."""
        self.owner.heard = True
        self.owner.hold(poll, self.prefix, self.script, keep_alive=True)
        return True
