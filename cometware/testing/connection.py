"""What listens to the channel in a test: one connection at a time of one client, on any transport."""

from __future__ import annotations

import json
import secrets
import socket
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import gevent
from werkzeug.test import TestResponse

from cometware.core import data as _data
from cometware.core.data import Data
from cometware.core.entry import Position
from cometware.core.events import Close
from cometware.errors import BadFrame, Refused
from cometware.hooks import Answered
from cometware.testing.stage import InProcess
from cometware.testing.wires import TRANSPORTS, WIRES, PollWire, Shape, WebSocketWire, Wire

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
        self._client = client
        self._stage = client._stage
        self._query = dict(query or {})
        self._headers = dict(headers or {})
        self.plain = plain
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
        self._errors: list[BadFrame] = []
        self._number = 0
        self._unacknowledged: dict[int, Shape] = {}
        self._posts: list[Callable[[], None]] = []
        self._outgoing = b""
        self._held = False
        self._sock: socket.socket | None = None
        self._wire: Wire | None = None
        self._polls = False
        self._rests_until = 0.0
        self.transport = _check(transport, plain=plain)

    def __repr__(self) -> str:
        return f"<Connection {'plain ' if self.plain else ''}{self.transport} of {self.id or 'nobody'}: {self._state()}>"

    def _state(self) -> str:
        if self.closed is not None:
            return f"closed by the server: {self.closed.code} {self.closed.reason}".rstrip()
        if not self.is_open:
            return "dropped, or ended by the server"
        return "held: nothing comes and nothing goes until release()" if self._held else "open"

    # What a test asks

    @property
    def id(self) -> str:
        """The id of this client, as `client.id` in a handler; empty on the plain dialect, which is not told it."""
        return str(self.greeting.get("client", ""))

    @property
    def is_open(self) -> bool:
        """Is it connected, or polling?"""
        self._stage.settle()
        return self._polls or self._sock is not None

    @property
    def messages(self) -> list[Message]:
        """All that has come and was not received yet, oldest first; it stays. Each equals a pair of event and data."""
        self._stage.settle()
        return list(self._messages)

    def receive(self, event: str | None = None) -> Data:
        """Take the oldest message, or the oldest with this event's name, and return its data.

        On the plain dialect data is what a browser would see: text, or (WebSocket) bytes.

        Raises:
            AssertionError: There is none. Nobody waits: whatever was to come is here already.
        """
        __tracebackhide__ = True
        self._stage.settle()
        for index, message in enumerate(self._messages):
            if event in (None, message.event):
                return self._messages.pop(index).data
        wanted = "a message" if event is None else f"a message with the event {event!r}"
        raise self._disappointed(f"expected {wanted}, but there is none")

    def send(self, data: Data, *, event: str = "message") -> None:
        """Say something; when this returns its handler has run, unless that waits for something, or `hold` keeps it.

        Raises:
            BadFrame: The server did not take it; says why.
        """
        self._say(data, event, asks=False)

    def ask(self, event: str, data: Data = None) -> Data:
        """Send an event and return the reply: what its handler returned.

        Raises:
            Refused: The application refuses it (`status`, `reason`, `body`).
            AssertionError: The handler failed (its exception is the cause), there is none, or there is no reply yet.
            BadFrame: The server did not take it.
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
            raise _refusal(error)
        raise self._disappointed(f"{event!r} was answered by the error {error['code']!r}: {error['message']}")

    def leave(self) -> None:
        """Say goodbye and go: the application's `on_close` is told `left`."""
        if self.plain:
            self.drop()
        else:
            self._transmit({"close": True})
            self._stage.settle()
            self._let_go()

    # The network, as a test wants it

    def drop(self) -> None:
        """Let the connection break without a word. What is under way on it is lost with it."""
        self._let_go()
        self._posts.clear()
        self._held = False
        self._stage.settle()

    def reconnect(self, transport: str | None = None) -> None:
        """Come back, by another transport if you like: as the same client, at the place where it was.

        Raises:
            Refused: The application does not want it any more.
        """
        self.drop()
        if transport is not None:
            self.transport = _check(transport, plain=self.plain)
        self.connect()

    def hold(self) -> None:
        """Let the network stand still: what is under way in either direction comes after `release`."""
        self._stage.settle()
        self._held = True

    def release(self) -> None:
        """Let everything come that `hold` has kept, in its order."""
        self._held = False
        posts, self._posts = self._posts, []
        for post in posts:
            post()
        self._stage.settle()
        self._complain()

    # Connecting

    def connect(self) -> None:
        """Open the connection; `client.connect()` has done so."""
        self.closed, self.must_reconnect = None, False
        self._polls = issubclass(WIRES[self.transport], PollWire)
        if self not in self._stage.connections:
            self._stage.connections.append(self)
        try:
            self._ask()
        except BaseException:
            self._let_go()
            raise
        self._pull_now()
        for number, shape in list(self._unacknowledged.items()):
            if number in self._unacknowledged:
                self._transmit(shape)
        self._stage.settle()
        self._complain()

    def _ask(self) -> None:
        """Send the request of this transport."""
        kind = WIRES[self.transport]
        headers, query = kind.request(self.key, self.position, plain=self.plain)
        headers["Referer"] = f"http://{self._client.host}/"  # a page of the site itself, as far as the channel knows
        server = InProcess(holds=True)
        response = self._client._request("GET", server, self._query | query, headers | self._headers)
        self._wire = kind(plain=self.plain)
        if server.far is not None:
            self._sock = server.far
            return
        if response.status_code != 200 or not isinstance(self._wire, PollWire):
            raise _refused(response)
        shapes = self._wire.whole(response.get_data())
        if "error" in shapes[0] and "id" not in shapes[0]:
            raise _refusal(shapes[0]["error"])  # to a script, whose status is always 200
        if all("ping" in shape for shape in shapes):
            self._rests_until = self._stage.clock.monotonic() + 1
        for shape in shapes:
            self._take(shape)

    def _let_go(self) -> None:
        """Close our end, and read nothing any more."""
        self._polls = False
        self._outgoing = b""
        if self._sock is not None:
            self._sock.close()
            self._sock = None
        if self in self._stage.connections:
            self._stage.connections.remove(self)

    # Hearing

    def ask_again(self) -> None:
        """A poll that is never held is answered at once, always: it asks when the test looks, and once a second."""
        self._rests_until = 0.0

    def pull(self) -> bool:
        """Take what has come. Was there anything?"""
        return False if self._held else self._pull_now()

    def _pull_now(self) -> bool:
        if self._sock is None:
            if (
                not self._polls
                or self._stage.clock.monotonic() < self._rests_until
                or self.closed is not None
                or self.must_reconnect
            ):
                return False
            try:
                self._ask()
            except Refused as refused:
                self._polls = False
                self.closed = Close(refused.status, f"refused while it polled: {refused.reason}")
            return True
        assert self._wire is not None
        sent = self._flush()
        try:
            data = self._sock.recv(1 << 18)
        except BlockingIOError:
            return sent
        except ConnectionError:
            data = b""
        for shape in self._wire.feed(data):
            self._take(shape)
        if self._sock is not None:
            self._outgoing += self._wire.to_send()
            if not data:
                self._sock.close()
                self._sock = None
        return True

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
            self._polls = False
        elif "reply" in shape:
            self._replies[shape["reply"]] = shape
            self.position = shape["id"]
        elif "error" in shape:
            error = dict(shape["error"])
            self._errors.append(BadFrame(error.pop("code"), error.pop("message"), **error))
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
            self._transmit_plain(data)
        else:
            self._number += 1
            shape = {"n": self._number, "event": event, "data": json.loads(_data.encode(data)), "reply": asks}
            self._unacknowledged[self._number] = shape
            self._transmit(shape)
        self._stage.settle()
        if self._errors and self._number in self._unacknowledged:
            del self._unacknowledged[self._number]  # it was not taken, and is not said again
            self._number -= 1
        self._complain()
        return self._number

    def _transmit(self, shape: Shape) -> None:
        body = _data.dumps(shape)
        if isinstance(self._wire, WebSocketWire):
            self._outgoing += self._wire.write(body)
        elif self.transport == "jsonp":
            self._post({"v": "1"}, data={"d": body})
        else:
            self._post({"v": "1"}, data=body.encode(), content_type="application/json")

    def _transmit_plain(self, data: Data) -> None:
        body = data if isinstance(data, str | bytes) else _data.encode(data)
        if isinstance(self._wire, WebSocketWire):
            self._outgoing += self._wire.write(body)
        elif isinstance(body, bytes):
            self._post({}, data=body, content_type="application/octet-stream")
        else:
            self._post({}, data=body.encode(), content_type="text/plain; charset=utf-8")

    def _flush(self) -> bool:
        """Give the network what it takes of our bytes. Did it take any?"""
        if not self._outgoing or self._sock is None:
            return False
        try:
            sent = self._sock.send(self._outgoing)
        except BlockingIOError:
            return False
        except ConnectionError:
            sent = len(self._outgoing)  # it ends; what it has said before is still to be read
        self._outgoing = self._outgoing[sent:]
        return True

    def _post(self, query: dict[str, str], **body: Any) -> None:
        """Send by POST, in a greenlet: its handler may wait for what the test does next."""
        if self._held:
            self._posts.append(lambda: self._post(query, **body))
            return
        gevent.spawn(self._posted, query, body)
        self._stage.settle()

    def _posted(self, query: dict[str, str], body: dict[str, Any]) -> None:
        headers = {} if self.key is None else {"Comet-Key": self.key}
        response = self._client._request("POST", InProcess(holds=True), query, headers | self._headers, **body)
        if response.mimetype != "application/json":
            self._errors.append(BadFrame("status", f"{response.status}: {response.get_data(as_text=True)[:200]}"))
            return
        shape = response.get_json()
        if "error" in shape or self.key is not None:
            self._take(shape)

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
        lines += [f"  a handler failed: {failure!r}" for failure in self._stage.failures]
        error = AssertionError("\n".join(lines))
        error.__cause__ = self._stage.failures[-1] if self._stage.failures else None
        return error


def _check(transport: str, *, plain: bool) -> str:
    known = TRANSPORTS[:2] if plain else TRANSPORTS
    if transport not in known:
        raise ValueError(f"connect({transport!r}{', plain=True' if plain else ''}): expected one of {', '.join(known)}")
    return transport


def _shown(shape: Shape) -> Shape:
    """A greeting is long and tells little."""
    return {"open": "…"} if "open" in shape else shape


def _refusal(error: Shape) -> Refused:
    """Return a refusal that was told as JSON."""
    body = error.get("body", "")
    text = body if isinstance(body, str) else _data.dumps(body)
    return Answered(error["status"], error["message"], text.encode(), "" if body is text else "application/json")


def _refused(response: TestResponse) -> Refused:
    """Return the server's refusal as the application raised it."""
    body = response.get_data()
    reason = response.status.partition(" ")[2]
    shape = response.get_json(silent=True) if response.mimetype == "application/json" else None
    if isinstance(shape, dict) and isinstance(shape.get("error"), dict):
        reason = str(shape["error"].get("message", reason))
    return Answered(response.status_code, reason, body, response.content_type or "")
