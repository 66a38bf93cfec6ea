"""The Engine.IO sessions of a process, and how clients come into the namespaces of Socket.IO."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from cometware.client import Environ
from cometware.core import kept
from cometware.core.data import dumps
from cometware.core.entry import Position
from cometware.core.keys import is_key
from cometware.core.negotiation import Asked, Transport
from cometware.dialects import socketio
from cometware.errors import Refused
from cometware.transports.opening import Admission, admit, turned_away
from cometware.transports.session import Session
from cometware.transports.worker import Worker

_FAREWELLS = 1000
_NEWCOMERS_BYTES = 64 * 1024 * 1024
"""What sessions keep of their first requests that are in no namespace yet; beyond, the oldest of them ends."""


class Engine:
    """The sessions of a process. `namespaces` gives the worker of each namespace; `/` is that of the native channel, too."""

    def __init__(
        self,
        worker: Worker,
        namespaces: Mapping[str, Callable[[], Worker]],
        find_user: Callable[[Environ], str | None] | None,
        home: str,
        *,
        recovery: bool,
    ) -> None:
        self.worker = worker
        self.namespaces = namespaces
        self.find_user = find_user
        self.recovery = recovery
        self.sessions: dict[str, Session] = {}
        self._newcomers: OrderedDict[str, tuple[Session, int]] = OrderedDict()
        self._kept_bytes = 0
        self.home = home
        """The name of this process (`servers.passed`), with which the id of each of its sessions begins."""
        self._farewells: OrderedDict[str, tuple[float, bytes]] = OrderedDict()

    def open(self, version: int, environ: Environ, *, base64: bool) -> Session:
        """Begin a session. Of `environ`, its namespaces ask later.

        Raises:
            Refused: There are too many (503), too many new ones come from this address (429), or it is too much to be
                kept (431).
        """
        worker, limits = self.worker, self.worker.limits
        size = kept.size_of(environ)
        kept.check("a head", size, limits.max_kept_bytes)
        if worker.meters is not None:
            address = environ.get("cometware.address", "")
            wait = worker.meters.sessions.take(address or None, 1, worker.now())
            if wait is not None:
                raise turned_away(str(wait), wait.seconds, address)
        if len(self.sessions) >= limits.max_clients and not self._make_room():
            raise Refused(503, f"this worker keeps {limits.max_clients} sessions; see Limits.max_clients")
        session = Session(self, self.home + secrets.token_urlsafe(24), version, environ, base64=base64)
        self.sessions[session.sid] = session
        self._newcomers[session.sid] = session, size
        self._kept_bytes += size
        while self._kept_bytes > _NEWCOMERS_BYTES:
            next(iter(self._newcomers.values()))[0].close("protocol")
        return session

    def joined(self, session: Session) -> None:
        """A session has come into a namespace: it stays when there is no room."""
        _, size = self._newcomers.pop(session.sid, (session, 0))
        self._kept_bytes -= size

    def _make_room(self) -> bool:
        """There are too many sessions: let the oldest go that never came into a namespace. Is there one?"""
        while self._newcomers:
            session, _ = next(iter(self._newcomers.values()))
            self.joined(session)
            if session.namespaces.is_idle:
                session.close("protocol")
                return True
        return False

    def home_of(self, sid: str) -> str | None:
        """Which other process may have this session? None: this one, or the id is none of ours."""
        home = sid[: len(self.home)]
        return home if is_key(sid) and home != self.home else None

    def farewell(self, sid: str) -> bytes | None:
        """Return what the next poll of a session that has ended is to be told; once."""
        deadline, payload = self._farewells.pop(sid, (0.0, b""))
        return payload if self.worker.clock.monotonic() < deadline else None

    def ended(self, session: Session) -> None:
        """Forget a session."""
        del self.sessions[session.sid]
        self.joined(session)

    def tell_once(self, sid: str, farewell: bytes, seconds: float) -> None:
        """Keep for a while what the next poll of a session is to be told, though it has ended."""
        self._farewells[sid] = (self.worker.clock.monotonic() + seconds, farewell)
        if len(self._farewells) > _FAREWELLS:
            self._farewells.popitem(last=False)

    def admit(self, session: Session, namespace: str, auth: dict[str, Any]) -> tuple[Worker, Admission, dict[str, str]]:
        """Let a client into a namespace; return also what it is told. May wait.

        Raises:
            Refused: The application does not want it, or its `auth` is too much to be kept (431).
        """
        kept.check("auth", len(dumps(auth)), self.worker.limits.max_kept_bytes)
        worker = self.namespaces[namespace]()
        environ = {**session.namespaces.environ, "cometware.auth": auth}
        user = None if self.find_user is None else worker.who(self.find_user, environ)
        session.know(user, auth)
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
