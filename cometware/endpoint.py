"""The channel's own URL: who asks, for what, and the connection that serves it."""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, urlencode

from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_options_header
from werkzeug.wrappers import Request, Response

from cometware import assets
from cometware.channel import Channel
from cometware.client import Client, Environ
from cometware.core import framing
from cometware.core.data import dumps
from cometware.core.entry import Entry
from cometware.core.events import Close
from cometware.core.negotiation import ACCEPTED, Asked, Facts, NotNegotiable, Transport, is_callback, negotiate
from cometware.core.text import shown
from cometware.core.wheel import ticks
from cometware.dialects import shapes
from cometware.dialects.base import Shape
from cometware.errors import BadFrame, Gap, Refused
from cometware.roster.base import Record, State
from cometware.servers.base import Server, detect
from cometware.servers.pywsgi import websocket_headers
from cometware.transports.connection import Connection
from cometware.transports.opening import Admission, admit, preface
from cometware.transports.poll import SCRIPT_TYPE, Plan, Poll
from cometware.transports.report import logger
from cometware.transports.stream import EventStream, Stream
from cometware.transports.upload import Ticket, UploadRefused, post_once, read_body, understand, upload
from cometware.transports.websocket import WebSocket, handshake
from cometware.transports.worker import TICK_SECONDS, Worker

Headers: TypeAlias = list[tuple[str, str]]
StartResponse: TypeAlias = Callable[..., Any]
User: TypeAlias = Callable[[Environ], "str | None"]

