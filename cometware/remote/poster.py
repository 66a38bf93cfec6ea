"""What goes to the server by POST: the way in of every transport but WebSocket. One request at a time keeps the order."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Sequence

from cometware.remote.backoff import Backoff
from cometware.remote.endings import told
from cometware.remote.outbox import Outbox
from cometware.remote.route import Asker, Refusal, Route, error_of

POST_SECONDS = 70.0
"""How long a POST may take; the server answers within `Limits.answer_seconds`."""
BATCH_MESSAGES = 200
"""How many of our messages go in one POST, if the server takes so many."""
GOODBYE_SECONDS = 2.0
COMPLAIN_FAILURES = 5


class Poster:
    """`at` is when the next POST may begin. `trouble` is what has gone wrong several times in a row."""

    def __init__(self, route: Route, key: str) -> None:
        self._route = route
        self._headers = route.headers | {"Comet-Key": key, "Content-Type": "application/json"}
        self._asker = Asker(route, self._headers)
        self._backoff = Backoff()
        self._most = BATCH_MESSAGES
        self.at = 0.0
        self.trouble = ""

    def batch(self, outbox: Outbox, most_bytes: int) -> tuple[list[str], int, Asker]:
        """Return what to send, in which era, and by what."""
        return outbox.batch(most_bytes, self._most), outbox.era, self._asker

    def post(self, asker: Asker, texts: Sequence[str]) -> int | Refusal | None:
        """Send, and return how much is accepted, or why it is not; None, if it has to be sent again."""
        try:
            answer = asker.ask("POST", self._route.query(), POST_SECONDS, f"[{','.join(texts)}]".encode())
            if answer.status == 200:
                accepted = int(json.loads(answer.body)["accepted"])
                self._backoff.reset()
                return accepted
        except OSError as error:
            if asker is self._asker:
                self.later(told(error))
            return None
        except (ValueError, KeyError, TypeError):
            self.later("the answer to a POST is not the channel's")
            return None
        if error_of(answer.body).get("code") != "number":
            self._most = 1 if answer.status in (400, 413) else self._most
        return Refusal(answer.status, answer.headers, answer.body)

    def allow(self, most: int) -> None:
        """Hear from the server how many messages it takes at once."""
        self._most = max(1, min(self._most, most))

    def later(self, why: str, least_seconds: float = 0.0) -> None:
        """Wait before the next one."""
        self.at = time.monotonic() + max(least_seconds, self._backoff.pause())
        self.trouble = why if self._backoff.failures == COMPLAIN_FAILURES else ""

    def end(self) -> None:
        """Give up the POST that is under way; the next one has a connection of its own."""
        asker, self._asker = self._asker, Asker(self._route, self._headers)
        asker.end()

    def goodbye(self) -> None:
        """Tell the server, as the last thing, that this client does not come back."""
        with contextlib.closing(Asker(self._route, self._headers)) as asker, contextlib.suppress(OSError):
            asker.ask("POST", self._route.query(), GOODBYE_SECONDS, b'{"close":{}}')
