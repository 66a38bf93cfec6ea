"""A client of the channel, as handlers see it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cometware.core.data import Data
from cometware.core.entry import Position
from cometware.roster.base import Record

if TYPE_CHECKING:
    from cometware.channel import Channel

Environ = dict[str, Any]


class Client:
    """Whoever is at the other end. Made anew for each call of a handler; do not keep it, keep its `id`.

    `environ` is the WSGI environ of the request that opened the client, there in `on_open` only, else None.
    `data` holds small JSON values; what the handler changed in it is written once, after the handler.
    """

    __slots__ = ("_channel", "_record", "_stored", "data", "dialect", "environ", "transport")

    def __init__(self, channel: Channel, record: Record, transport: str, dialect: str, environ: Environ | None = None) -> None:
        self._channel = channel
        self._record = record
        self._stored = record.data
        self.transport = transport
        self.dialect = dialect
        self.environ = environ
        self.data: dict[str, Any] = {} if self._stored == "{}" else json.loads(self._stored)

    def __repr__(self) -> str:
        return f"<Client {self.id} user={self.user!r} {self.dialect} {self.transport}>"

    @property
    def id(self) -> str:
        """What others may know of this client: `to="client:<id>"` reaches it."""
        return self._record.id

    @property
    def user(self) -> str | None:
        """What `user=` told of the request that opened it."""
        return self._record.user

    @property
    def rooms(self) -> frozenset[str]:
        """The rooms that it hears, like `room:lobby`."""
        return self._record.rooms

    def send(self, data: Data, *, event: str = "message") -> Position:
        """Publish to this client alone.

        Raises:
            ValueError: As `Channel.publish`.
        """
        return self._channel.publish(data, event=event, to=f"client:{self.id}")

    @property
    def auth(self) -> dict[str, Any]:
        """What a Socket.IO client says of itself when it connects (`io(url, {auth: …})`); there in `on_open` only."""
        return {} if self.environ is None else dict(self.environ.get("cometware.auth", {}))

    def call(self, event: str, data: Data = None, *, timeout: float = 10.0) -> Data:
        """Send a Socket.IO client an event and wait for what its acknowledgement says: one value, or `Args`; seconds.

        Raises:
            ValueError: As `Channel.publish`; or it is no Socket.IO client, or not open yet.
            TimeoutError: It has not answered in time, or has left.
        """
        return self._channel.ask(self._record, event, data, timeout)

    def join(self, room: str) -> None:
        """Let it hear a room from now on.

        Raises:
            ValueError: The name does not begin with `room:`.
        """
        self._channel.join(self.id, room)

    def leave(self, room: str) -> None:
        """Let it not hear a room any more."""
        self._channel.leave(self.id, room)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """End it and all its connections. Codes 4000 to 4399 ask it to come back, 4400 to 4499 not to.

        Raises:
            ValueError: The code is neither 1000 nor 3000 to 4999.
        """
        self._channel.close(self.id, code, reason)

    def request_environ(self) -> Environ:
        """Return the WSGI environ of a request as this client might make it now: with the cookies of its newest one.

        Raises:
            RuntimeError: Nothing is kept of its requests: the channel has neither hooks nor an `around` with `needs_request`.
        """
        requests = self._channel.requests
        if requests is None:
            raise RuntimeError("no request is kept: expected Channel(around=cometware.flask.request_context(app)), or hooks")
        return requests.environ_of(self._record)

    def changed_data(self) -> str | None:
        """Return `data` as JSON if the handler changed it.

        Raises:
            ValueError: It is no JSON any more.
        """
        if not self.data and self._stored == "{}":
            return None
        try:
            text = json.dumps(self.data, allow_nan=False, separators=(",", ":"))
        except (TypeError, ValueError) as error:
            raise ValueError(f"client.data must stay JSON: {error}") from None
        return None if text == self._stored else text
