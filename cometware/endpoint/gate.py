"""Which pages may use the channel: what `core.origin` decides, and how the others are told."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from cometware.client import Environ
from cometware.core.origin import ANY, OPAQUE, Verdict, advice, check_allowed_origins, is_same_host, judge
from cometware.core.text import shown
from cometware.endpoint.answers import error_response
from cometware.endpoint.site import Site
from cometware.response import Response
from cometware.transports.report import tell

DOUBTFUL = "cometware.doubtful"
"""In a WSGI environ: `Verdict.doubtful`. No header can put it there."""

_CERTIFICATES = frozenset(
    {"SSL_CLIENT_CERT", "SSL_CLIENT_S_DN", "HTTPS_DN", "HTTP_CLIENT_CERT", "HTTP_SSL_CLIENT_CERT", "HTTP_SSL_CLIENT_S_DN"}
    | {"HTTP_X_CLIENT_CERT", "HTTP_X_SSL_CERT", "HTTP_X_SSL_CLIENT_CERT", "HTTP_X_SSL_CLIENT_DN", "HTTP_X_SSL_CLIENT_S_DN"}
    | {"HTTP_X_CLIENT_DN", "HTTP_X_FORWARDED_CLIENT_CERT", "HTTP_X_FORWARDED_TLS_CLIENT_CERT"}
)
_USERS = frozenset(
    {"REMOTE_USER", "HTTP_REMOTE_USER", "HTTP_X_REMOTE_USER", "HTTP_X_FORWARDED_USER", "HTTP_X_AUTH_REQUEST_USER"}
)
"""What a server or a proxy says of who it found to be logged in."""
_CREDENTIALS = frozenset({"HTTP_COOKIE", "HTTP_AUTHORIZATION"}) | _CERTIFICATES | _USERS
_NO_VALUE = ("", "-", "(null)", "NONE")

_FORM_TYPES = ("", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data")
"""What a form sends, or may be taken for it."""
_ASKED_FOR = ("", "application/json", "application/x-ndjson", "text/event-stream")
"""What no image, script or frame says that it accepts. (An old browser's always say something.)"""
PROOFS = "Comet-Key, or Content-Type: application/json, or Authorization: Bearer …"


class Gate:
    """Judges the requests of one `Cometware` in front of `app`.

    Raises:
        ValueError: An allowed origin is none, or a host.
    """

    def __init__(self, app: Any, allowed_origins: Collection[str], hosts: Collection[str] | None) -> None:
        self.allowed_origins = check_allowed_origins(allowed_origins)
        self._site = Site(app, hosts)

    @property
    def frame_ancestors(self) -> list[str]:
        """Return the allowed origins that may frame a page: a wildcard of CSP would take more than one label."""
        return sorted(origin for origin in self.allowed_origins - OPAQUE if ANY not in origin)

    def judge(self, environ: Environ, *, script: bool = False, listens: bool) -> Verdict:
        """Decide whether the page that sent this may use the channel.

        `script`: a page's script tags or forms do send such. `listens`: it says nothing.
        """
        host, setting = self._site.host_of(environ)
        if setting:
            return Verdict(False, got=host, setting=setting)
        origin, fetch_site = environ.get("HTTP_ORIGIN"), environ.get("HTTP_SEC_FETCH_SITE")
        has_credentials = origin is None and fetch_site is None and _has_credentials(environ)
        proves = has_credentials and _proves(environ, listens=listens)
        verdict = judge(
            origin=origin,
            host=host,
            fetch_site=fetch_site,
            referer=environ.get("HTTP_REFERER"),
            has_credentials=has_credentials,
            allowed_origins=self.allowed_origins,
            script=script,
            listens=listens,
            proves=proves,
        )
        if verdict.doubtful:
            environ[DOUBTFUL] = True
        return verdict

    def refuse(self, verdict: Verdict, environ: Environ) -> Response:
        """Say what was got, what was expected, and what to change; the same in the log."""
        if verdict.setting != "allowed_origins":
            return _refuse_host(verdict)
        got, expected = shown(verdict.got), shown(self._site.host_of(environ)[0])
        text = f"this page may not use the channel: got {got}, expected the host {expected}. "
        setting = advice(verdict.got)
        if setting:
            text += f"If the page is yours, name it: Cometware(…, {setting}){_but(setting)}. "
        text += "If it is on the same site, your proxy changes the Host header: "
        told = environ.get("HTTP_X_FORWARDED_HOST", "")
        if any(is_same_host(verdict.got, host.strip()) for host in told.split(",")):
            text += "it says what it was in X-Forwarded-Host, which the channel does not believe: "
            text += self._site.believe() + "; or "
        text += "in nginx, proxy_set_header Host $http_host"
        tell("403 origin", f"403 origin: {text}")
        response = error_response(403, "origin", text, got=got, expected=expected, setting="allowed_origins")
        response.headers["Vary"] = "Origin"
        return response


def _but(setting: str) -> str:
    return (
        ", which serves everybody's pages, without cookies"
        if ANY in setting or '"null"' in setting or "file:" in setting
        else ""
    )


def _refuse_host(verdict: Verdict) -> Response:
    got = shown(verdict.got)
    text = (
        f"this site has no such name: got the host {got}, which is not in {verdict.setting}. If it is yours, add it there"
        + (": Cometware(…, hosts=[…])" if verdict.setting == "hosts" else ", or name all: Cometware(…, hosts=[…])")
        + ". If your proxy changes the Host header: in nginx, proxy_set_header Host $http_host"
    )
    tell("400 host", f"400 host: {text}")
    return error_response(400, "host", text, got=got, setting=verdict.setting)


def doubted() -> Response:
    """Refuse to take somebody's word on the strength of credentials that a foreign page's form would bring as well."""
    text = (
        "nothing shows which page sent this, and its credentials would come along with a foreign page's form, too. Add a "
        f"header that no form can set ({PROOFS}), or Origin; or show the key of a client that is open for this user already"
    )
    tell("403 proof", f"403 proof: {text}")
    return error_response(403, "proof", text, expected=PROOFS)


def without_credentials(environ: Environ) -> Environ:
    """Return the same request as a stranger would send it."""
    return {key: value for key, value in environ.items() if key not in _CREDENTIALS}


def is_doubtful(environ: Mapping[str, Any]) -> bool:
    """Was this found doubtful (`Verdict`)?"""
    return DOUBTFUL in environ


def _has_credentials(environ: Environ) -> bool:
    """Does this bear anything that a browser adds by itself? A Bearer it does not."""
    for name in _CREDENTIALS.intersection(environ):
        value = str(environ[name])
        if value not in _NO_VALUE and not (name == "HTTP_AUTHORIZATION" and _is_bearer(value)):
            return True
    return False


def _is_bearer(authorization: str) -> bool:
    return authorization[:7].lower() == "bearer "


def _proves(environ: Environ, *, listens: bool) -> bool:
    """Is there something that no foreign page's form, image or script sends?"""
    if "HTTP_COMET_KEY" in environ or _is_bearer(environ.get("HTTP_AUTHORIZATION", "")):
        return True
    kind = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    if environ["REQUEST_METHOD"] != "GET":
        return kind not in _FORM_TYPES or (listens and not kind)
    return environ.get("HTTP_ACCEPT", "").strip().lower() in _ASKED_FOR or "HTTP_SEC_WEBSOCKET_KEY" in environ
