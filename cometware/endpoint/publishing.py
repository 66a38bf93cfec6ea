"""`POST <path>/publish`: what has no Python publishes here. Whoever shows the token may say anything to anybody."""

from __future__ import annotations

from typing import Any

from cometware.channel import Channel
from cometware.client import Environ
from cometware.core.data import parse, untagged
from cometware.core.entry import audiences, event_name, left_out
from cometware.core.text import shown, told
from cometware.dialects.base import check_number
from cometware.endpoint.answers import error_response, json_response
from cometware.errors import BadFrame, LogUnavailable
from cometware.response import Response
from cometware.transports.report import tell
from cometware.transports.upload import UploadRefused, read_body

MEMBERS = ("data", "event", "to", "but", "once")


def publish(channel: Channel, environ: Environ) -> Response:
    """Publish the message in the body, or each of an array of them; of an array that has a mistake, none.

    Duty of the caller: the token was right.
    """
    if environ["REQUEST_METHOD"] != "POST":
        response = error_response(405, "method", f"got {environ['REQUEST_METHOD']}, expected POST")
        response.headers["Allow"] = "POST"
        return response
    limits = channel.limits
    try:
        body = parse(read_body(environ, limits.max_message_bytes, limits.body_seconds).decode())
    except UploadRefused as refused:
        status, shape, close = refused.answer
        response = json_response(status, shape)
        if close:
            response.headers["Connection"] = "close"
        return response
    except (ValueError, RecursionError) as error:
        return error_response(400, "json", f'expected JSON like {{"data": "hello"}}: {error}')
    is_array = isinstance(body, list)
    try:
        check_number(len(body) if is_array else 1, limits.max_waiting_messages)
    except BadFrame as many:
        return error_response(413, many.code, f"{many.message}; nothing was published", **many.details)
    messages: list[dict[str, Any]] = []
    for index, shape in enumerate(body if is_array else [body]):
        try:
            messages.append(_options(shape))
        except RecursionError:
            return error_response(400, "json", "nested too deeply; nothing was published")
        except ValueError as error:
            where = f"message {index}: " if is_array else ""
            return error_response(400, "shape", f"{where}{error}; nothing was published")
    return _publish(channel, messages, is_array=is_array)


def _publish(channel: Channel, messages: list[dict[str, Any]], *, is_array: bool) -> Response:
    published: list[str] = []
    try:
        for options in messages:
            published.append(str(channel.publish(**options)))
    except LogUnavailable as error:
        tell("publish", str(error))
        told = "the channel's store is not available: this message may or may not be published; with once, send it again"
        return error_response(503, "log", told, published=published)
    shapes = [{"position": position} for position in published]
    return json_response(200, shapes if is_array else shapes[0])


def _options(shape: Any) -> dict[str, Any]:
    """Return the arguments of `Channel.publish`, checked.

    Raises:
        ValueError: It is no message; says why not.
    """
    if not isinstance(shape, dict):
        raise ValueError(f'expected an object like {{"data": "hello"}}, got {told(shape, 80)}')
    unknown = [name for name in shape if name not in MEMBERS]
    if unknown:
        raise ValueError(f"expected only {', '.join(MEMBERS)}; got {shown(', '.join(unknown), 80)}")
    if "data" not in shape and "event" not in shape:
        raise ValueError("expected data, or an event")
    to, but, once = shape.get("to", "*"), shape.get("but"), shape.get("once")
    if not isinstance(to, str) and not (isinstance(to, list) and all(isinstance(one, str) for one in to)):
        raise ValueError(f"to: expected an audience or an array of them, got {told(to, 80)}")
    if not isinstance(but, str | None) and not (isinstance(but, list) and all(isinstance(one, str) for one in but)):
        raise ValueError(f"but: expected the id of a client or an array of them, got {told(but, 80)}")
    if once is not None and not (isinstance(once, str) and 0 < len(once) <= 256):
        raise ValueError(f"once: expected a key of 1 to 256 characters, got {told(once, 80)}")
    event = event_name(shape.get("event", "message"))
    return {"data": untagged(shape.get("data")), "event": event, "to": audiences(to), "but": left_out(but), "once": once}
