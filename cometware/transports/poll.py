"""Long polls: a stream that ends after one batch. The socket stays parked between two polls.

Technique: the head of a client's next poll is the same as that of its last one but for the position. It is looked up by a
hash of the rest; what is known needs no parsing (`core.heads` proves that it is the same request). Anything else goes back to
the server with the bytes already read.
"""

from __future__ import annotations

import secrets
from _socket import socket as RawSocket
from collections import OrderedDict
from email.utils import formatdate
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple, Protocol

import gevent

from cometware.core import framing
from cometware.core.entry import Position
from cometware.core.events import Close
from cometware.core.heads import CACHE_BUSTER, MAX_HEAD_BYTES, POSITION, Changing
from cometware.dialects.base import Shape
from cometware.dialects.shapes import NATIVE_POLL
from cometware.roster.base import Record, State
from cometware.transports.connection import Answer, Connection
from cometware.transports.poller import READ
from cometware.transports.turns import turns_here

if TYPE_CHECKING:
    from cometware.transports.worker import Worker

SCRIPT_TYPE = "text/javascript; charset=utf-8"
_EARLY_BYTES = 65536
"""Bytes of further requests that are kept while a poll is held."""
_KEEP_ALIVE_TICKS = 240


class GiveBack(Protocol):
    """Lets a server serve a connection again, beginning with bytes that were read from it.

    `scope` tells connections apart whose equal requests may mean different things: by the server that accepted them, and by
    their peer's address.
    """

    @property
    def scope(self) -> bytes: ...

    def __call__(self, sock: RawSocket, data: bytes) -> None: ...


class Plan(NamedTuple):
    """How to answer a client's polls: what its head, all but the position, was found to mean."""

    owner: Record
    prefix: bytes
    wait_ticks: int
    keep_alive: bool
    until_tick: int
    callback: str = ""

    @property
    def changing(self) -> Changing:
        """What differs from poll to poll."""
        return POSITION

    @property
    def is_good(self) -> bool:
        return self.owner.state is State.OPEN

    def hold(self, poll: Poll, text: bytes) -> bool:
        """Let this poll wait for mail behind the position in its head. Could it be read?"""
        position = poll.worker.polls.position(text)
        if position is None or position.offset > poll.worker.dispatcher.position.offset:
            return False  # it comes from a worker that is ahead
        poll.hold(self, position)
        return True


class Owner(Protocol):
    """Who asks by polls: it remembers the hash of its head."""

    plan: bytes | None


class Known(Protocol):
    """What a head was found to mean: a `Plan`, or what another dialect has in its place.

    `hold` is given that part of the head which changes from poll to poll.
    """

    @property
    def owner(self) -> Owner: ...

    @property
    def until_tick(self) -> int: ...

    @property
    def changing(self) -> Changing: ...

    @property
    def is_good(self) -> bool: ...

    def hold(self, poll: Poll, text: bytes) -> bool: ...


