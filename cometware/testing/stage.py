"""One application under test: its worker, its clock and the connections to it, all in the thread of the test.

The event loop runs only while the kit lets it, so between two lines of a test nothing happens.
"""

from __future__ import annotations

import socket
from _socket import socket as RawSocket
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import gevent

from cometware.logs.memory import MemoryLog
from cometware.middleware import Cometware
from cometware.questions import Questions
from cometware.roster.memory import MemoryRoster
from cometware.servers.base import ALL_TRANSPORTS, Server, Taken
from cometware.testing.clock import Clock
from cometware.testing.transactions import kept_transactions
from cometware.transports.report import listeners
from cometware.transports.turns import all_turns_here
from cometware.transports.worker import Worker

if TYPE_CHECKING:
    from cometware.testing.far import FarEnd

_QUIET_ROUNDS = 2
_MAX_ROUNDS = 2000
_MAX_PARTS = 1000
_NO_CONNECTION = "an ordinary request of cometware.testing.Client is answered at once; client.connect() makes a connection"


class InProcess(Server):
    """The test as a server. With `holds`, a connection is one end of a socket pair, and `far` is the other."""

    name = "cometware.testing"
    frames_bodies = True
    may_block = True

    def __init__(self, *, holds: bool) -> None:
        self._holds = holds
        self.far: socket.socket | None = None

    @property
    def transports(self) -> tuple[str, ...]:
        return ALL_TRANSPORTS if self._holds else ("poll",)

    @property
    def can_park(self) -> bool:
        return self._holds

    @property
    def why(self) -> str:
        return "" if self._holds else _NO_CONNECTION

    def take(self, environ: dict[str, Any]) -> Taken:
        near, self.far = socket.socketpair()
        near.setblocking(False)
        self.far.setblocking(False)
        return Taken(RawSocket(fileno=near.detach()))


class Stage:
    """`path` is where the channel is, `failures` what handlers raised so far, `listeners` the open ends."""

    def __init__(self, middleware: Cometware) -> None:
        self.path = middleware.path
        self.failures: list[BaseException] = []
        self.listeners: list[FarEnd] = []
        self._middleware = middleware
        self._hub = gevent.get_hub()
        self._channel = channel = middleware.channel
        self._before = channel._log, channel._roster, channel.questions
        channel._log, channel._roster = MemoryLog(channel.limits), MemoryRoster(channel.limits)
        channel.questions = Questions()
        self.clock = Clock(self.calm_down)
        self.worker = Worker(channel, clock=self.clock)
        middleware._endpoint.rehearse((self.worker, InProcess(holds=False)))
        self._listener = self.failures.append
        listeners.append(self._listener)
        self.visitors = 0

    def settle(self) -> None:
        """Let all happen that is under way, until nobody has anything left to do; who only asks now and then asks now."""
        if gevent.get_hub() is not self._hub:
            raise RuntimeError("cometware.testing.Client: use it in the thread that made it")
        for listener in self.listeners:
            listener.ask_again()
        self.calm_down()

    def calm_down(self) -> None:
        """Let all happen that is under way."""
        with kept_transactions():
            self._calm_down()

    def _calm_down(self) -> None:
        quiet = 0
        for _ in range(_MAX_ROUNDS):
            gevent.idle()
            moved = [listener.pull() for listener in list(self.listeners)]
            moved += [turns.is_waited_for for turns in all_turns_here()[:2]]
            quiet = 0 if any(moved) else quiet + 1
            if quiet == _QUIET_ROUNDS:
                return
        raise RuntimeError(
            f"cometware.testing: no rest after {_MAX_ROUNDS} rounds. Do two polls have one key, so that each ends the other? "
            "Do handlers answer each other for ever?"
        )

    def leave(self) -> None:
        """One client less; behind the last, all is as it was before the first."""
        self.visitors -= 1
        if self.visitors:
            return
        self.calm_down()  # so that the server's ends learn of it
        del _stages[self._middleware]
        listeners.remove(self._listener)
        self._middleware._endpoint.rehearse(None)
        self.worker.close()
        gevent.idle()  # what ended has to be let go of by the loop
        self._channel._log, self._channel._roster, self._channel.questions = self._before


_stages: dict[Cometware, Stage] = {}


def enter(middleware: Cometware) -> Stage:
    """Return the stage of an application: all its clients of one time share it."""
    stage = _stages.get(middleware)
    if stage is None:
        stage = _stages[middleware] = Stage(middleware)
    stage.visitors += 1
    return stage


def in_process(app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """Return the application as werkzeug's client can call it, though a connection is answered through its pair."""

    def call(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        body = app(environ, start_response)
        server = environ.get("cometware.server")
        if not isinstance(server, InProcess) or server.far is None:
            return body
        start_response("200 OK", [])
        return ()

    return call


def find_middleware(app: Any) -> Cometware:
    """Find the channel in an application, whatever is wrapped around it.

    Raises:
        ValueError: It is not there, or well hidden.
    """
    waiting, seen = [app], {id(app)}
    while waiting and len(seen) < _MAX_PARTS:
        part = waiting.pop(0)
        if isinstance(part, Cometware):
            return part
        for inner in _parts(part):
            if callable(inner) and not isinstance(inner, type) and id(inner) not in seen:
                seen.add(id(inner))
                waiting.append(inner)
    raise ValueError(
        f"Client({app!r}): no Cometware found in it; expected the application with its channel in front. If something "
        "else hides it: Client(app, middleware=…)"
    )


def _parts(part: Any) -> Iterator[Any]:
    """What an application is made of: the attributes of an object, the variables of a function."""
    yield from getattr(part, "__dict__", {}).values()
    yield getattr(part, "__self__", None)
    for cell in getattr(part, "__closure__", None) or ():
        try:
            yield cell.cell_contents
        except ValueError:
            pass  # not yet set
