"""What listens to the channel in a test: one connection at a time of one client, on any transport."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from cometware.core import data as _data
from cometware.core.data import Data
from cometware.core.entry import Position
from cometware.core.events import Close
from cometware.errors import Failed, Refused
from cometware.testing.far import FarEnd, refusal
from cometware.testing.wires import TRANSPORTS, Shape

if TYPE_CHECKING:
    from cometware.testing.client import Client

_SHOWN = 5
"""How many shapes an error tells."""


class Message(NamedTuple):
    """What was heard: the name of the event, and its data."""

    event: str
    data: Data


class Connection:
    """Made by `client.connect()`. It hears by itself whatever comes; `messages` and `receive` give it to the test.

    Like a browser it answers pings, polls again, numbers its messages and sends again what was not acknowledged; unlike one
    it comes back only when it is told to (`reconnect`).

    `key` tells the server who it is (None: nobody in particular); `position` is where it reads on, like "3f5a-12"; `greeting`
    is what the server said first (native only); `closed` the code and the reason with which the server ended it, or None;
    `resets` why history was lost, each time; `heartbeats` how many came; `accepted` the last of its messages that was
    acknowledged; `must_reconnect` whether the server has asked for another connection (a log in anew, a restart); `shapes`
    everything that came, as the protocol writes it.
    """

    def __init__(
        self,
        client: Client,
        transport: str,
        *,
        plain: bool = False,
        key: str | None = None,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.client = client
        self.transport = _check(transport, plain=plain)
        self.plain = plain
        self.query = dict(query or {})
        self.headers = dict(headers or {})
        self.key = key or (None if plain else secrets.token_urlsafe(24))
        self.position: str | None = None
        self.greeting: Shape = {}
        self.closed: Close | None = None
        self.resets: list[str] = []
        self.heartbeats = 0
        self.accepted = 0
        self.must_reconnect = False
        self.shapes: list[Shape] = []
        self._messages: list[Message] = []
        self._replies: dict[int, Shape] = {}
        self._errors: list[Failed] = []
        self._number = 0
        self._unacknowledged: dict[int, Shape] = {}
        self._far = FarEnd(self)

    def __repr__(self) -> str:
        return f"<Connection {'plain ' if self.plain else ''}{self.transport} of {self.id or 'nobody'}: {self._state()}>"

    def _state(self) -> str:
        if self.closed is not None:
            return f"closed by the server: {self.closed.code} {self.closed.reason}".rstrip()
        if not self.is_open:
            return "dropped, or ended by the server"
        return "held: nothing comes and nothing goes until release()" if self._far.held else "open"

    # What a test asks

    @property
    def id(self) -> str:
        """The id of this client, as `client.id` in a handler; empty on the plain dialect, which is not told it."""
        return str(self.greeting.get("client", ""))

    @property
    def is_open(self) -> bool:
        """Is it connected, or polling?"""
        self._settle()
        return self._far.is_open

    @property
    def messages(self) -> list[Message]:
        """All that has come and was not received yet, oldest first; it stays. Each equals a pair of event and data."""
        self._settle()
        return list(self._messages)

    def receive(self, event: str | None = None) -> Data:
        """Take the oldest message, or the oldest with this event's name, and return its data.

        On the plain dialect data is what a browser would see: text, or (WebSocket) bytes.

        Raises:
            AssertionError: There is none. Nobody waits: whatever was to come is here already.
        """
        __tracebackhide__ = True
        self._settle()
        for index, message in enumerate(self._messages):
            if event in (None, message.event):
                return self._messages.pop(index).data
        wanted = "a message" if event is None else f"a message with the event {event!r}"
        raise self._disappointed(f"expected {wanted}, but there is none")

    def send(self, data: Data, *, event: str = "message") -> None:
        """Say something; when this returns its handler has run, unless that waits for something, or `hold` keeps it.

        Raises:
            Failed: The server did not take it; says why.
        """
        self._say(data, event, asks=False)

    def ask(self, event: str, data: Data = None) -> Data:
        """Send an event and return the reply: what its handler returned.

        Raises:
            Refused: The application refuses it (`status`, `reason`, `body`).
            Failed: The handler failed (its exception is the cause), there is none (`event`), or the server did not take it.
            AssertionError: There is no reply yet.
            ValueError: The plain dialect knows no replies.
        """
        __tracebackhide__ = True
        if self.plain:
            raise ValueError("ask: the plain dialect knows no replies; connect without plain=True")
        number = self._say(data, event, asks=True)
        reply = self._replies.pop(number, None)
        if reply is None:
            raise self._disappointed(f"no reply to {event!r} yet: its handler waits for something, or it was not sent")
        if "error" not in reply:
            return reply["data"]
        error = reply["error"]
        if error["code"] == "refused":
            raise refusal(error)
        failures = self.client.failures if error["code"] == "handler" else []
        raise Failed(error["code"], error["message"]) from next(reversed(failures), None)

    def leave(self, wait_seconds: float = 0) -> None:
        """Say goodbye and go: the application's `on_close` is told `left`.

        With `wait_seconds` that is so when they are over and this client has not come back: as a page does that is reloaded.
        """
        if not self.plain:
            self._far.send({"close": {"wait": wait_seconds}})
            self._settle()
        self.drop()

    # The network, as a test wants it

    def drop(self) -> None:
        """Let the connection break without a word. What is under way on it is lost with it."""
        self._far.let_go()
        self._settle()

    def reconnect(self, transport: str | None = None) -> None:
        """Come back, by another transport if you like: as the same client, at the place where it was.

        Raises:
            Refused: The application does not want it any more.
        """
        self.drop()
        if transport is not None:
            self.transport = _check(transport, plain=self.plain)
        self.connect()

    def hold(self, seconds: float | None = None) -> None:
        """Let the network stand still: what is under way in either direction comes after `release`.

        With `seconds` it goes on by itself when the clock has been moved by so many.
        """
        self._settle()
        self._far.held = True
        if seconds is not None:
            self.client.clock.timer(seconds).start(self._far.release)

    def release(self) -> None:
        """Let everything come that `hold` has kept, in its order."""
        self._far.release()
        self._settle()
        self._complain()

    def connect(self) -> None:
        """Open the connection; `client.connect()` has done so."""
        __tracebackhide__ = True
        self.closed, self.must_reconnect = None, False
        known = len(self.client.failures)
        try:
            self._far.connect()
        except Refused as refused:
            raise refused from next(iter(self.client.failures[known:]), None)
        for number in list(self._unacknowledged):
            if number in self._unacknowledged:
                self._far.send(self._unacknowledged[number])
        self._settle()
        self._complain()

    # Hearing

    @property
    def _is_over(self) -> bool:
        """Has the server said that it should not go on as it is?"""
        return self.closed is not None or self.must_reconnect

    def _take(self, shape: Shape) -> None:
        """Take one shape to where the test will look for it."""
        self.shapes.append(shape)
        if "open" in shape:
            self._greeted(shape["open"])
        elif "begin" in shape:
            self.position = shape["begin"]
        elif "ping" in shape:
            self.heartbeats += 1
            self.position = shape["ping"]
        elif "accepted" in shape:
            self._acknowledged(shape["accepted"])
        elif "reset" in shape:
            self.resets.append(shape["reset"]["reason"])
            self.position = shape["reset"].get("position", self.position)
        elif "reconnect" in shape:
            self.must_reconnect = True
        elif "close" in shape:
            self.closed = self.closed or Close(shape["close"]["code"], shape["close"].get("reason", ""))
        elif "reply" in shape:
            self._replies[shape["reply"]] = shape
            self.position = shape["id"]
        elif "error" in shape:
            error = dict(shape["error"])
            self._errors.append(Failed(error.pop("code"), error.pop("message"), **error))
        elif self._is_new(shape.get("id")):
            self._messages.append(Message(shape["event"], shape["data"]))

    def _is_new(self, position: str | None) -> bool:
        """Is this entry behind all that was heard? Then go on from there."""
        if not position:
            return True  # a plain WebSocket tells none
        here, there = Position.parse(self.position or ""), Position.parse(position)
        if here is not None and there is not None and here.epoch == there.epoch and there.offset <= here.offset:
            return False
        self.position = position
        return True

    def _greeted(self, greeting: Shape) -> None:
        self.greeting = greeting
        self.position = greeting["position"]
        accepted = greeting["accepted"]
        if accepted < self.accepted:  # the server has forgotten this client: its messages are counted anew
            left = list(self._unacknowledged.values())
            self._unacknowledged = {number: shape | {"n": number} for number, shape in enumerate(left, accepted + 1)}
            self._number = accepted + len(left)
        self.accepted = accepted
        self._acknowledged(accepted)

    def _acknowledged(self, number: int) -> None:
        self.accepted = number
        for done in [other for other in self._unacknowledged if other <= number]:
            del self._unacknowledged[done]

    # Speaking

    def _say(self, data: Data, event: str, *, asks: bool) -> int:
        __tracebackhide__ = True
        if not self.is_open:
            raise self._disappointed(f"cannot send {event!r}")
        if self.plain:
            if event != "message":
                raise ValueError(f"send(event={event!r}): the plain dialect names no events; connect without plain=True")
            self._far.send_plain(data)
        else:
            self._number += 1
            shape = {"n": self._number, "event": event, "data": json.loads(_data.encode(data)), "reply": asks}
            self._unacknowledged[self._number] = shape
            self._far.send(shape)
        self._settle()
        if self._errors and self._number in self._unacknowledged:
            del self._unacknowledged[self._number]  # it was not taken, and is not said again
            self._number -= 1
        self._complain()
        return self._number

    def _settle(self) -> None:
        self.client._stage.settle()

    def _complain(self) -> None:
        """Tell what the server did not take."""
        __tracebackhide__ = True
        if self._errors:
            raise self._errors.pop(0)

    def _disappointed(self, what: str) -> AssertionError:
        """Say what there is instead of what was expected."""
        here = [f"{message.event}: {message.data!r}" for message in self._messages]
        lines = [f"{what}; {self!r}"]
        lines += [f"  not received yet: {', '.join(here)}"] if here else []
        lines += (
            [f"  the last that came: {', '.join(map(_data.dumps, map(_shown, self.shapes[-_SHOWN:])))}"] if self.shapes else []
        )
        lines += [f"  the server did not take: {error}" for error in self._errors]
        lines += [f"  a handler failed: {failure!r}" for failure in self.client.failures]
        error = AssertionError("\n".join(lines))
        error.__cause__ = self.client.failures[-1] if self.client.failures else None
        return error


def _check(transport: str, *, plain: bool) -> str:
    known = TRANSPORTS[:2] if plain else TRANSPORTS
    if transport not in known:
        raise ValueError(f"connect({transport!r}{', plain=True' if plain else ''}): expected one of {', '.join(known)}")
    return transport


def _shown(shape: Shape) -> Shape:
    """A greeting is long and tells little."""
    return {"open": "…"} if "open" in shape else shape
