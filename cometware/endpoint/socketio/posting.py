"""What a session that polls says: packets in the body of a POST."""

from __future__ import annotations

import gevent

from cometware.client import Environ
from cometware.core.forms import field
from cometware.dialects import engineio
from cometware.dialects.engineio import BAD_REQUEST, SESSION_UNKNOWN
from cometware.endpoint.answers import query_of
from cometware.endpoint.exchange import Exchange
from cometware.endpoint.socketio.errors import BadEngineRequest, error_response, too_much
from cometware.errors import BadFrame
from cometware.response import Response
from cometware.transports.session import Session
from cometware.transports.turns import in_turns, turns_here
from cometware.transports.upload import UploadRefused, read_body

_FULL_SECONDS = 0.02


def post(exchange: Exchange, session: Session) -> Response:
    """Take the packets of a body; they are with their handlers before the answer is written."""
    environ, limits = exchange.environ, exchange.worker.limits
    if session.posting:
        session.close("protocol")
        raise BadEngineRequest(BAD_REQUEST, "another POST of this session is under way")
    session.posting = session.heard = True
    try:
        body = read_body(environ, limits.max_message_bytes, limits.body_seconds)
        if session.closed:
            raise BadEngineRequest(SESSION_UNKNOWN)
        payload = in_turns(len(body), _payload, body, environ, session.version, limits.max_waiting_messages)
        if not _await_room(session, payload.count, limits.answer_seconds):
            return error_response(BAD_REQUEST, "too many messages wait for their handlers; nothing of this was taken", 429)
        in_turns(len(body), _receive, session, payload)
        _await_room(session, 1, limits.answer_seconds)  # it sends no more before it is answered
    except UploadRefused as refused:
        return too_much(refused)
    except BadFrame as error:
        if error.code == "many":
            return error_response(BAD_REQUEST, error.message, 413)
        session.close("protocol")
        raise BadEngineRequest(BAD_REQUEST, error.message) from None
    finally:
        session.posting = False
    return Response("ok", content_type="text/html")


def _receive(session: Session, payload: engineio.Payload) -> None:
    turns = turns_here()
    for index, packet in enumerate(payload):
        if index:
            turns.pace()
        if session.closed:
            break
        session.receive(packet)


def _payload(body: bytes, environ: Environ, version: int, most: int) -> engineio.Payload:
    kind = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded" and "j" in query_of(environ):
        try:
            value = field(body.decode("utf-8", "replace"), "d")
        except ValueError as error:
            raise BadFrame("form", f"expected the packets in the form field d: {error}") from None
        body = engineio.read_form(value or "")
        return engineio.Payload(body, version, most=most)
    if kind == engineio.BINARY_TYPE and version == 4:
        raise BadFrame("type", f"Engine.IO 4 has no {kind} bodies")
    return engineio.Payload(body, version, binary=kind == engineio.BINARY_TYPE, most=most)


def _await_room(session: Session, count: int, seconds: float) -> bool:
    """Wait until so many messages may wait for their handlers beside those that do. Was that in time?"""
    with gevent.Timeout(seconds, False):
        while not session.closed and not session.has_room(count):
            gevent.sleep(_FULL_SECONDS)
        return True
    return False