class Polls:
    """The plans of a worker, by the hash of a head. Off: every poll goes through the server's own handler.

    A hash is of all that must be equal: the head but for what changes in it, where that stands, and the `scope` that the
    connection came from (its server and its peer's address, which a login may look at). It is keyed, so that nobody can make
    two heads of one hash.
    """

    def __init__(self, *, enabled: bool, size: int) -> None:
        self._plans: OrderedDict[bytes, Known] = OrderedDict()
        self._enabled = enabled
        self._size = size
        self._secret = secrets.token_bytes(16)
        self._last_text = b""
        self._last_position: Position | None = None

    def learn(self, head: bytes | None, give_back: GiveBack | None, plan: Known) -> None:
        """Keep a plan, one for each client: that of its last head that was not known."""
        if head is None or give_back is None or not self._enabled:
            return
        span = plan.changing.read(head)
        if span is None:
            return
        owner = plan.owner
        self.forget(owner)
        if len(self._plans) >= self._size:
            _, oldest = self._plans.popitem(last=False)
            oldest.owner.plan = None
        owner.plan = self._hash(plan.changing, head, *span, give_back.scope)
        self._plans[owner.plan] = plan

    def forget(self, owner: Owner) -> None:
        """Let go of a client's plan."""
        if owner.plan is not None:
            self._plans.pop(owner.plan, None)
            owner.plan = None

    def find(self, head: bytes, give_back: GiveBack | None, tick: int) -> tuple[Known, bytes] | None:
        """Return the plan for a head and what changes in it; None if it is not known for certain."""
        if len(head) > MAX_HEAD_BYTES or give_back is None:
            return None
        found = POSITION.find(head)
        plan = found and self._plans.get(self._hash(POSITION, head, *found.span(1), give_back.scope))
        if not plan:
            found = CACHE_BUSTER.find(head)
            span = found.span(1) if found else (-1, -1)
            plan = self._plans.get(self._hash(CACHE_BUSTER, head, *span, give_back.scope))
        if plan is None:
            return None
        if plan.until_tick <= tick or not plan.is_good:
            self.forget(plan.owner)
            return None
        return plan, found[1] if found else b""

    def _hash(self, changing: Changing, head: bytes, start: int, end: int, scope: bytes) -> bytes:
        same = head if start < 0 else head[:start] + head[end:]
        whole = b"%b %d %b\0%b" % (changing.name.encode(), start, scope, same)
        return blake2b(whole, digest_size=16, key=self._secret).digest()

    def position(self, text: bytes) -> Position | None:
        """Read a position; most polls bring the one that the last poll brought."""
        if text != self._last_text:
            self._last_text, self._last_position = text, Position.parse(text.decode("latin-1"))
        return self._last_position


def answer_parts(body: bytes, position: Position, content_type: str = "application/json") -> Answer:
    """Write an answer but for the client's own part of the head."""
    head = (
        "HTTP/1.1 200 OK\r\n"
        f"Content-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"Date: {formatdate(usegmt=True)}\r\n"
    )
    tail = b'%b>; rel="next"\r\n\r\n%b' % (str(position).encode(), body)
    return Answer(head.encode(), tail, body, position)


def script_parts(callback: str, answer: Answer) -> Answer:
    """Write the same answer as a script that calls a function with it."""
    return answer_parts(framing.script(callback, answer.body), answer.position, SCRIPT_TYPE)


class Holder(Protocol):
    """What keeps a poll waiting in the place of a record, and answers it by `Poll.release`."""

    def poll_lost(self, reason: str) -> None:
        """Its socket is gone."""


