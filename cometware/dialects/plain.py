"""Data alone, for `new WebSocket(url)`, `new EventSource(url)` and `curl`: text as it is, anything else as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from cometware.core.entry import Entry, Position
from cometware.core.events import Event, Received
from cometware.core.framing import Frame
from cometware.dialects.base import ANY_NUMBER, Silent

RETRY_MILLISECONDS = 2000
"""How long an `EventSource` waits before it comes back."""


class Plain(Silent):
    """Stateless. `event` names are shown only by SSE; replies are not shown at all, since nobody could ask for one."""

    name = "plain"

    def entries(self, entries: Iterable[Entry]) -> list[Frame]:
        return [_entry(entry) for entry in entries if not entry.message.kind]

    def heartbeat(self, position: Position) -> list[Frame]:
        return [Frame(None, id=str(position))]

    def error(self, code: str, message: str, details: Mapping[str, object]) -> list[Frame]:
        return [Frame(json.dumps({"error": {"code": code, "message": message, **details}}), event="error")]

    def reset(self, reason: str, position: Position) -> list[Frame]:
        return [Frame(json.dumps({"reason": reason}), event="reset", id=str(position))]

    def receive(self, body: str | bytes, most: int = ANY_NUMBER) -> list[Event]:
        return [Received("message", body)]


def _entry(entry: Entry) -> Frame:
    message = entry.message
    json_text = message.json
    body: str | bytes = json_text
    if json_text.startswith(('"', '{"$bytes"')):
        data = entry.data
        body = data if isinstance(data, str | bytes) else json_text
    event = "" if message.event == "message" else message.event
    return Frame(body, event, str(entry.position))


PLAIN = Plain()
