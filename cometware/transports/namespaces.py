"""What a session says to Socket.IO's namespaces, and hears of them: a `Member` for each that it has joined.

Rule: nothing here knows by which transport the session comes; it only sends packets by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gevent

from cometware.client import Environ
from cometware.core.entry import RESERVED
from cometware.core.events import Received
from cometware.dialects import socketio
from cometware.dialects.base import Shape
from cometware.errors import BadFrame, Refused
from cometware.transports.inbox import refusal
from cometware.transports.member import Member
from cometware.transports.opening import Admission
from cometware.transports.report import report
from cometware.transports.worker import Worker

if TYPE_CHECKING:
    from cometware.transports.session import Session

_MAX_QUERY = 8192


class Namespaces:
    """Those of one session. `connecting` has for each namespace that is being opened what came for it meanwhile.

    `joined`: has any been answered? `environ` is the session's first request, which each namespace asks for; where there is
    but one, that has it.
    """

    __slots__ = ("connecting", "environ", "joined", "members", "reader", "session")

    dialect = socketio.SocketIO.name

    def __init__(self, session: Session, environ: Environ) -> None:
        self.session = session
        self.environ = environ
        self.reader = socketio.Reader(session.version + 1, 4 * session.engine.worker.limits.max_message_bytes)
        self.members: dict[str, Member] = {}
        self.connecting: dict[str, list[socketio.Packet]] = {}
        self.joined = False

    @property
    def transport(self) -> str:
        return self.session.transport

    @property
    def is_idle(self) -> bool:
        """Has nobody asked for any of them?"""
        return not self.joined and not self.connecting

    # In

    def receive(self, message: str | bytes) -> None:
        """Take what an Engine.IO message carries: a packet, or one of its attachments.

        Raises:
            BadFrame: The protocol does not allow it; the caller ends the session.
        """
        packet = self.reader.receive(message)
        if packet is not None:
            self._take(packet)

    def _take(self, packet: socketio.Packet) -> None:
        namespace, _, query = packet.namespace.partition("?")
        member = self.members.get(namespace)
        if packet.type == socketio.CONNECT:
            if member is None and namespace not in self.connecting:
                self._begin_connecting(namespace, packet, query)
        elif namespace in self.connecting:
            waiting = self.connecting[namespace]
            waiting.append(packet)
            if len(waiting) > self.session.engine.worker.limits.max_waiting_messages:
                raise BadFrame("packet", "too many packets for a namespace that is not connected yet")
        elif member is None:
            if self.session.version == 4:
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
        if name in socketio.RESERVED[self.session.version + 1] or name in RESERVED:
            return
        asks = packet.id is not None and member.worker.channel.handles(name)  # else nobody acknowledges, as in Node's server
        event = Received(name, socketio.data_of(args), None, asks, packet.id)
        if member.record is not None:
            member.worker.inboxes.deliver(member.record, event, self)

    def handled(self, number: int | None) -> None:
        """A message of this session is done: the protocol has no word for that."""

    def refused(self, error: BadFrame) -> None:
        """A message came for a client that has ended: it is told so already."""

    @property
    def is_full(self) -> bool:
        """Do so many messages wait for their handlers that no more should be read?"""
        return not self.has_room(1)

    def has_room(self, count: int) -> bool:
        """May so many more messages wait for their handlers?"""
        return all(member.has_room(count) for member in self.members.values())

    # Joining and leaving

    def _begin_connecting(self, namespace: str, packet: socketio.Packet, query: str) -> None:
        if namespace not in self.session.engine.namespaces:
            self.session.send(socketio.refused(namespace[:256], self.session.version + 1, "Invalid namespace"))
            return
        if not self.environ:
            self.session.close("closed")  # who comes back to the only namespace begins anew: no request of it is kept
            return
        self.connecting[namespace] = []
        if len(query) > _MAX_QUERY:
            raise BadFrame("packet", f"a query of {len(query)} characters for a namespace; expected at most {_MAX_QUERY}")
        auth = packet.args if isinstance(packet.args, dict) else socketio.auth_of(query)
        gevent.spawn(self.connect, namespace, auth)

    def connect(self, namespace: str, auth: dict[str, Any]) -> None:
        """Open a namespace and say so, or why not. Waits for `on_open`; a greenlet of its own ends with that."""
        if self.session.closed:
            return
        self.connecting.setdefault(namespace, [])
        try:
            worker, admission, answer = self.session.engine.admit(self.session, namespace, auth)
        except Refused as error:
            self._refuse(namespace, error)
        except Exception:
            report("the opening of a Socket.IO client")
            self._refuse(namespace, Refused(500, "the server failed; its log says why"))
        else:
            if self.session.closed:
                worker.clients.left_alone(admission.record)
                return
            self._join(namespace, worker, admission, answer)

    def _refuse(self, namespace: str, error: Refused) -> None:
        self.connecting.pop(namespace, None)
        self.joined = True
        if self.session.closed:
            return
        details = refusal(error)
        del details["code"]
        message = details.pop("message") or str(error)
        version = self.session.version
        self.session.send(socketio.refused(namespace, version + 1, message, details if version == 4 else None))

    def _join(self, namespace: str, worker: Worker, admission: Admission, answer: dict[str, str]) -> None:
        self.joined = True
        member = Member(self.session, worker, namespace, admission.record, self.shape(namespace))
        self.members[namespace] = member
        self.session.engine.joined(self.session)
        if len(self.session.engine.namespaces) == 1:
            self.environ = {}
        self.session.send(socketio.connected(namespace, answer if self.session.version == 4 else None))
        if self.session.closed:
            worker.clients.left_alone(admission.record)
            return
        member.begin(admission.position)
        self.session.let_write()
        for packet in self.connecting.pop(namespace, ()):
            try:
                self._take(packet)
            except BadFrame:
                self.session.close("protocol")

    def _leave(self, member: Member) -> None:
        """The client leaves a namespace; the session stays."""
        del self.members[member.namespace]
        member.leave()

    def kick(self, member: Member) -> None:
        """The server ends a client: it is told behind its last message, and the session stays."""
        if self.members.get(member.namespace) is not member:
            return
        frames = member.rest() if self.session.socket is None else []
        del self.members[member.namespace]
        member.worker.clients.detach(member)
        self.session.send(*frames, socketio.disconnected(member.namespace))

    def shape(self, namespace: str) -> Shape:
        """Return how a namespace is written for this session now."""
        session = self.session
        offsets = session.engine.recovery and session.version == 4
        return socketio.shape(namespace, session.version, session.transport, base64=session.base64, offsets=offsets)

    def close(self, reason: str) -> None:
        """The session has ended: so have its members."""
        members, self.members = self.members, {}
        for member in members.values():
            member.worker.clients.detach(member, reason)
            member.fd = -1
        self.environ = {}
