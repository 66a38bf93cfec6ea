"""What a session that polls says: packets in the body of a POST."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import parse_qs

import gevent
from werkzeug.wrappers import Response

from cometware.client import Environ
from cometware.dialects import engineio
from cometware.dialects.engineio import BAD_REQUEST, SESSION_UNKNOWN
from cometware.endpoint.answers import query_of
from cometware.endpoint.exchange import Exchange
from cometware.endpoint.socketio.errors import BadEngineRequest, too_much
from cometware.errors import BadFrame
from cometware.transports.session import Session
from cometware.transports.upload import UploadRefused, read_body

_FULL_SECONDS = 0.02


def post(exchange: Exchange, session: Session) -> Response:
    """Handle the packets of a body."""
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
        for packet in _packets(body, environ, session.version):
            session.receive(packet)
            if session.closed:
                break
        _await_room(session, limits.answer_seconds)
    except UploadRefused as refused:
        return too_much(refused)
    except BadFrame as error:
        session.close("protocol")
        raise BadEngineRequest(BAD_REQUEST, error.message) from None
    finally:
        session.posting = False
    return Response("ok", content_type="text/html")


def _packets(body: bytes, environ: Environ, version: int) -> Iterable[engineio.Packet]:
    kind = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded" and "j" in query_of(environ):
        try:
            fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=10)
        except ValueError as error:
            raise BadFrame("form", f"expected the packets in the form field d: {error}") from None
        body = engineio.read_form(fields.get("d", [""])[0])
        return engineio.read_payload(body, version)
    if kind == engineio.BINARY_TYPE and version == 4:
        raise BadFrame("type", f"Engine.IO 4 has no {kind} bodies")
    return engineio.read_payload(body, version, binary=kind == engineio.BINARY_TYPE)


def _await_room(session: Session, seconds: float) -> None:
    """Hold the answer back while the client's messages wait for their handlers: it sends no more before."""
    with gevent.Timeout(seconds, False):
        while session.namespaces.is_full and not session.closed:
            gevent.sleep(_FULL_SECONDS)