class Poll(Connection):
    """A parked socket of keep-alive requests. Held: it waits for mail of `record`, or for its `holder`; else at rest."""

    transport = "poll"

    __slots__ = ("callback", "early", "give_back", "holder", "keep_alive", "prefix")

    def __init__(self, worker: Worker, sock: RawSocket, give_back: GiveBack | None, shape: Shape = NATIVE_POLL) -> None:
        super().__init__(worker, sock, shape, None)
        self.give_back = give_back
        self.holder: Holder | None = None
        self.callback = ""
        self.early = b""
        self.prefix = b""
        self.keep_alive = True

    def hold(self, plan: Plan, position: Position) -> None:
        """Answer this poll as soon as there is something behind the position, at the latest when its wait is over."""
        worker = self.worker
        self.callback = plan.callback
        self.prefix = plan.prefix
        self.keep_alive = plan.keep_alive and self.give_back is not None
        self.beat_tick = worker.wheel.tick + plan.wait_ticks
        self.position = position
        self.record = plan.owner
        worker.clients.attach(self)

    def answer(self, parts: Answer) -> None:
        """Give the answer that `compose` wrote, and rest."""
        if self.callback:
            parts = script_parts(self.callback, parts)
        self.worker.clients.detach(self, asks_again=True)
        self.record = None
        self.respond(parts)

    def respond(self, parts: Answer) -> None:
        """Write an answer; then this connection is free for the next request."""
        if not self.keep_alive:
            self.prefix = b"Connection: close\r\n" + self.prefix
        self.write(parts.head + self.prefix + parts.tail)
        if not self.keep_alive:
            self.finish()
        elif not self.closed:
            self.beat_tick = self.worker.wheel.tick + _KEEP_ALIVE_TICKS
            self.schedule()
            if self.early:
                self._read_early_soon()

    def compose(self, body: bytes, position: Position) -> Answer:
        return answer_parts(body, position)

    def answer_shapes(self, body: bytes, position: Position) -> None:
        self.answer(self.compose(body, position))

    def hold_for(self, holder: Holder, prefix: bytes, *, keep_alive: bool) -> None:
        """Wait until the holder has something to say; it keeps its own clock."""
        self.holder = holder
        self.prefix = prefix
        self.keep_alive = keep_alive and self.give_back is not None
        self.worker.unput(self)

    def release(self, parts: Answer) -> None:
        """Answer for the holder, and rest."""
        self.holder = None
        self.respond(parts)

    def lost(self, reason: str) -> None:
        holder, self.holder = self.holder, None
        super().lost(reason)
        if holder is not None:
            holder.poll_lost(reason)

    def beat(self) -> None:
        if self.record is None:
            self.lost("at rest")  # a keep-alive connection that nobody uses
        else:
            position = self.worker.position_of(self)
            self.answer_shapes(self.shape.heartbeat(position), position)

    def end(self, close: Close) -> None:
        if self.record is not None:
            position = self.worker.position_of(self)
            self.answer_shapes(self.shape.write(self.shape.dialect.close(close)), position)

    def ask_to_reconnect(self, wait_seconds: float, close: Close) -> None:
        if self.record is not None:
            position = self.worker.position_of(self)
            frames = self.shape.dialect.reconnect(wait_seconds)
            self.keep_alive = False
            self.answer_shapes(self.shape.write(frames), position)

    def reset(self, reason: str, position: Position) -> bool:
        self.answer_shapes(self.shape.write(self.shape.dialect.reset(reason, position)), position)
        return False

    def flushed(self) -> None:
        """The answer is out: go on with what the peer has sent meanwhile."""
        self.read_early()

    # Requests behind the first

    def wanted(self) -> int:
        full = len(self.early) >= _EARLY_BYTES
        return super().wanted() & ~READ if full else super().wanted()

    @property
    def is_held(self) -> bool:
        return self.record is not None or self.holder is not None

    def received(self, data: bytes) -> None:
        if self.is_held or self.unsent is not None:
            self.early += data
            if len(self.early) >= _EARLY_BYTES:
                self.watch()
        else:
            self.next_request(data)

    def read_early(self) -> None:
        if self.early and not self.is_held and self.unsent is None and not self.closed and not self.finishing:
            data, self.early = self.early, b""
            self.next_request(data)

    def _read_early_soon(self) -> None:
        """Never inside the call that answers; and who has sent many requests at once lets others come first."""
        turns = turns_here()
        if turns.is_over():
            turns.later(self.read_early)
        else:
            gevent.get_hub().loop.run_callback(self.read_early)

    def next_request(self, data: bytes) -> None:
        worker = self.worker
        found = worker.polls.find(data, self.give_back, worker.wheel.tick)
        if found is None or not found[0].hold(self, found[1]):
            self.hand_back(data)

    def hand_back(self, data: bytes) -> None:
        """Let the server's own handler answer this request. Never inside the call that took the socket."""
        give_back, worker = self.give_back, self.worker
        if give_back is None:
            self.lost("at rest")
            return
        worker.unput(self)
        worker.poller.remove(self.fd)
        self.fd = -1
        give_back(self.sock, data)
