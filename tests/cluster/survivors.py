"""Native clients that come back whenever their connection breaks, change their transport, and send messages meanwhile.

Rule: a client never gives up and never forgets where it was; whatever is not as it was promised is an AssertionError, or
stands in the report.
"""

from __future__ import annotations

import json
import random
import re
import socket
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.live.crowd import POLLS, Crowd, Member
from tests.live.http import Body, connect, drop, request

KINDS = ("websocket", "sse", "stream", *POLLS)
BACK_SECONDS = 0.2
"""How long a client waits before it comes back: our own browser client takes 0 to 500 ms."""
LOOK_SECONDS = 0.25
"""How long a plain poll waits before it looks again."""
SEND_SECONDS = 1.0
"""How long a client waits before it sends its next message."""

_CODE = re.compile(rb'"code":"(\w+)"')


@dataclass
class Report:
    """What happened. `statuses` are those of all answers, with the code of what was refused; `ends` counts connections that
    broke; `repeats` messages that were handled again since their worker was killed, or stood still, before it had said so."""

    published: int = 0
    unavailable: int = 0
    kills: int = 0
    stops: int = 0
    restarts: int = 0
    hops: int = 0
    heard: int = 0
    ends: int = 0
    sent: int = 0
    repeats: int = 0
    resets: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def requests(self) -> int:
        """Answers that a worker gave, not the proxy for want of one."""
        return sum(count for status, count in self.statuses.items() if not status.endswith(" proxy"))

    @property
    def unexpected(self) -> Counter[str]:
        """Answers that nobody should get from a worker: all but "here you are", "come again" and "that number is not next"."""
        expected = {"101", "200", "409 number", "503 log", "503 slow", "503 refused", "503 open", "503 away"}
        return Counter({one: n for one, n in self.statuses.items() if one not in expected and not one.endswith(" proxy")})

    def answered(self, head: bytes) -> str:
        """Count an answer; return its status."""
        status = head[9:12].decode()
        code = _CODE.search(head)
        if status in ("101", "200"):
            self.statuses[status] += 1
        elif code is not None:
            self.statuses[f"{status} {code[1].decode()}"] += 1
        else:
            self.statuses[f"{status} proxy" if status in ("502", "503", "504") else f"{status} {head[-200:]!r}"] += 1
        return status

    def __str__(self) -> str:
        rates = f"requests {self.requests}, published/s {self.published / max(self.seconds, 1):.0f}"
        return ", ".join([*(f"{name} {value}" for name, value in vars(self).items()), rates])


class Survivor(Member):
    """A member that comes back when its connection breaks, or when nobody serves it just now."""

    crowd: Survivors

    def on_readable(self) -> None:
        try:
            self._receive()
        except OSError:
            self._broken()

    def _receive(self) -> None:
        assert self.sock is not None
        if not self._open and self._is_refused():
            return
        before = self.connections
        if self.sock.recv(1, socket.MSG_PEEK) == b"":
            self._broken()
        elif self.connections == before:
            super().on_readable()

    def _is_refused(self) -> bool:
        """Look at the head of an answer; if it is not what was hoped for, come back later."""
        assert self.sock is not None
        head = self.sock.recv(4096, socket.MSG_PEEK)
        if len(head) < 12 or self._counted:
            return False
        self._counted = True
        if self.crowd.report.answered(head) in ("101", "200"):
            return False
        self._broken()
        return True

    def _hear(self, data: bytes) -> bytes:
        if self.kind == "jsonp" and data.startswith(b'/**/hear([{"error":'):
            code = _CODE.search(data)
            self.crowd.report.statuses["503 " + (code[1].decode() if code else repr(data))] += 1
            raise ConnectionError
        return super()._hear(data)

    def connect(self) -> None:
        self._counted = False
        try:
            super().connect()
        except OSError:
            self._broken()

    def _ask(self) -> None:
        self._counted = False
        super()._ask()

    def _ask_again(self) -> None:
        if self.kind == "plainpoll":
            self.crowd.later(LOOK_SECONDS, lambda at=self.connections: self._look(at))  # type: ignore[misc]
        else:
            self._ask()

    def _look(self, connection: int) -> None:
        if self.connections == connection and self.sock is not None:
            try:
                self._ask()
            except OSError:
                self._broken()

    def _broken(self) -> None:
        self.crowd.report.ends += 1
        self.drop()
        self.crowd.later(BACK_SECONDS, self.connect)


