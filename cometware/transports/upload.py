"""The way in without a WebSocket: messages as the body of a POST."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import gevent
from gevent.event import Event as Signal
from werkzeug.http import parse_options_header

from cometware.client import Client, Environ
from cometware.core import data as _data
from cometware.core.events import Event, Left, Received
from cometware.core.forms import field
from cometware.core.text import is_length, shown
from cometware.dialects.base import Dialect
from cometware.dialects.native import NATIVE
from cometware.dialects.plain import PLAIN
from cometware.errors import BadFrame
from cometware.roster.base import Record
from cometware.transports.inbox import answer
from cometware.transports.pieces import read_pieces
from cometware.transports.turns import all_turns_here, in_turns
from cometware.transports.worker import Worker

_CHARSETS = ("utf-8", "us-ascii", "iso-8859-1", "windows-1252", "utf-16")
"""Some of Python's others take a time that grows with the square of the text."""


class Answer(NamedTuple):
    """The status and the JSON that a POST is answered with. `close`: end the HTTP connection, its body was not read."""

    status: int
    shape: dict[str, Any]
    close: bool = False


class UploadRefused(Exception):
    """The body is not to be had; `answer` says why."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer)
        self.answer = answer


def read_body(environ: Environ, limit: int, seconds: float) -> bytes:
    """Read the body of a request, whose length may be unknown (chunked).

    Raises:
        UploadRefused: It is over the limit (413; the HTTP connection stays up to four times that), came too slowly
            (408), or ended before its end (400).
    """
    stream = environ["wsgi.input"]
    length = environ.get("CONTENT_LENGTH") or ""
    try:
        with gevent.Timeout(seconds, TimeoutError):
            if length and not is_length(length):
                raise ValueError
            if length:
                return _read_known(stream, int(length), limit)
            if environ.get("wsgi.input_terminated"):
                return _read_unknown(stream, limit)
            return b""
    except TimeoutError:
        message = f"the body took longer than Limits.body_seconds={seconds:g}"
        raise UploadRefused(Answer(408, _error("slow", message), close=True)) from None
    except ValueError:
        message = f"Content-Length: got {length[:20]!r}, expected a number"
        raise UploadRefused(Answer(400, _error("length", message), close=True)) from None
    except OSError:
        raise UploadRefused(Answer(400, _error("body", "the body ended too early"), close=True)) from None


def _read_known(stream: Any, size: int, limit: int) -> bytes:
    if size > 4 * limit:
        raise _too_large(size, limit, close=True)
    body = b"".join(read_pieces(stream, size))
    if size > limit:
        raise _too_large(size, limit, close=False)
    if len(body) < size:
        raise OSError
    return body


def _read_unknown(stream: Any, limit: int) -> bytes:
    pieces, size = [], 0
    for piece in read_pieces(stream):
        pieces.append(piece)
        size += len(piece)
        if size > 4 * limit:
            raise _too_large(size, limit, close=True)
    if size > limit:
        raise _too_large(size, limit, close=False)
    return b"".join(pieces)


def _too_large(size: int, limit: int, *, close: bool) -> UploadRefused:
    message = f"a body of {size} bytes; Limits.max_message_bytes allows {limit}"
    return UploadRefused(Answer(413, _error("size", message, limit=limit, size=size), close=close))


def _error(code: str, message: str, **details: object) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, **details}}


def understand(body: bytes, content_type: str, most: int, *, native: bool) -> list[Event]:
    """Turn a body into the messages in it, `most` of them: native shapes, bytes (`application/octet-stream`), or one text.

    A large one is read in pieces, between which others have their turn.

    Raises:
        BadFrame: It is not what its type says, or holds more (`many`).
    """
    return in_turns(len(body), _understood, body, content_type, most, native)


def _understood(body: bytes, content_type: str, most: int, native: bool) -> list[Event]:
    kind, options = parse_options_header(content_type)
    dialect: Dialect = NATIVE if native else PLAIN
    if not native and kind == "application/octet-stream":
        return dialect.receive(body)
    charset = options.get("charset", "utf-8").lower()
    if charset not in _CHARSETS:
        raise BadFrame("charset", f"charset={shown(charset, 40)}: expected one of {', '.join(_CHARSETS)}")
    try:
        text = body.decode(charset)
    except UnicodeDecodeError as error:
        raise BadFrame("charset", f"the body is not {charset}: {error}") from None
    if native and kind == "application/x-www-form-urlencoded":
        try:
            value = field(text, "d")
        except ValueError as error:
            raise BadFrame("form", f"expected the messages in the form field d: {error}") from None
        if value is None:
            raise BadFrame("form", "expected the messages in the form field d")
        text = value
    return dialect.receive(text, most)


class Ticket:
    """A POST that waits for its messages to be handled."""

    transport = "post"

    def __init__(self, dialect: str, count: int) -> None:
        self.dialect = dialect
        self._left = count
        self._done = Signal()
        self.error: BadFrame | None = None

    def handled(self, number: int | None) -> None:
        self._left -= 1
        if self._left <= 0:
            self._done.set()

    def refused(self, error: BadFrame) -> None:
        self.error = self.error or error
        self._done.set()

    def wait(self, seconds: float) -> bool:
        """Wait until all is handled or something is refused. Was that in time?"""
        return bool(self._done.wait(seconds))


def upload(worker: Worker, record: Record, events: Sequence[Event], dialect: str) -> Answer:
    """Hand over the messages of a client with a key, and wait until they are handled; not if it leaves with them."""
    messages = [event for event in events if isinstance(event, Received)]
    goodbye = next((event for event in events if isinstance(event, Left)), None)
    if goodbye is not None:
        messages = [event for event in messages if event.number is None or event.number > record.queued]
        try:
            worker.inboxes.check_room(record, messages)
        except BadFrame as busy:
            return Answer(429, _error(busy.code, busy.message, **busy.details))
        ticket = Ticket(dialect, len(messages))
        for event in messages:
            worker.inboxes.deliver(record, event, ticket)
        worker.clients.leave(record, goodbye.wait_seconds)
        return Answer(200, {"accepted": record.accepted})
    if messages:
        try:
            worker.inboxes.check_room(record, messages)
        except BadFrame as busy:
            return Answer(429, _error(busy.code, busy.message, **busy.details))
        ticket = Ticket(dialect, len(messages))
        for event in messages:
            worker.inboxes.deliver(record, event, ticket)
        seconds = worker.limits.answer_seconds
        if not ticket.wait(seconds):
            message = f"the handler takes longer than Limits.answer_seconds={seconds:g}; send the same numbers again"
            return Answer(503, _error("slow", message, accepted=record.accepted))
        if ticket.error is not None:
            error = ticket.error
            status = {"number": 409, "closed": 410, "away": 503}.get(error.code, 400)
            return Answer(status, _error(error.code, error.message, **error.details))
    return Answer(200, {"accepted": record.accepted})


def post_once(worker: Worker, client: Client, events: Sequence[Event]) -> Answer:
    """Handle messages of somebody without a key, who is gone after this; the reply is in the answer."""
    messages = [event for event in events if isinstance(event, Received)]
    shape: dict[str, Any] = {"accepted": len(messages)}
    status = 200
    turns = all_turns_here().handling
    for index, event in enumerate(messages):
        if index:
            turns.pace()
        reply = answer(worker, client, event)
        if reply.kind != "reply":
            details = json.loads(reply.json)
            status = details.get("status", 404 if details["code"] == "event" else 500)
            shape = {"error": details}
            break
        if reply.json != "null":
            shape["data"] = _data.parse(reply.json)
    return Answer(status, shape)
