"""Which pages may use the channel: what `core.origin` decides, and how the others are told."""

from __future__ import annotations

import logging
from collections.abc import Collection

from werkzeug.wrappers import Response

from cometware.client import Environ
from cometware.core.origin import Verdict, check_allowed_origins, judge
from cometware.core.text import shown
from cometware.endpoint.answers import error_response

logger = logging.getLogger("cometware")

_CREDENTIALS = frozenset({"HTTP_COOKIE", "HTTP_AUTHORIZATION", "REMOTE_USER"})


class Gate:
    """Judges the requests of one `Cometware`.

    Raises:
        ValueError: An allowed origin is none.
    """

    def __init__(self, allowed_origins: Collection[str]) -> None:
        self.allowed_origins = check_allowed_origins(allowed_origins)

    def judge(self, environ: Environ, *, script: bool) -> Verdict:
        """Decide whether the page that sent this may use the channel. `script`: a script tag may have sent it."""
        return judge(
            origin=environ.get("HTTP_ORIGIN"),
            host=_host(environ),
            fetch_site=environ.get("HTTP_SEC_FETCH_SITE"),
            referer=environ.get("HTTP_REFERER"),
            has_cookie="HTTP_COOKIE" in environ,
            allowed_origins=self.allowed_origins,
            script=script,
        )


def refuse(verdict: Verdict, environ: Environ) -> Response:
    """Say what was got, what was expected, and what to change; the same in the log."""
    got, expected = shown(verdict.got), shown(_host(environ))
    message = (
        f"this page may not use the channel: got {got}, expected the host {expected}. If the page is yours, name it: "
        f'Cometware(…, allowed_origins=["{got}"]). If it is on the same site, your proxy changes the Host header: '
        "in nginx, proxy_set_header Host $http_host"
    )
    logger.warning("403 origin: %s", message)
    response = error_response(403, "origin", message, got=got, expected=expected, setting="allowed_origins")
    response.headers["Vary"] = "Origin"
    return response


def without_credentials(environ: Environ) -> Environ:
    """Return the same request as a stranger would send it."""
    return {key: value for key, value in environ.items() if key not in _CREDENTIALS}


def _host(environ: Environ) -> str:
    return str(environ.get("HTTP_HOST") or environ.get("SERVER_NAME", ""))
