"""The test's end of a connection: its requests, its bytes, and a network that may stand still."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gevent
from werkzeug.test import TestResponse

from cometware.core import data as _data
from cometware.core.data import Data
from cometware.errors import Refused
from cometware.hooks import Answered
from cometware.testing.stage import InProcess
from cometware.testing.wires import WIRES, PollWire, Shape, WebSocketWire, Wire

if TYPE_CHECKING:
    from cometware.testing.connection import Connection

_POLLS_EVERY_SECONDS = 1.0
"""How often a poll asks that is answered at once, always."""


class FarEnd:
    """One connection after the other, of one `Connection`, which takes what comes. `held`: nothing comes and nothing goes."""

    def __init__(self, owner: Connection) -> None:
        self._owner = owner
        self._stage = owner.client._stage
        self._sock: socket.socket | None = None
        self._wire: Wire | None = None
        self._outgoing = b""
        self._posts: list[Callable[[], None]] = []
        self._polls = False
        self._rests_until = 0.0
        self.held = False

    @property
    def is_open(self) -> bool:
        return self._polls or self._sock is not None

    def connect(self) -> None:
        """Ask for a connection, and take what is told first.

        Raises:
            Refused: It is not to be had.
        """
        self._polls = issubclass(WIRES[self._owner.transport], PollWire)
        self._stage.listeners.append(self)
        try:
            self._ask()
        except BaseException:
            self.let_go()
            raise
        self.pull()

    def let_go(self) -> None:
        """Close this end; what is under way is lost, and the network is as always."""
        self._polls = self.held = False
        self._outgoing = b""
        self._posts.clear()
        self._close()
        if self in self._stage.listeners:
            self._stage.listeners.remove(self)

    def release(self) -> None:
        """Let the network go on."""
        self.held = False
        posts, self._posts = self._posts, []
        for post in posts:
            post()

    def _close(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    # In

    def ask_again(self) -> None:
        """A poll that is answered at once, always, asks when the test looks."""
        self._rests_until = 0.0

    def pull(self) -> bool:
        """Take what has come, and give what is to go. Was there anything?"""
        if self.held:
            return False
        return self._pull_poll() if self._sock is None else self._pull_bytes(self._sock)

    def _pull_poll(self) -> bool:
        """Poll again, if the last one was answered."""
        if self._owner._is_over:
            self._polls = False
        if not self._polls or self._stage.clock.monotonic() < self._rests_until:
            return False
        try:
            self._ask()
        except Refused as refused:
            self._polls = False
            self._owner._take({"close": {"code": refused.status, "reason": f"refused while it polled: {refused.reason}"}})
        return True

    def _pull_bytes(self, sock: socket.socket) -> bool:
        assert self._wire is not None
        flushed = self._flush(sock)
        try:
            data = sock.recv(1 << 18)
        except BlockingIOError:
            return flushed
        except ConnectionError:
            data = b""
        self._take(self._wire.feed(data))
        self._outgoing += self._wire.to_send()
        if not data:
            self._close()
        return True

    def _take(self, shapes: list[Shape]) -> None:
        for shape in shapes:
            self._owner._take(shape)

    def _ask(self) -> None:
        """Send the request of this transport."""
        owner = self._owner
        kind = WIRES[owner.transport]
        headers, query = kind.request(owner.key, owner.position, plain=owner.plain)
        headers["Referer"] = f"http://{owner.client.host}/"  # a page of the site itself, as far as the channel knows
        server = InProcess(holds=True)
        response = owner.client._request("GET", server, owner.query | query, headers | owner.headers)
        self._wire = kind(plain=owner.plain)
        if server.far is not None:
            self._sock = server.far
            return
        if response.status_code != 200 or not isinstance(self._wire, PollWire):
            raise _refused(response)
        shapes = self._wire.whole(response.get_data())
        if "error" in shapes[0] and "id" not in shapes[0]:
            raise refusal(shapes[0]["error"])  # to a script, whose status is always 200
        if all("ping" in shape for shape in shapes):
            self._rests_until = self._stage.clock.monotonic() + _POLLS_EVERY_SECONDS
        self._take(shapes)

    # Out

    def send(self, shape: Shape) -> None:
        """Send a native shape."""
        body = _data.dumps(shape)
        if isinstance(self._wire, WebSocketWire):
            self._outgoing += self._wire.write(body)
        elif self._owner.transport == "jsonp":
            self._post({"v": "1"}, data={"d": body})
        else:
            self._post({"v": "1"}, data=body.encode(), content_type="application/json")

    def send_plain(self, data: Data) -> None:
        """Send data alone."""
        body = data if isinstance(data, str | bytes) else _data.encode(data)
        if isinstance(self._wire, WebSocketWire):
            self._outgoing += self._wire.write(body)
        elif isinstance(body, bytes):
            self._post({}, data=body, content_type="application/octet-stream")
        else:
            self._post({}, data=body.encode(), content_type="text/plain; charset=utf-8")

    def _flush(self, sock: socket.socket) -> bool:
        """Give the network what it takes of our bytes. Did it take any?"""
        if not self._outgoing:
            return False
        try:
            sent = sock.send(self._outgoing)
        except BlockingIOError:
            return False
        except ConnectionError:
            sent = len(self._outgoing)  # it ends; what it has said before is still to be read
        self._outgoing = self._outgoing[sent:]
        return True

    def _post(self, query: dict[str, str], **body: Any) -> None:
        """Send by POST, in a greenlet: its handler may wait for what the test does next."""
        if self.held:
            self._posts.append(lambda: self._post(query, **body))
        else:
            gevent.spawn(self._posted, query, body)
            self._stage.settle()  # as a page does, which sends its next POST when this one was answered

    def _posted(self, query: dict[str, str], body: dict[str, Any]) -> None:
        owner = self._owner
        headers = {} if owner.key is None else {"Comet-Key": owner.key}
        response = owner.client._request("POST", InProcess(holds=True), query, headers | owner.headers, **body)
        if response.mimetype != "application/json":
            message = f"{response.status}: {response.get_data(as_text=True)[:200]}"
            owner._take({"error": {"code": "status", "message": message}})
            return
        shape = json.loads(response.get_data())
        if "error" in shape or owner.key is not None:
            owner._take(shape)


def refusal(error: Shape) -> Refused:
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