_BASE_HEADERS: Headers = [
    ("Cache-Control", "no-cache, no-store, no-transform, must-revalidate"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Vary", "Origin"),
]
_CONTENT_TYPES = {
    Transport.SSE: "text/event-stream; charset=utf-8",
    Transport.STREAM: "application/x-ndjson; charset=utf-8",
}
_PADDING_BYTES = 2048
"""What old browsers and virus scanners hold back of a stream; sent where `?pad=1` asks for it."""

_WHY = "since this server does not hand its connections over"
_FIX = "serve with `cometware serve`, or with gevent.pywsgi and handler_class=cometware.Handler"


class Endpoint:
    """One channel behind one URL. `user` is asked at each request who is logged in."""

    def __init__(self, channel: Channel, user: User | None, subprotocols: Sequence[str]) -> None:
        self.channel = channel
        self._user = user
        self._subprotocols = tuple(subprotocols)
        self._worker: Worker | None = None
        self._told = False

    @property
    def worker(self) -> Worker:
        """The channel's worker in this process; made at the first request, and again after a fork."""
        if self._worker is None or self._worker.process != os.getpid():
            self._worker = Worker(self.channel)
        return self._worker

    def drain(self, window_seconds: float) -> None:
        """Ask the clients of this process to come back."""
        if self._worker is not None:
            self._worker.drain(window_seconds)

    def status(self) -> dict[str, Any]:
        """Tell who is here and how, as JSON can hold it."""
        presence = [dataclasses.asdict(client) for client in self.channel.presence()]
        return {
            "name": self.channel.name,
            "log": self.channel.url.partition("@")[2] or self.channel.url,
            "position": str(self.channel.position),
            "connections": Counter(client["transport"] or "none" for client in presence),
            "clients": presence,
        }

    def serve(self, environ: Environ, start_response: StartResponse, cors: Headers) -> Iterable[bytes]:
        """Answer a request whose origin was found good."""
        try:
            asked = negotiate(facts(environ))
            if asked.transport is Transport.POST:
                response = self._post(asked, environ)
            elif asked.transport is Transport.PAGE:
                response = assets.page(environ.get("PATH_INFO", ""))
            else:
                return self._receive(asked, environ, start_response, cors)
        except NotNegotiable as error:
            response = error_response(error.status, error.code, error.message)
            response.headers.update(error.headers)
        except Refused as refused:
            response = error_response(refused.status, "refused", refused.reason)
        response = scripted(environ, response)
        response.headers.extend(_BASE_HEADERS + cors)
        return response(environ, start_response)

    # Receiving

    def _receive(self, asked: Asked, environ: Environ, start_response: StartResponse, cors: Headers) -> Iterable[bytes]:
        server = detect(environ)
        if not server.can_park and not self._told:
            self._told = True
            logger.warning("%s: only plain polls are on, %s; %s", shown(environ.get("SERVER_SOFTWARE", "?")), _WHY, _FIX)
        if asked.transport is Transport.POLL:
            return self._poll(asked, environ, start_response, server, cors)
        if not server.can_park:
            raise NotNegotiable(
                501,
                "server",
                f"{asked.transport.value} is off, {_WHY}; {_FIX}, or use transport=poll",
            )
        if asked.transport is Transport.WEBSOCKET:
            return self._websocket(asked, environ, server)
        return self._stream(asked, environ, start_response, server, cors)

    def _websocket(self, asked: Asked, environ: Environ, server: Server) -> Iterable[bytes]:
        if environ.get("SERVER_PROTOCOL") != "HTTP/1.1":
            raise NotNegotiable(400, "handshake", "a WebSocket handshake needs HTTP/1.1 (RFC 6455 §4.1)")
        status, headers = handshake(
            environ.get("PATH_INFO") or "/",
            websocket_headers(environ),
            self._subprotocols,
            native=asked.native,
        )
        shape = shapes.NATIVE_WEBSOCKET if asked.native else shapes.PLAIN_WEBSOCKET
        admission = self._admit(asked, environ, "websocket", shape)
        taken = server.take(environ)
        connection = WebSocket(self.worker, taken.sock, shape, admission.record)
        self._begin(connection, asked, admission, server, framing.head(status, headers))
        if taken.early and not connection.closed:
            self.worker.soon(connection.received, taken.early)
        return []

    def _stream(
        self, asked: Asked, environ: Environ, start_response: StartResponse, server: Server, cors: Headers
    ) -> Iterable[bytes]:
        chunked = environ.get("SERVER_PROTOCOL") == "HTTP/1.1"
        if asked.transport is Transport.SSE:
            shape = (shapes.NATIVE_SSE if asked.native else shapes.PLAIN_SSE)[chunked]
        else:
            shape = shapes.NATIVE_STREAM[chunked]
        admission = self._admit(asked, environ, asked.transport.value, shape)
        if admission.close is not None and not asked.native:
            response = Response(status=204)  # the one answer after which an EventSource does not come back
            response.headers.extend(_BASE_HEADERS + cors)
            return response(environ, start_response)
        taken = server.take(environ)
        kind = EventStream if asked.transport is Transport.SSE else Stream
        connection = kind(self.worker, taken.sock, shape, admission.record, chunked=chunked)
        headers = [
            ("Content-Type", _CONTENT_TYPES[asked.transport]),
            ("Transfer-Encoding", "chunked") if chunked else ("Connection", "close"),
            ("X-Accel-Buffering", "no"),
            *_BASE_HEADERS,
            *cors,
        ]
        start = _stream_start(asked, admission, padded="pad" in query_of(environ))
        body = framing.chunk(start) if chunked else start
        self._begin(connection, asked, admission, server, framing.head("200 OK", headers) + body)
        return []

    def _begin(self, connection: Connection, asked: Asked, admission: Admission, server: Server, head: bytes) -> None:
        """Write head and greeting, then let the connection read on from its position."""
        worker, limits = self.worker, self.worker.limits
        connection.park()
        connection.write(head + preface(worker, admission, connection.shape, _describe(server), greet=True))
        if admission.close is not None or admission.record.state is State.ENDED:
            connection.finish_with(admission.close or Close(1000))
            return
        connection.position = admission.position
        connection.beat_tick = worker.tick_after(limits.heartbeat_seconds)
        if admission.record.user is not None:
            connection.end_tick = worker.tick_after(limits.reauthorise_seconds)
        worker.attach(connection)
        if asked.native and asked.transport is not Transport.WEBSOCKET:
            worker.prove_soon(connection)

    def _poll(
        self, asked: Asked, environ: Environ, start_response: StartResponse, server: Server, cors: Headers
    ) -> Iterable[bytes]:
        worker = self.worker
        shape = shapes.NATIVE_POLL
        if asked.key is None:
            asked = _with_new_key(asked)
        admission = self._admit(asked, environ, "poll", shape)
        record = admission.record
        wait = worker.limits.poll_seconds if asked.wait_seconds is None else asked.wait_seconds
        greet = admission.opened or not asked.has_position
        at_once = greet or not admission.recovered or wait == 0 or not server.can_park or admission.close is not None
        link = _link(asked, environ)
        entries: list[Entry] = []
        position = admission.position
        if admission.close is None:
            try:
                entries, position = worker.read(record, position, worker.log.head.offset)
            except Gap as gap:
                admission, at_once = admission._replace(reset=gap.reason, position=worker.log.head), True
                position = admission.position
        if not at_once and not entries and record.state is State.OPEN:
            return self._hold(asked, admission, environ, server, cors, link, min(wait, worker.limits.poll_seconds))
        body = preface(worker, admission, shape, _describe(server), greet=greet) or b"[]"
        if entries:
            body = _joined(body, worker.share(shape, entries))
        if asked.tell_accepted:
            body = _joined(body, shape.write(shape.dialect.accepted(record.accepted)))
        if body == b"[]":
            body = shape.heartbeat(position)
        response = Response(body, content_type="application/json")
        if asked.callback:
            response = Response(framing.script(asked.callback, body), content_type=SCRIPT_TYPE)
        response.headers.extend(_BASE_HEADERS + cors)
        response.headers["Link"] = f'<{link}{position}>; rel="next"'
        if not server.can_park:
            response.headers["Retry-After"] = "1"
        if admission.close is None and record.state is State.OPEN:
            worker.polled(record)
        return response(environ, start_response)

    def _hold(
        self,
        asked: Asked,
        admission: Admission,
        environ: Environ,
        server: Server,
        cors: Headers,
        link: str,
        wait_seconds: float,
    ) -> Iterable[bytes]:
        """Park a poll until there is something for it."""
        worker = self.worker
        fields = "".join([f"{name}: {value}\r\n" for name, value in _BASE_HEADERS + cors])
        connection = environ.get("HTTP_CONNECTION", "").lower()
        plan = Plan(
            admission.record,
            f"{fields}Link: <{link}".encode("latin-1", "replace"),
            ticks(wait_seconds, TICK_SECONDS),
            keep_alive=environ.get("SERVER_PROTOCOL") == "HTTP/1.1" and connection != "close",
            until_tick=worker.tick_after(worker.limits.reauthorise_seconds),
            callback=asked.callback,
        )
        worker.polls.learn(server.raw_head, plan)
        taken = server.take(environ)
        poll = Poll(worker, taken.sock, taken.give_back)
        poll.early = taken.early
        poll.park()
        poll.hold(plan, admission.position)
        return []

    # Sending

    def _post(self, asked: Asked, environ: Environ) -> Response:
        limits = self.worker.limits
        dialect = "native" if asked.native else "plain"
        try:
            body = read_body(environ, limits.max_message_bytes, limits.body_seconds)
            events = understand(body, environ.get("CONTENT_TYPE", ""), native=asked.native)
        except UploadRefused as refused:
            status, shape, close = refused.answer
            response = json_response(status, shape)
            if close:
                response.headers["Connection"] = "close"
            return response
        except BadFrame as error:
            return error_response(400, error.code, error.message, **error.details)
        if asked.key is None:
            return self._post_once(events, environ, dialect)
        admission = admit(self.worker, asked, self._user_of(environ), environ, Ticket.transport, dialect)
        if admission.close is not None:
            code, reason = admission.close
            return error_response(410, "closed", reason or "this client was closed", close=code)
        answer = upload(self.worker, admission.record, events, dialect)
        return json_response(answer.status, answer.shape)

    def _post_once(self, events: Sequence[Any], environ: Environ, dialect: str) -> Response:
        """Somebody without a key: opened, heard and gone within one request, never present."""
        worker, channel = self.worker, self.channel
        record = Record(os.urandom(12).hex(), None, self._user_of(environ), 0)
        client = Client(channel, record, Ticket.transport, dialect, environ)
        channel.call("open", client)
        record.state = State.OPEN
        try:
            answer = post_once(worker, Client(channel, record, Ticket.transport, dialect), events)
        finally:
            record.state = State.ENDED
            worker.inboxes.end(record, "left")
        return json_response(answer.status, answer.shape)

    def _admit(self, asked: Asked, environ: Environ, transport: str, shape: Shape) -> Admission:
        return admit(self.worker, asked, self._user_of(environ), environ, transport, shape.dialect.name)

    def _user_of(self, environ: Environ) -> str | None:
        return self._user(environ) if self._user is not None else None


def facts(environ: Environ) -> Facts:
    """Read from a WSGI environ what negotiation needs."""
    accept: MIMEAccept = Request(environ).accept_mimetypes
    offered = environ.get("HTTP_SEC_WEBSOCKET_PROTOCOL", "")
    return Facts(
        method=environ["REQUEST_METHOD"],
        accept=(accept.best_match(ACCEPTED) if accept else None) or ACCEPTED[0],
        content_type=parse_options_header(environ.get("CONTENT_TYPE", ""))[0],
        upgrade=environ.get("HTTP_UPGRADE", ""),
        connection=environ.get("HTTP_CONNECTION", ""),
        websocket_key=environ.get("HTTP_SEC_WEBSOCKET_KEY"),
        subprotocols=[name.strip() for name in offered.split(",") if name.strip()],
        key=environ.get("HTTP_COMET_KEY"),
        last_event_id=environ.get("HTTP_LAST_EVENT_ID"),
        query=query_of(environ),
    )


def query_of(environ: Environ) -> dict[str, str]:
    """Read the query, the first of each name; bytes that are not UTF-8 are no error, they are no option either."""
    return dict(reversed(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True)))


