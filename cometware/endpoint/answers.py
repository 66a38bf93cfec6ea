"""Ordinary HTTP answers of the channel's URL: JSON, errors, and the headers that all of them bear."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any, TypeAlias
from urllib.parse import unquote_plus

from cometware.client import Environ
from cometware.core import framing
from cometware.core.data import dumps
from cometware.core.events import FORBIDDEN, LATER, UNAUTHORISED, Close
from cometware.core.negotiation import is_callback
from cometware.errors import Refused, TooFast
from cometware.response import NOSNIFF, Response
from cometware.transports.inbox import refusal
from cometware.transports.poll import SCRIPT_TYPE

_QUERIES = 16
"""Queries that are remembered: of one request, several ask for it."""

Headers: TypeAlias = list[tuple[str, str]]

BASE_HEADERS: Headers = [
    ("Cache-Control", "no-cache, no-store, no-transform, must-revalidate"),
    NOSNIFF,
    ("Referrer-Policy", "no-referrer"),
    ("Vary", "Origin"),
]


def query_of(environ: Environ) -> Mapping[str, str]:
    """Read the query, the first of each name; bytes that are not UTF-8 are no error, they are no option either."""
    return _query(environ.get("QUERY_STRING", ""))


def is_repeated(environ: Environ, name: str) -> bool:
    """Is there more than one of this name in the query?"""
    return [found for found, _ in _pairs(environ.get("QUERY_STRING", ""))].count(name) > 1


@lru_cache(_QUERIES)
def _query(query: str) -> Mapping[str, str]:
    return MappingProxyType(dict(reversed(_pairs(query))))


@lru_cache(_QUERIES)
def _pairs(query: str) -> Sequence[tuple[str, str]]:
    """Read as `urllib.parse.parse_qsl` does, at a tenth of its price for each name: strangers send thousands."""
    pairs = [part.partition("=") for part in query.split("&") if part]
    return tuple((_unquoted(name), _unquoted(value)) for name, _, value in pairs)


def _unquoted(text: str) -> str:
    return unquote_plus(text) if "+" in text or ("%" in text and len(text) > 2) else text


def json_response(status: int, shape: Mapping[str, Any] | Sequence[Any]) -> Response:
    return Response(dumps(shape) + "\n", status, content_type="application/json")


def nothing() -> Response:
    """Say that there is nothing to say; the type of nothing is not told (RFC 9110 §8.3)."""
    response = Response(status=204)
    del response.headers["Content-Type"]
    return response


def error_response(status: int, code: str, message: str, **details: object) -> Response:
    return json_response(status, {"error": {"code": code, "message": message, **details}})


def refused_response(refused: Refused, *, as_json: bool) -> Response:
    """Answer as the application did, if it gave a body; else, and to a script, in JSON why."""
    if refused.body and not as_json:
        return Response(refused.body, refused.status, content_type=refused.content_type)
    details = refusal(refused)
    del details["status"]
    response = json_response(refused.status, {"error": details})
    if isinstance(refused, TooFast):
        ask_to_wait(response, refused.wait_seconds)
    return response


def close_of(refused: Refused) -> Close:
    """Say the same by a close code, to whom no status can be told any more."""
    code = {401: UNAUTHORISED, 429: LATER, 503: LATER}.get(refused.status, FORBIDDEN)
    return Close(code, refused.reason)


def ask_to_wait(response: Response, seconds: float) -> None:
    """Say when to come back, in whole seconds (RFC 9110 §10.2.3)."""
    response.headers["Retry-After"] = str(math.ceil(seconds))


def scripted(environ: Environ, response: Response) -> Response:
    """Turn an error into what a script tag can read: its status is always 200, and it calls the page's function."""
    callback = query_of(environ).get("callback", "")
    if environ["REQUEST_METHOD"] != "GET" or not is_callback(callback):
        return response
    shape = json.loads(response.get_data())
    shape["error"]["status"] = response.status_code
    body = dumps([shape]).encode()
    return Response(framing.script(callback, body), content_type=SCRIPT_TYPE)
