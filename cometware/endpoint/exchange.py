"""One request to the channel's URL, with all that it takes to answer it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from cometware.client import Environ
from cometware.core.events import Left
from cometware.core.keys import client_id, key_id
from cometware.core.negotiation import Asked
from cometware.endpoint.answers import BASE_HEADERS, Headers
from cometware.endpoint.gate import is_doubtful
from cometware.endpoint.reasons import Reasons
from cometware.response import Response
from cometware.roster.base import Record, State
from cometware.servers.base import Server, Taken
from cometware.transports.opening import Admission, admit, turned_away
from cometware.transports.worker import Worker

_CROWDED_SECONDS = 5.0
"""When to come back, if an address has as many connections as it may."""

StartResponse: TypeAlias = Callable[..., Any]
User: TypeAlias = Callable[[Environ], "str | None"]


@dataclass(frozen=True)
class Exchange:
    """`asked` is what negotiation found; `server` what the process that serves us can do; `cors` goes into every answer.

    `reasons` tell the cause of the transport by which a client comes.
    """

    worker: Worker
    server: Server
    asked: Asked
    environ: Environ
    start_response: StartResponse
    cors: Headers
    find_user: User | None = None
    subprotocols: Sequence[str] = ()
    reasons: Reasons = field(default_factory=Reasons)

    def ask_user(self) -> str | None:
        """Ask the application's own login who sends this request."""
        return None if self.find_user is None else self.worker.who(self.find_user, self.environ)

    @property
    def is_http11(self) -> bool:
        return bool(self.environ.get("SERVER_PROTOCOL") == "HTTP/1.1")

    @property
    def is_chunked(self) -> bool:
        """Do we write an endless body in chunks?"""
        return self.is_http11 and not self.server.frames_bodies

    @property
    def headers(self) -> Headers:
        return BASE_HEADERS + self.cors

    def describe_server(self) -> dict[str, Any]:
        """Tell the client what it can expect here."""
        return {"name": self.server.name, "transports": list(self.server.transports)}

    @property
    def address(self) -> str:
        """Where this request comes from, as it is counted; empty: nobody knows."""
        return str(self.environ.get("cometware.address", ""))

    def admit(self, transport: str, dialect: str, *, leaves: bool = False) -> Admission:
        """Let the client in (`transports.opening.admit`).

        Raises:
            Refused: As there; or there are too many connections (429).
        """
        user = self.ask_user()
        if self.worker.meters is not None and transport != "post":
            self.check_connections(user, begins=transport != "poll")
        why = self.reasons.of(transport, self.asked, self.server, self.environ)
        return admit(self.worker, self.asked, user, self.environ, transport, dialect, why, leaves=leaves)

    def check_connections(self, user: str | None = None, *, begins: bool = True) -> None:
        """May this request become a connection? One that only asks (a poll) is none that `begins`, but may be held, too.

        Raises:
            TooFast: Not now.
        """
        worker, meters, address = self.worker, self.worker.meters, self.address
        if meters is None:
            return
        most = meters.connections_at_once
        if most is not None and address and worker.poller.crowd.count(address) >= most:
            message = f"{most} connections from {address} are here already; see Rates.connections_at_once"
            raise turned_away(message, _CROWDED_SECONDS, address)
        wait = meters.connect(self.asked.key, user, address, worker.now()) if begins else None
        if wait is not None:
            raise turned_away(str(wait), wait.seconds, address)

    def take(self) -> Taken:
        """Take the connection of this request from the server. Duty of the caller: as `Server.take`."""
        taken = self.server.take(self.environ)
        if self.worker.meters is not None and (address := self.address):
            self.worker.poller.crowd.enter(taken.sock.fileno(), address)
        return taken

    @property
    def is_doubtful(self) -> bool:
        """May a foreign page have sent this (`core.origin.Verdict`)?"""
        return is_doubtful(self.environ)

    def find_own(self, key: str) -> Record | None:
        """Find the open client that this user has with a key, by a request that was surely no foreign page's."""
        record = self.worker.clients.find(client_id(key, self.ask_user()))
        return record if record is not None and record.state is State.OPEN and not record.doubtful else None

    def is_known(self, key: str) -> bool:
        """Is this user's client with a key here, on whichever worker?"""
        return self.worker.clients.find(client_id(key, self.ask_user())) is not None

    def leave_by_key(self, goodbye: Left) -> bool:
        """Take leave of a key's client under another user: a page that goes to a login sends the next one's cookies already.

        Is it here?
        """
        former = self.worker.roster.newest_of(key_id(self.asked.key or ""))
        return former is not None and self.worker.clients.leave_by_id(former, goodbye.wait_seconds)

    def respond(self, response: Response) -> Iterable[bytes]:
        """Give an ordinary answer."""
        response.headers.extend(self.headers)
        response.says_type = True
        return response(self.environ, self.start_response)

    def asking(self, **changes: Any) -> Exchange:
        """Return the same with something else asked for."""
        return replace(self, asked=replace(self.asked, **changes))
