"""The channel: one ordered log, who listens to it, and what to do when they speak."""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, TypeVar
from weakref import WeakSet, finalize

from cometware.client import Client, Environ
from cometware.core import data as _data
from cometware.core import kept
from cometware.core.data import Data
from cometware.core.entry import Entry, Message, Position, audiences, event_name, left_out
from cometware.core.events import REVOKED, Close, close_code
from cometware.core.masking import masked_url
from cometware.limits import Limits
from cometware.logs.base import Log, real_lock
from cometware.questions import Questions
from cometware.requests import KeptRequests
from cometware.roster.base import Presence, Record, Roster, State
from cometware.stores.schemes import named
from cometware.unheard import unheard

Handler = TypeVar("Handler", bound=Callable[..., Any])
Around = Callable[[], AbstractContextManager[Any]] | Callable[[Client], AbstractContextManager[Any]]


class Hooks(Protocol):
    """What answers in the place of handlers that a channel does not have: `cometware.hooks`."""

    def handles(self, event: str) -> bool: ...

    def call(self, run: Callable[..., Any], event: str, client: Client, *arguments: Any) -> Any: ...


def _takes_one(around: Callable[..., Any]) -> bool:
    """Does it have to be called with an argument?"""
    try:
        parameters = inspect.signature(around).parameters.values()
    except ValueError:
        return False  # something built in
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return any(one.kind in positional and one.default is one.empty for one in parameters)


ANY_EVENT = "*"
_LIFE = frozenset({"open", "close"})


