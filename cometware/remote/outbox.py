"""What a client has said and the channel has not yet accepted. Pure: numbers and texts, no socket and no clock."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future
from typing import Any

from cometware.core.data import dumps
from cometware.errors import Failed

MAX_MESSAGES = 1000
MAX_BYTES = 4 * 1024 * 1024
"""What may wait while there is no connection."""


class Said:
    """One message of ours. `json` is its data; `reply` is set when it is answered, None if nobody asked."""

    __slots__ = ("event", "json", "reply")

    def __init__(self, event: str, json: str, reply: Future[Any] | None) -> None:
        self.event = event
        self.json = json
        self.reply = reply

    def written(self, number: int) -> str:
        asks = ',"reply":true' if self.reply is not None else ""
        return f'{{"n":{number},"event":{dumps(self.event)}{asks},"data":{self.json}}}'


class Outbox:
    """Messages in their order. The first that waits has the number `accepted + 1`; `sent` of them are on their way.

    `counted` tells whether the server has said how far it counts; before, nothing may be sent. `era` counts how often our
    numbers began anew.
    """

    def __init__(self) -> None:
        self.accepted = 0
        self.sent = 0
        self.era = 0
        self.counted = False
        self._waiting: deque[Said] = deque()
        self._waiting_bytes = 0
        self._replies: dict[int, Future[Any]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, said: Said) -> None:
        """Add a message.

        Raises:
            Failed: Too much waits already (`full`).
        """
        if len(self._waiting) >= MAX_MESSAGES or self._waiting_bytes + len(said.json) > MAX_BYTES:
            raise Failed(
                "full",
                f"{len(self._waiting)} messages ({self._waiting_bytes} characters) wait for the channel to accept them; "
                f"at most {MAX_MESSAGES} ({MAX_BYTES}) may",
            )
        self._waiting.append(said)
        self._waiting_bytes += len(said.json)

    def next(self) -> str | None:
        """Return the next message that is to be sent on this connection, if there is one."""
        if not self.counted or self.sent >= len(self._waiting):
            return None
        self.sent += 1
        return self._waiting[self.sent - 1].written(self.accepted + self.sent)

    def batch(self, most_bytes: int, most: int) -> list[str]:
        """Return the first messages that wait, as many as one body may hold; at least one."""
        texts: list[str] = []
        if not self.counted:
            return texts
        for number, said in enumerate(self._waiting, self.accepted + 1):
            text = said.written(number)
            most_bytes -= len(text.encode()) + 1
            if texts and (most_bytes < 1 or len(texts) >= most):
                break
            texts.append(text)
        return texts

    def give_back(self) -> Said:
        """Take out the first message: it will never be accepted."""
        said = self._waiting.popleft()
        self._waiting_bytes -= len(said.json)
        self.begin_anew(self.accepted)
        return said

    def count(self, accepted: int, before: int) -> None:
        """Hear from the server how far it counts; `before` is what it had accepted when this connection was asked for."""
        if not self.counted:
            self.counted = True
            self.begin_anew(accepted)
        elif accepted < before:
            self.begin_anew(accepted)  # it has forgotten us
        else:
            self.acknowledge(accepted)

    def refused_number(self, accepted: int) -> None:
        """Hear that a number was missing before what we sent."""
        if accepted < self.accepted:
            self.begin_anew(accepted)
        else:
            self.acknowledge(accepted)
            self.sent = 0

    def refused_for_now(self, accepted: int) -> None:
        """Hear that we were too fast: after a while, the same numbers are to be sent again."""
        self.acknowledge(accepted)
        self.sent = 0

    def acknowledge(self, number: int) -> None:
        """All messages up to this number are done."""
        while self.accepted < number and self._waiting:
            self.accepted += 1
            said = self._waiting.popleft()
            self._waiting_bytes -= len(said.json)
            self.sent = max(0, self.sent - 1)
            if said.reply is not None:
                self._replies[self.accepted] = said.reply
        self.accepted = max(self.accepted, number)

    def begin_anew(self, accepted: int) -> None:
        """Number what waits from behind this number on."""
        self.accepted = accepted
        self.sent = 0
        self.era += 1

    def answered(self, number: int) -> Future[Any] | None:
        """Return who waits for the reply to this number. A reply says that its message is done, too."""
        self.acknowledge(number)
        return self._replies.pop(number, None)

    def fail_replies(self, error: Exception) -> None:
        """Tell those who wait for the reply to what was accepted that it will not come."""
        replies, self._replies = self._replies, {}
        for reply in replies.values():
            settle(reply, error)

    def fail(self, error: Exception) -> None:
        """Tell everybody who waits."""
        self.fail_replies(error)
        for said in self._waiting:
            if said.reply is not None:
                settle(said.reply, error)
        self._waiting.clear()


def settle(reply: Future[Any], result: Any) -> None:
    """Give a reply to who waits for it, if it still does."""
    if not reply.set_running_or_notify_cancel():
        return
    if isinstance(result, Exception):
        reply.set_exception(result)
    else:
        reply.set_result(result)