class Sender:
    """Sends the numbered messages of a client by POSTs, each until it is accepted, to whatever worker the proxy takes."""

    def __init__(self, crowd: Survivors, index: int, key: str) -> None:
        self._crowd = crowd
        self._index = index
        self._headers = {"Comet-Key": key, "Content-Type": "application/json"}
        self.sock: socket.socket | None = None
        self.accepted = 0

    def connect(self) -> None:
        """Send the next message, or the last one again; nothing if it is over."""
        if self._crowd.is_over:
            return
        shape = {"n": self.accepted + 1, "event": "number", "data": [self._index, self.accepted + 1]}
        self._head, self._text, self._body = b"", b"", Body()
        try:
            self.sock = connect(self._crowd.server.port)
            self.sock.sendall(request("POST", "/comet", self._headers, json.dumps(shape).encode()))
            self.sock.setblocking(False)
            self._crowd.watch(self)
        except OSError:
            self._again(BACK_SECONDS)

    def drop(self) -> None:
        if self.sock is not None:
            self._crowd.ignore(self)
            drop(self.sock)
            self.sock = None

    def on_readable(self) -> None:
        assert self.sock is not None
        try:
            data = self.sock.recv(1 << 16)
            if data:
                self._head += data
                self._text += self._body.feed(data)
        except OSError:
            data = b""
        if not data or self._body.ended:
            self._ended()

    def _ended(self) -> None:
        number = self.accepted + 1
        if self._body.ended:
            status = self._crowd.report.answered(self._head)
            if status in ("200", "409"):
                told = json.loads(self._text)
                accepted = told.get("error", told)["accepted"]
                assert number - 1 <= accepted <= number, f"client {self._index} sent {number} and was answered {told}"
                self.accepted = accepted
        else:
            self._crowd.report.ends += 1
        self._again(SEND_SECONDS if self.accepted == number else BACK_SECONDS)

    def _again(self, seconds: float) -> None:
        self.drop()
        self._crowd.later(seconds, self.connect)


class Survivors(Crowd):
    """All of them. `is_over`: nobody shall send more."""

    def __init__(self, server: Any, report: Report, dice: random.Random) -> None:
        super().__init__(server)
        self.report = report
        self.senders: list[Sender] = []
        self.is_over = False
        self._later: list[tuple[float, Callable[[], None]]] = []
        self._dice = dice

    def __exit__(self, *error: object) -> None:
        for sender in self.senders:
            sender.drop()
        super().__exit__(*error)

    def come(self, count: int) -> None:
        self.members = [Survivor(self, KINDS[index % len(KINDS)]) for index in range(count)]
        for member in self.members:
            member.connect()

    def begin_to_send(self) -> None:
        self.senders = [Sender(self, index, member.key) for index, member in enumerate(self.members)]
        for sender in self.senders:
            self.later(self._dice.random() * SEND_SECONDS, sender.connect)

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        self._later.append((time.monotonic() + seconds, call))

    def live(self, until: Callable[[], bool], seconds: float) -> bool:
        """Read, hop and come back until it is over. Was that in time?"""
        deadline = time.monotonic() + seconds
        while not until():
            now = time.monotonic()
            if now >= deadline:
                return False
            for key, _ in self._selector.select(0.02):
                member = key.data
                if member.sock is key.fileobj:
                    member.on_readable()
            due = [call for at, call in self._later if at <= now]
            self._later = [(at, call) for at, call in self._later if at > now]
            for call in due:
                call()
            if self._dice.random() < 0.2:
                self._hop()
        return True

    def _hop(self) -> None:
        """Somebody changes the transport."""
        member = self._dice.choice(self.members)
        if member.sock is not None and member.epoch:
            member.drop(reset=self._dice.random() < 0.5)
            member.kind = self._dice.choice(KINDS)
            member.connect()
            self.report.hops += 1
