"""The connections of a SockJS session: at most one at a time, and between two of them the record keeps the position.

Rule: a response that we end is followed by the next one; a response that its client gives up ends the session, since nobody
knows what of it has arrived.
"""

from __future__ import annotations

from _socket import socket as RawSocket
from collections.abc import Callable, Sequence
from email.utils import formatdate
from functools import partial
from typing import TYPE_CHECKING

import gevent

from cometware.core.entry import Position
from cometware.core.events import HISTORY_LOST, REAUTHORISE, Close, Event
from cometware.core.framing import websocket_close
from cometware.core.heads import CACHE_BUSTER, Changing
from cometware.core.rates import Wait
from cometware.dialects import sockjs
from cometware.dialects.base import Shape
from cometware.dialects.shapes import SOCKJS_WEBSOCKET, SOCKJS_XHR
from cometware.errors import BadFrame, LogUnavailable
from cometware.roster.base import Record, State
from cometware.transports.connection import Answer, Connection
from cometware.transports.poll import GiveBack, Plan, Poll
from cometware.transports.stream import Stream
from cometware.transports.websocket import WebSocket

if TYPE_CHECKING:
    from cometware.transports.worker import Worker

SCRIPT_TYPE = "application/javascript; charset=UTF-8"
_TOO_MUCH = {"size": 1009, "many": 1009, "busy": 1013}
"""Close codes for what is no mistake of the protocol's."""


def history_lost(reason: str) -> Close:
    """SockJS has no word for lost history: the session ends, and the page makes a new one."""
    return Close(HISTORY_LOST, f"history lost: {reason}")


def _end_session(connection: Connection, close: Close) -> None:
    """End the session with the connection that was told so; whoever asks again is told the same for a while."""
    record = connection.record
    if record is not None and record.state is State.OPEN:
        connection.worker.clients.ended(record, "closed", close)


class SockJSWebSocket(WebSocket):
    """A session of its own, which ends with it."""

    refuses = False

    __slots__ = ()

    def __init__(self, worker: Worker, sock: RawSocket, record: Record | None) -> None:
        super().__init__(worker, sock, SOCKJS_WEBSOCKET, record)

    def is_too_fast(self, wait: Wait, record: Record, events: Sequence[Event], size: int) -> bool:
        """SockJS has no word for that: what has come is taken, and nothing more is read until it is paid."""
        if self.worker.meters is not None:
            names = (record.id, record.user, record.address)
            debt = self.worker.meters.owe(names, len(events), size, self.worker.now())
            self.pause((debt or wait).seconds)
        return False

    def refused(self, error: BadFrame) -> None:
        """A peer that breaks the protocol is gone, without a word: SockJS has none for errors."""
        if error.code in _TOO_MUCH:
            self.end(Close(_TOO_MUCH[error.code], error.message))
        elif error.code != "closed":
            self.part(websocket_close(1002, "broken framing"))

    def reset(self, reason: str, position: Position) -> bool:
        self.end(history_lost(reason))
        return False

    def goodbye(self, close: Close) -> bytes:
        return websocket_close(1000, "Normal closure")


class SockJSStream(Stream):
    """Ends when it has carried enough; its client asks for the next at once."""

    is_bounded = True

    __slots__ = ("left_bytes",)

    def __init__(self, worker: Worker, sock: RawSocket, shape: Shape, record: Record, *, chunked: bool) -> None:
        super().__init__(worker, sock, shape, record, chunked=chunked)
        self.left_bytes = worker.limits.response_bytes

    def carried(self, size: int) -> None:
        self.left_bytes -= size - len(f"{size:x}\r\n\r\n") if self.chunked else size  # the frames alone count
        if self.left_bytes <= 0:
            self._complete()

    def ask_to_reconnect(self, wait_seconds: float, close: Close) -> None:
        """Come back through the application's login: the client asks for the next response by itself."""
        if close.code == REAUTHORISE:
            self._complete()
        else:
            self.end(close)

    def _complete(self) -> None:
        """End the response, not the session."""
        if self.record is not None and self in self.record.connections:
            position = self.worker.position_of(self)
            self.worker.clients.detach(self)
            self.position = None
            _put_down(self, position, self._finish)

    def _finish(self) -> None:
        self.write(self.goodbye(Close(1000)))
        self.finish()

    def end(self, close: Close) -> None:
        super().end(close)
        _end_session(self, close)

    def reset(self, reason: str, position: Position) -> bool:
        self.end(history_lost(reason))
        return False

    def lost(self, reason: str) -> None:
        is_served = not self.closed and not self.finishing
        super().lost(reason)
        if is_served and self.record is not None:
            self.worker.clients.ended(self.record, reason)


