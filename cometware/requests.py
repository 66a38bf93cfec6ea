"""What of a client's newest request is kept, for the application's code that runs later, and the request made of it."""

from __future__ import annotations

import io
import sys
from weakref import WeakValueDictionary

from cometware.client import Environ
from cometware.roster.base import Record

_SITE = (
    "wsgi.url_scheme",
    "SCRIPT_NAME",
    "SERVER_NAME",
    "SERVER_PORT",
    "HTTP_HOST",
    "HTTP_ACCEPT_LANGUAGE",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_X_FORWARDED_PORT",
    "HTTP_X_FORWARDED_PREFIX",
    "HTTP_X_FORWARDED_PROTO",
    "HTTP_X_FORWARDED_PROTOCOL",
    "HTTP_X_FORWARDED_SSL",
    "HTTP_X_SCHEME",
)
"""What tells an application where it is, by a proxy's word too, and in which language it is asked."""


class _Site:
    """Where the application is for some of its clients: the entries of `_SITE` in their requests."""

    __slots__ = ("__weakref__", "entries")

    def __init__(self, entries: tuple[tuple[str, str], ...]) -> None:
        self.entries = entries


class KeptRequests:
    """Keeps each client's cookies, and the site that it came to; equal ones are one object, however many clients have them."""

    def __init__(self) -> None:
        self._sites: WeakValueDictionary[tuple[tuple[str, str], ...], _Site] = WeakValueDictionary()

    def remember(self, record: Record, environ: Environ) -> None:
        """Keep what this request says, in the place of what the last one said."""
        cookie = environ.get("HTTP_COOKIE")
        record.cookie = None if cookie is None else sys.intern(str(cookie))
        entries = tuple((name, environ[name]) for name in _SITE if name in environ)
        site = self._sites.get(entries)
        if site is None:
            site = self._sites[entries] = _Site(entries)
        record.site = site

    def request_of(self, environ: Environ) -> dict[str, str]:
        """Return all that `remember` needs of an environ."""
        return {name: environ[name] for name in ("HTTP_COOKIE", *_SITE) if name in environ}

    def environ_of(self, record: Record, method: str = "GET", path: str = "/", body: bytes = b"") -> Environ:
        """Return the environ of a request that this client might make now (PEP 3333)."""
        environ: Environ = {
            "SCRIPT_NAME": "",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "wsgi.url_scheme": "http",
            **dict(record.site.entries if record.site is not None else ()),
            "REQUEST_METHOD": method,
            "PATH_INFO": path.encode().decode("latin-1"),
            "QUERY_STRING": "",
            "CONTENT_TYPE": "application/json" if body else "",
            "CONTENT_LENGTH": str(len(body)),
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "",
            "HTTP_ACCEPT": "application/json",
            "wsgi.version": (1, 0),
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
        }
        if record.cookie is not None:
            environ["HTTP_COOKIE"] = record.cookie
        return environ
