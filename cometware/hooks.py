"""The wrapped application as the channel's handlers: what clients do becomes ordinary requests through its whole stack.

`POST <path>/open`, `/message`, `/event/<name>` and `/close`, with the client's own cookies. Of a client's request nothing is
kept but those and its site (`_SITE`): scheme, host and script name, which all clients of one site share.
"""

from __future__ import annotations

import posixpath
import re
import time
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import gevent
from gevent.lock import BoundedSemaphore

from cometware.channel import Channel
from cometware.client import Client, Environ
from cometware.core import data as _data
from cometware.core.data import Data
from cometware.core.entry import Message, audiences, event_name, left_out
from cometware.core.text import shown
from cometware.errors import CometwareError, Refused
from cometware.requests import KeptRequests
from cometware.roster.base import Record
from cometware.transports.report import logger, report, tell

HOOK = object()
"""In a WSGI environ under `cometware.hook`: this request is the channel's own. No header can put it there."""

_PATH = re.compile(r"(?:/[\w~-][\w.~-]*)+", re.ASCII)
_SLASHES = re.compile(r"/+")
_EVENT = re.compile(r"\w[\w.:~-]{0,99}")
_END_SECONDS = 1.0
"""How long an application that is out of time may take to end."""


def is_hook(environ: Mapping[str, Any]) -> bool:
    """Is this request the channel's own? (In Django, ask of `request.META`.)"""
    return environ.get("cometware.hook") is HOOK


def is_below(path: str, asked: str) -> bool:
    """Would an application route what was asked to `path`, or below it? Doubled slashes and dots hide nothing.

    Whether it resolves dots is its own affair: `/realtime/../x` is below `/realtime` to one that does not.
    """
    literal = _SLASHES.sub("/", "/" + asked)
    return any(plain == path or plain.startswith(path + "/") for plain in (literal, posixpath.normpath(literal)))


class BadAnswer(CometwareError):
    """The application's view answered a hook with what no channel can do; the text says what, and what was expected."""


class Answered(Refused):
    """The application's view answered with another status than 2xx; this is its answer, whatever the status."""

    def __init__(self, status: int, reason: str, body: bytes, content_type: str) -> None:
        CometwareError.__init__(self, status, reason, body, content_type)
        self.status = status
        self.reason = reason
        self.body = body
        self.content_type = content_type


class AppHooks:
    """Asks the application below `path`, in requests of its own.

    Each is run by a greenlet of its own: whatever the application keeps for a thread, like a database connection, ends with
    it. It is started here, and ends with the application's answer; one that is out of time is killed. (In a native thread an
    application can not be killed: it goes on, unheard.)

    Raises:
        ValueError: The path is none that an application routes as it stands.
    """

    def __init__(self, app: Any, channel: Channel, path: str) -> None:
        if not _PATH.fullmatch(path):
            raise ValueError(f"Cometware(hooks={path!r}): expected a path like '/realtime'")
        self._app = app
        self._channel = channel
        self._path = path
        self._free = BoundedSemaphore(channel.limits.max_hooks)
        self._warned = False
        channel.requests = channel.requests or KeptRequests()

    def handles(self, event: str) -> bool:
        """Could the application have a view for this event? The name becomes a part of a path, so not every name will do."""
        return _EVENT.fullmatch(event) is not None

    def call(self, run: Callable[..., Any], event: str, client: Client, *arguments: Any) -> Data:
        """Have the application answer, do what it says, and return its reply.

        `run(function, …)` calls a function where the application's code may run. To be called in the event loop.

        Raises:
            Refused: It does not want this.
            BadAnswer: It wants what cannot be done.
        """
        name = f"/{event}" if event in ("open", "message", "close") else f"/event/{event}"
        environ = self._environ(self._path + name, client._record, _describe(event, client, *arguments).encode())
        answer = self._ask(run, environ)
        if 200 <= answer.status < 300:
            return self._act(name, client, answer)
        if event == "close":
            if answer.status not in (404, 405):
                tell("hook close", f"POST {self._path}{name}: answered by {answer.status}, but a client is gone all the same")
            return None
        if answer.status == 404 and event in ("open", "message") and not self._warned:
            self._warned = True
            logger.warning("POST %s%s: 404, so it is refused; add the view, or a handler to the channel", self._path, name)
        raise Answered(answer.status, _phrase(answer.status), answer.body, answer.content_type)

    # Asking

    def _ask(self, run: Callable[..., Any], environ: Environ) -> _Answer:
        limits, path = self._channel.limits, environ["PATH_INFO"]
        deadline = time.monotonic() + limits.hook_seconds
        if not self._free.acquire(timeout=limits.hook_seconds):
            raise Refused(503, f"{limits.max_hooks} requests to the application run already; see Limits.max_hooks")
        greenlet = gevent.spawn(run, self._run, environ, deadline)
        greenlet.link(self._ended)
        try:
            greenlet.join(max(0, deadline - time.monotonic()))
        finally:
            if not greenlet.ready():
                greenlet.kill(timeout=_END_SECONDS)
        if isinstance(greenlet.value, _Answer):
            return greenlet.value
        tell("hook time", f"POST {path}: the application took longer than Limits.hook_seconds={limits.hook_seconds:g}")
        raise Refused(504, f"the application took longer than Limits.hook_seconds={limits.hook_seconds:g}")

    def _ended(self, greenlet: Any) -> None:
        self._free.release()

    def _run(self, environ: Environ, deadline: float) -> _Answer | None:
        if time.monotonic() > deadline:
            return None  # nobody waits for it any more: it waited too long for a thread
        try:
            return _request(self._app, environ, self._channel.limits.max_message_bytes)
        except (Exception, SystemExit):
            report(f"POST {environ['PATH_INFO']}")
            return _Answer(500, b"", "")

    def _environ(self, path: str, record: Record, body: bytes) -> Environ:
        assert self._channel.requests is not None
        environ = self._channel.requests.environ_of(record, "POST", path, body)
        return {**environ, "cometware.channel": self._channel, "cometware.hook": HOOK}

    # Acting

    def _act(self, name: str, client: Client, answer: _Answer) -> Data:
        try:
            actions = understand(answer.body, answer.content_type)
        except ValueError as error:
            raise BadAnswer(f"POST {self._path}{name} was answered with {answer.status}, but {error}") from None
        if actions.publish and len(actions.publish) > (most := self._channel.limits.max_waiting_messages):
            told = f"{len(actions.publish)} messages to publish; Limits.max_waiting_messages allows {most}"
            raise BadAnswer(f"POST {self._path}{name} was answered with {told}")
        for room in actions.join:
            client.join(room)
        for room in actions.leave:
            client.leave(room)
        for message in actions.publish:
            self._channel.log.append(message)
        return actions.reply


