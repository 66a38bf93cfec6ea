"""Answers that need no session, and the headers that every answer of SockJS bears."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Collection, Iterable
from email.utils import formatdate

from cometware.client import Environ
from cometware.core.origin import Verdict
from cometware.endpoint.answers import Headers, error_response
from cometware.endpoint.exchange import Exchange
from cometware.response import Response
from cometware.transports.upload import UploadRefused, read_body

_YEAR = 31536000
NO_CACHE = ("Cache-Control", "no-store, no-cache, no-transform, must-revalidate, max-age=0")
TEXT = "text/plain; charset=UTF-8"
_HTML = "text/html; charset=UTF-8"
_SAID_AGAIN = 1000
"""Characters of a stranger's header that are said again: answers keep it while they wait."""
_COOKIE = re.compile(r"(?:^|;\s*)JSESSIONID=(?P<value>[!#-+\--:<-\[\]-~]{1,256})\s*(?:;|\Z)")
_EMPTY_BODY_BYTES = 65536


def respond(exchange: Exchange, response: Response) -> Iterable[bytes]:
    """Give an answer of a session, or the one to `/info`."""
    response.headers.extend([NO_CACHE, *exchange.cors])
    return response(exchange.environ, exchange.start_response)


def drain_body(exchange: Exchange) -> bool:
    """Read away the body of a request that needs none. Is all of it read?"""
    try:
        read_body(exchange.environ, _EMPTY_BODY_BYTES, exchange.worker.limits.body_seconds)
    except UploadRefused:
        return False
    return True


def only(method: str, environ: Environ, response: Response) -> Response:
    """Give this answer to this method alone."""
    return response if environ["REQUEST_METHOD"] in (method, "HEAD") else not_allowed((method,))


def not_allowed(methods: Iterable[str]) -> Response:
    """Say by which methods this may be asked."""
    response = Response(status=405)
    response.headers["Allow"] = ", ".join(methods)
    del response.headers["Content-Type"]
    return response


def options(methods: Iterable[str], headers: Headers) -> Response:
    """Answer a browser's question before it asks itself; it may remember that for a year."""
    response = Response(status=204)
    del response.headers["Content-Type"]
    response.headers["Cache-Control"] = f"public, max-age={_YEAR}"
    response.headers["Expires"] = formatdate(time.time() + _YEAR, usegmt=True)
    response.headers["Access-Control-Max-Age"] = str(_YEAR)
    response.headers["Access-Control-Allow-Methods"] = ", ".join(sorted(methods))
    response.headers.extend(headers)
    return response


def cors(verdict: Verdict, environ: Environ) -> Headers:
    """Let the page read the answer. Of a stranger's request, the cookies were not looked at."""
    headers = [("Vary", "Origin")]
    origin = environ.get("HTTP_ORIGIN")
    if origin is None:
        headers.append(("Access-Control-Allow-Origin", "*"))
    else:
        headers += [("Access-Control-Allow-Origin", origin[:_SAID_AGAIN]), ("Access-Control-Allow-Credentials", "true")]
    wanted = environ.get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS")
    return [*headers, ("Access-Control-Allow-Headers", wanted[:_SAID_AGAIN])] if wanted else headers


def session_cookie(environ: Environ) -> str:
    """Return the JSESSIONID that the client has, if it is fit to be said again."""
    found = _COOKIE.search(environ.get("HTTP_COOKIE", ""))
    return found["value"] if found is not None else "dummy"


def iframe(page: bytes, ancestors: Collection[str], environ: Environ) -> Response:
    """Give the page that lets a page of another origin use this one's: only those that are allowed to, may frame it."""
    if not page:
        return error_response(404, "script", "iframe transports are off; Cometware(sockjs_script=…) is the URL of the client")
    response = Response(page, content_type=_HTML)
    response.headers["Content-Security-Policy"] = " ".join(["frame-ancestors", "'self'", *ancestors])
    response.headers["Cache-Control"] = f"public, max-age={_YEAR}"
    response.headers["Expires"] = formatdate(time.time() + _YEAR, usegmt=True)
    response.set_etag(hashlib.sha256(page).hexdigest()[:32])
    response.make_conditional(environ)
    if response.status_code == 304:
        response.headers.remove("Content-Type")
    return response