class Channel:
    """A message channel: everything published is one ordered list, and every client reads it from its own place.

    `url` says where the log lives: `memory:` (this process), `sqlite:///channel.db` (all processes of this host). `name`
    keeps two channels in one store apart. `around` is a context manager entered around each handler: `app.app_context` in
    Flask, `cometware.django.around` in Django. It is called with the client if it takes one, as
    `cometware.flask.request_context(app)` does.

    Nothing is opened before the first use in each process, so a channel may be made before a server forks its workers.

    >>> channel = Channel()
    >>> position = channel.publish({"order": 7}, event="order")
    >>> channel.recent()
    [{'order': 7}]

    Raises:
        ValueError: The URL's scheme is unknown.
    """

    def __init__(
        self,
        url: str = "memory:",
        *,
        name: str = "comet",
        limits: Limits | None = None,
        around: Around | None = None,
    ) -> None:
        self.url = url
        self.name = name
        self.limits = limits or Limits()
        self._make = named(url, name, self.limits)
        self._is_alone = url.startswith("memory:")
        self.is_wrapped = False
        """Is it that of a `Cometware` of this process?"""
        self.is_served = False
        """Has this process answered a request for it?"""
        self._around: Callable[..., AbstractContextManager[Any]] = around or nullcontext
        self._around_takes_client = around is not None and _takes_one(around)
        self.requests = KeptRequests() if getattr(around, "needs_request", False) else None
        """What is kept of clients' requests, while hooks or `around` need it."""
        self._handlers: dict[str, Callable[..., Any]] = {}
        self.hooks: Hooks | None = None
        """What answers where there is no handler; of several that wrap one channel, the last."""
        self.questions = Questions()
        self._opening = real_lock()
        self._opened: tuple[Log, Roster] | None = None
        self._log: Log | None = None
        self._roster: Roster | None = None
        self._close: finalize[..., Channel] | None = None
        _channels.add(self)

    def move(self, url: str) -> None:
        """Have the channel live at another URL; before its first use. It may be told at any time where it lives already.

        Raises:
            ValueError: It is in use already, at another URL; or the URL's scheme is unknown.
        """
        if url == self.url:
            return
        if self._opened is not None:
            raise ValueError(
                f"the channel was used at {masked_url(self.url)!r} while the application was loaded, so it cannot be moved to "
                f"{masked_url(url)!r}; expected the same URL in both places, or no use of the channel before requests come"
            )
        self._make = named(url, self.name, self.limits)
        self.url = url
        self._is_alone = url.startswith("memory:")

    # What an application calls from anywhere

    def publish(
        self,
        data: Data,
        *,
        event: str = "message",
        to: str | Iterable[str] = "*",
        but: str | Iterable[str] | None = None,
        once: str | None = None,
    ) -> Position:
        """Put a message into the log and return its place. Everybody in the audiences gets it, once, in this order.

        `to` is one audience or several: `*`, `client:<id>`, `user:<name>`, `room:<name>`. `but` is the id of a client that
        is left out, or several. `once` is a key of yours for this message, like an order's number: with the same key again,
        nothing is published and the first place is returned (as long as `Limits.once_seconds` and `once_keys` remember it),
        so that a retry is harmless. May be called from any thread.

        Raises:
            ValueError: JSON cannot hold the data, the event's name is reserved, an audience or a client's id is none, or the
                key is empty or over 256 characters.
            LogUnavailable: The log cannot be reached; the message may or may not be in it.
        """
        if once is not None and (not isinstance(once, str) or not 0 < len(once) <= 256):
            raise ValueError(f"once={once!r:.100}: expected a key of 1 to 256 characters")
        but = but if but is None else left_out(but)
        if self._is_alone and not self.is_served:
            unheard.note(self.name, is_wrapped=self.is_wrapped)
        return self.log.append(Message(event_name(event), _data.encode(data), audiences(to), but), once)

    def recent(self, to: str | Iterable[str] = "*", n: int = 50) -> list[Data]:
        """Return the data of the newest `n` messages to these audiences, oldest first.

        `n` is yours, up to all that is remembered. If a stranger chose it, bound it: `min(n, 100)`.
        """
        return [entry.data for entry in self.recent_entries(to, n)]

    def recent_entries(self, to: str | Iterable[str] = "*", n: int = 50) -> list[Entry]:
        """Return the same with their positions and events.

        Raises:
            ValueError: `n` is negative, or an audience is none.
        """
        if n < 0:
            raise ValueError(f"recent(n={n}): expected a number of messages")
        limits = self.limits
        return self.log.last(n, audiences(to), self.log.head.offset, limits.window_entries, limits.window_bytes)

    @property
    def position(self) -> Position:
        """Where the log ends now: render it into a page, and `?after=` misses nothing that comes after the page."""
        return self.log.head

    def presence(self, to: str = "*") -> list[Presence]:
        """Return who is here and hears an audience, in the order of arrival."""
        (audience,) = audiences(to)
        return self.roster.presence(audience)

    def join(self, client_id: str, room: str) -> bool:
        """Let a client hear a room from now on. Is it here?"""
        return self._move("join", client_id, room)

    def leave(self, client_id: str, room: str) -> bool:
        """Let a client not hear a room any more. Is it here?"""
        return self._move("leave", client_id, room)

    def close(self, client_id: str, code: int = 1000, reason: str = "") -> bool:
        """End a client; one without a connection just now is told at its next request. Is it here?

        Raises:
            ValueError: The code is neither 1000 nor 3000 to 4999.
        """
        if not self.roster.close(client_id, Close(close_code(code), reason)):
            return False
        self._control("close", f"client:{client_id}", code=code, reason=reason)
        return True

    def revoke(self, user: str, reason: str = "revoked") -> None:
        """End all clients of a user, with the code that says: do not come back (4410)."""
        self.roster.revoke(user, Close(REVOKED, reason))
        self._control("revoke", f"user:{user}", code=REVOKED, reason=reason)

    def _move(self, kind: str, client_id: str, room: str) -> bool:
        (audience,) = audiences(room)
        if not audience.startswith("room:"):
            raise ValueError(f"{kind}({room!r}): expected 'room:<name>'")
        here = self.roster.join(client_id, room) if kind == "join" else self.roster.leave(client_id, room)
        if here:
            self._control(kind, f"client:{client_id}", room=room)
        return here

    def _control(self, kind: str, audience: str, **details: Any) -> Position:
        return self.log.append(Message(kind, json.dumps(details), (audience,), kind=kind))

    def ask(self, record: Record, event: str, data: Data, timeout: float) -> Data:
        """Put an event for one client into the log, and wait for its acknowledgement (`Client.call`)."""
        if record.dialect != "socketio" or record.state is not State.OPEN:
            raise ValueError(
                f"call({event!r}): only Socket.IO clients acknowledge events, and only once they are open; "
                f"this one is {record.state.value}, by {record.dialect}"
            )
        name, json_text, to = event_name(event), _data.encode(data), (f"client:{record.id}",)

        def send(number: int) -> None:
            self.log.append(Message(name, json_text, to, kind="call", number=number))

        return self.questions.ask(record.id, send, timeout)

    # What an application does when clients speak

    def on_open(self, handler: Handler) -> Handler:
        """Call `handler(client)` before a client is let in; raise `Refused` to keep it out."""
        return self._register("open", handler)

    def on_message(self, handler: Handler) -> Handler:
        """Call `handler(client, data)` for each message; what it returns is the reply, if the sender asked for one."""
        return self._register("message", handler)

    def on_close(self, handler: Handler) -> Handler:
        """Call `handler(client, reason)` when a client has left, once for each `on_open`."""
        return self._register("close", handler)

    def on(self, event: str) -> Callable[[Handler], Handler]:
        """Call `handler(client, data)` for each message with this event name.

        With `"*"`, call `handler(client, event, data)` for each message that no other handler is for, `message` too; what
        hooks there are, are not asked then.
        """
        name = event_name(event)
        return lambda handler: self._register(name, handler)

    def _register(self, name: str, handler: Handler) -> Handler:
        if name in self._handlers:
            raise ValueError(f"the channel has a handler for {name!r} already: {self._handlers[name]!r}")
        self._handlers[name] = handler
        return handler

    def handles(self, event: str) -> bool:
        """Is there a handler for this event? (Life-cycle names are never a client's event.)"""
        return event in self._handlers or ANY_EVENT in self._handlers or (self.hooks is not None and self.hooks.handles(event))

    def call(self, event: str, client: Client, *arguments: Any) -> Any:
        """Run a handler inside `around`, then keep what it changed in `client.data`; return what it returned."""
        handler = self._handlers.get(event)
        if (handler is None and event not in _LIFE) or event == ANY_EVENT:
            handler, arguments = self._handlers.get(ANY_EVENT), (event, *arguments)
        if handler is None:
            return None
        with self._around(client) if self._around_takes_client else self._around():
            result = handler(client, *arguments)
        changed = client.changed_data()
        if changed is not None:
            self.roster.keep(client._record, changed)
        return result

    def hooks_for(self, event: str) -> Hooks | None:
        """Return who answers to this event in the place of a handler."""
        is_handled = event in self._handlers or (ANY_EVENT in self._handlers and event not in _LIFE)
        return None if is_handled else self.hooks

    def remember(self, record: Record, environ: Environ) -> None:
        """Keep of a client's request what hooks or `around` will need; nothing, if neither does."""
        if self.requests is not None:
            self.requests.remember(record, environ)

    def request_of(self, environ: Environ) -> dict[str, str]:
        """Return what another worker would need to remember of this request; nothing, if nobody needs it.

        Raises:
            Refused: It is too much to be remembered (431).
        """
        if self.requests is None:
            return {}
        request = self.requests.request_of(environ)
        kept.check("cookies", kept.size_of(request), self.limits.max_kept_bytes)
        return request if self.roster.is_shared else {}

    # The store, opened at first use in each process

    @property
    def log(self) -> Log:
        """The channel's log in this process."""
        return self._open()[0] if self._log is None else self._log

    @property
    def roster(self) -> Roster:
        """Who is here."""
        return self._open()[1] if self._roster is None else self._roster

    def _open(self) -> tuple[Log, Roster]:
        with self._opening:
            if self._opened is None:
                self._opened = self._make()
                self._close = finalize(self, self._opened[0].close)
            log, roster = self._opened
        log.open()  # it may wait for its store, so not while others wait for the lock
        self._log, self._roster = log, roster
        return log, roster

    def _forget_store(self) -> None:
        """Begin anew: this process is a child, and what its parent opened is not its own, not even to close."""
        self._opening = real_lock()
        self.is_served = False
        self.questions = Questions()
        if self._close is not None:
            self._close.detach()
            _inherited.append(self._opened)
        self._opened = self._log = self._roster = self._close = None


_inherited: list[object] = []
_channels: WeakSet[Channel] = WeakSet()


def _after_fork() -> None:
    unheard.is_serving = False
    for channel in _channels:
        channel._forget_store()


os.register_at_fork(after_in_child=_after_fork)