def _describe(event: str, client: Client, *arguments: Any) -> str:
    """Write the body of a hook: who it is, and what they did."""
    fields: dict[str, Any] = {
        "client": client.id,
        "user": client.user,
        "transport": client.transport,
        "dialect": client.dialect,
        "rooms": sorted(client.rooms),
    }
    if event == "open":
        query = parse_qsl((client.environ or {}).get("QUERY_STRING", ""), keep_blank_values=True)
        fields["query"] = {name: value for name, value in reversed(query) if name != "key"}
        return _data.dumps(fields)
    if event == "close":
        return _data.dumps({**fields, "reason": arguments[0]})
    return f'{_data.dumps({**fields, "event": event})[:-1]},"data":{_data.encode(arguments[0])}}}'


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


# A request without a server


class _Answer(NamedTuple):
    status: int
    body: bytes
    content_type: str


def _request(app: Any, environ: Environ, limit: int) -> _Answer:
    """Run a WSGI application to its end; its iterator is closed whatever happens (PEP 3333).

    Raises:
        BadAnswer: Its body is too long, or it never called `start_response`.
    """
    head: list[Any] = []
    parts: list[bytes] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        if head and exc_info is None:
            raise AssertionError("start_response was called a second time without exc_info")
        head[:] = [status, headers]
        return parts.append

    result: Iterable[bytes] = app(environ, start_response)
    try:
        size = 0
        for part in result:
            parts.append(part)
            size += len(part)
            if size > limit:
                raise BadAnswer(f"its body is longer than Limits.max_message_bytes={limit}")
    finally:
        close = getattr(result, "close", None)
        if close is not None:
            close()
    if not head:
        raise BadAnswer("it never called start_response")
    status, headers = head
    types = [value for name, value in headers if name.lower() == "content-type"]
    return _Answer(int(status[:3]), b"".join(parts), types[0] if types else "application/octet-stream")


# What an answer says


class Actions(NamedTuple):
    """What an application's answer asks for, all of it checked before any of it is done."""

    publish: list[Message]
    join: list[str]
    leave: list[str]
    reply: Data


def understand(body: bytes, content_type: str) -> Actions:
    """Read the body of an accepting answer.

    JSON is the reply. Of an object, `publish`, `join` and `leave` are taken away and done; what is left, if anything, is
    the reply. A body that is no JSON by its type is no reply.

    Raises:
        ValueError: It is no JSON in spite of its type, or an action is none; says which.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if not body or not (kind == "application/json" or kind.endswith("+json")):
        return Actions([], [], [], None)
    try:
        reply = _data.decode(body.decode("utf-8"))
    except ValueError as error:
        raise ValueError(f"its body is not JSON: {error}") from None
    if not isinstance(reply, dict) or not {"publish", "join", "leave"} & reply.keys():
        return Actions([], [], [], reply)
    publish = [_message(index, item) for index, item in enumerate(_list(reply, "publish"))]
    join, leave = _rooms(reply, "join"), _rooms(reply, "leave")
    rest = {name: value for name, value in reply.items() if name not in ("publish", "join", "leave")}
    return Actions(publish, join, leave, rest or None)


def _list(reply: dict[str, Data], name: str) -> list[Data]:
    value = reply.get(name, [])
    if not isinstance(value, list):
        raise ValueError(f"{name}: expected a list, got {_short(value)}")
    return value


def _rooms(reply: dict[str, Data], name: str) -> list[str]:
    rooms = _list(reply, name)
    for index, room in enumerate(rooms):
        if not isinstance(room, str) or not room.startswith("room:") or room == "room:":
            raise ValueError(f"{name}[{index}]: expected 'room:<name>', got {_short(room)}")
    return rooms


def _message(index: int, item: Data) -> Message:
    where = f"publish[{index}]"
    if not isinstance(item, dict) or "data" not in item:
        raise ValueError(f"{where}: expected an object with `data`, and if you like `event`, `to`, `but`; got {_short(item)}")
    if unknown := sorted(item.keys() - {"data", "event", "to", "but"}):
        raise ValueError(f"{where}: expected data, event, to and but; got {_short(unknown[0])} too")
    to, but = item.get("to", "*"), item.get("but")
    if not isinstance(to, str | list):
        raise ValueError(f"{where}: to: expected an audience or a list of them, got {_short(to)}")
    if not isinstance(but, str | list | None):
        raise ValueError(f"{where}: but: expected the id of a client or a list of them, got {_short(but)}")
    try:
        return Message(event_name(item.get("event", "message")), _data.encode(item["data"]), audiences(to), left_out(but))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{where}: {error}") from None


def _short(value: Data) -> str:
    return shown(repr(value), 60)