def json_response(status: int, shape: Mapping[str, Any]) -> Response:
    return Response(dumps(shape) + "\n", status, content_type="application/json")


def error_response(status: int, code: str, message: str, **details: object) -> Response:
    return json_response(status, {"error": {"code": code, "message": message, **details}})


def scripted(environ: Environ, response: Response) -> Response:
    """Turn an error into what a script tag can read: its status is always 200, and it calls the page's function."""
    callback = query_of(environ).get("callback", "")
    if environ["REQUEST_METHOD"] != "GET" or not is_callback(callback):
        return response
    shape = json.loads(response.get_data())
    shape["error"]["status"] = response.status_code
    body = dumps([shape]).encode()
    return Response(framing.script(callback, body), content_type=SCRIPT_TYPE)


def _describe(server: Server) -> dict[str, Any]:
    return {"name": server.name, "transports": list(server.transports)}


def _stream_start(asked: Asked, admission: Admission, *, padded: bool) -> bytes:
    """Write what a stream begins with, so that some bytes leave with its head: nothing less shows it in a browser."""
    if asked.transport is Transport.STREAM:
        return b" " * _PADDING_BYTES + b"\n" if padded else b""
    start = f"retry: {shapes.RETRY_MILLISECONDS}\nid: {admission.position}\n\n".encode()
    return b":" + b" " * _PADDING_BYTES + b"\n\n" + start if padded else start


def _with_new_key(asked: Asked) -> Asked:
    return dataclasses.replace(asked, key=secrets.token_urlsafe(24))


def _link(asked: Asked, environ: Environ) -> str:
    """Begin the reference to the next poll; the position comes last."""
    query = query_of(environ)
    parts: dict[str, str] = {}
    if environ.get("HTTP_COMET_KEY") is None:
        parts["key"] = asked.key or ""
    parts.update({name: query[name] for name in ("transport", "wait") if name in query})
    return f"?{urlencode(parts)}&after=" if parts else "?after="


def _joined(first: bytes, second: bytes) -> bytes:
    """Unite two JSON arrays that were written apart."""
    return second if first == b"[]" else first[:-1] + b"," + second[1:]