class SockJSPlan(Plan):
    """How to answer a session's polls, whose position is here and not in their head."""

    __slots__ = ()

    @property
    def changing(self) -> Changing:
        return CACHE_BUSTER

    def hold(self, poll: Poll, text: bytes) -> bool:
        """Let this poll wait, if the session is at rest on this worker alone."""
        record, roster = self.owner, poll.worker.roster
        if not isinstance(poll, SockJSPoll) or roster.is_shared or record.connections or record.close is not None:
            return False
        position = roster.pick_up(record)
        if position is not None:
            poll.hold(self, position)
        return position is not None


class SockJSPoll(Poll):
    """A parked POST, or with `function` the GET of a script, which is answered by a call of that."""

    __slots__ = ("function",)

    def __init__(self, worker: Worker, sock: RawSocket, give_back: GiveBack | None) -> None:
        super().__init__(worker, sock, give_back, SOCKJS_XHR)
        self.function = ""

    def hold(self, plan: Plan, position: Position) -> None:
        self.function = plan.callback
        super().hold(plan._replace(callback="") if plan.callback else plan, position)

    def compose(self, body: bytes, position: Position) -> Answer:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {SCRIPT_TYPE}\r\nDate: {formatdate(usegmt=True)}\r\n"
        return Answer(head.encode(), _tail(body), body, position)

    def answer(self, parts: Answer) -> None:
        record = self.record
        if record is None or self not in record.connections:
            return  # it is being answered
        if self.function:
            parts = parts._replace(tail=_tail(sockjs.script(self.function, parts.body)))
        self.worker.clients.detach(self)
        _put_down(self, parts.position, partial(super().answer, parts))

    def end(self, close: Close) -> None:
        record = self.record
        super().end(close)
        if record is not None and record.state is State.OPEN:
            self.worker.clients.ended(record, "closed", close)

    def ask_to_reconnect(self, wait_seconds: float, close: Close) -> None:
        self.keep_alive = False
        self.end(close)

    def reset(self, reason: str, position: Position) -> bool:
        self.end(history_lost(reason))
        return False

    def lost(self, reason: str) -> None:
        record = self.record
        super().lost(reason)
        if record is not None:
            self.worker.clients.ended(record, reason)

    def next_request(self, data: bytes) -> None:
        found = self.worker.polls.find(data, self.give_back, self.worker.wheel.tick)
        if found is None or not isinstance(found[0], SockJSPlan) or not found[0].hold(self, found[1]):
            self.hand_back(data)


def _put_down(connection: Connection, position: Position, then: Callable[[], None]) -> None:
    """Keep where a session reads on, and then end its response: the client asks for the next at once, of any worker."""
    worker, record = connection.worker, connection.record
    assert record is not None
    if worker.roster.is_shared:
        gevent.spawn(_put_down_first, connection, record, position, then)
    else:
        worker.roster.put_down(record, position)
        then()


def _put_down_first(connection: Connection, record: Record, position: Position, then: Callable[[], None]) -> None:
    try:
        connection.worker.roster.put_down(record, position)
    except LogUnavailable:
        connection.lost("store")
    else:
        if not connection.closed:
            then()


def _tail(body: bytes) -> bytes:
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
