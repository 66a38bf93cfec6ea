"""What the application itself knows of where it is: which hosts it answers to, and which proxy it believes.

Rule: nothing is believed here that the application does not believe itself. A `ProxyFix` inside of `Cometware`, or Django's
`USE_X_FORWARDED_HOST`, is the operator's word that a proxy writes `X-Forwarded-Host`, and no stranger.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Collection, Iterator
from copy import copy
from functools import lru_cache, partial
from types import FunctionType, MethodType
from typing import Any, NamedTuple

from werkzeug.middleware.proxy_fix import ProxyFix

from cometware.client import Environ
from cometware.core.host import check_hosts, is_among

_MOST = 100
"""Objects that are looked at in search of the application."""
_DEBUG_HOSTS = (".localhost", "127.0.0.1", "[::1]")
_HOSTS = 128
_HOST_CHARACTERS = 300
"""Hosts whose answer is remembered."""
_OUTSIDE = "put ProxyFix around it, the outermost: app.wsgi_app = ProxyFix(app.wsgi_app, x_host=1) behind Comet(app)"


class Found(NamedTuple):
    """What is in an application: the ProxyFixes around it, the outermost first; Flask's application, or Django's settings."""

    proxies: tuple[ProxyFix, ...] = ()
    flask: Any = None
    django: Any = None


class Site:
    """Where an application is. `hosts` are those that `Cometware` was given; without any, the application's own list counts.

    Raises:
        ValueError: A host is none.
    """

    def __init__(self, app: Any, hosts: Collection[str] | None) -> None:
        self._app = app
        self._hosts = None if hosts is None else check_hosts(hosts)
        self._found: Found | None = None
        self._is_plain = False

    def host_of(self, environ: Environ) -> tuple[str, str]:
        """Return the host that the application will see, and the name of the list that should have it and has not."""
        if self._is_plain:
            return environ.get("HTTP_HOST") or environ.get("SERVER_NAME", ""), ""
        found = self._look()
        host = _host_of(environ, found)
        name, hosts = self._list(found)
        return host, "" if hosts is None or _is_among(host, hosts) else name

    def believe(self) -> str:
        """Say how to have `X-Forwarded-Host` believed, which nothing believes so far."""
        found = self._look()
        if found.proxies:
            return "the ProxyFix in your application has x_host=0: ProxyFix(…, x_host=1)"
        if found.django is not None:
            return "USE_X_FORWARDED_HOST = True in Django's settings"
        return f"if only your proxy can write it: Cometware does not see a ProxyFix in the application, so {_OUTSIDE}"

    def _list(self, found: Found) -> tuple[str, tuple[str, ...] | None]:
        flask, django = found.flask, found.django
        if self._hosts is not None:
            return "hosts", self._hosts
        if flask is not None:
            trusted = flask.config.get("TRUSTED_HOSTS") or flask.request_class.trusted_hosts
            name = flask.config.get("SERVER_NAME")
            if trusted:
                return "TRUSTED_HOSTS", tuple(trusted)
            return "SERVER_NAME", None if not name else _of_server_name(name)
        if django is not None:
            return "ALLOWED_HOSTS", tuple(django.ALLOWED_HOSTS) or (_DEBUG_HOSTS if django.DEBUG else None)
        return "", None

    def _look(self) -> Found:
        """Find what is in the application, once, at the first request: then it is complete."""
        if self._found is None:
            self._found = _look(self._app)
            self._is_plain = self._hosts is None and self._found == Found()
        return self._found


_among = lru_cache(_HOSTS)(is_among)


def _is_among(host: str, hosts: tuple[str, ...]) -> bool:
    """The same, remembered; what is longer than a name can be (RFC 1035 §2.3.4) is none of them."""
    return len(host) <= _HOST_CHARACTERS and _among(host, hosts)


@lru_cache(8)
def _of_server_name(name: str) -> tuple[str, ...]:
    """Flask's SERVER_NAME is where the application is, with its subdomains; ports are the server's affair."""
    host = name if name.endswith("]") else name.rpartition(":")[0] or name
    return (host, "." + host)


def _behind(proxy: ProxyFix, environ: Environ) -> Environ:
    """Return the environ that this proxy's fix hands on."""
    seen: list[Environ] = []
    fix = copy(proxy)

    def see(environ: Environ, _: Any) -> list[bytes]:
        seen.append(environ)
        return []

    fix.app = see
    fix(dict(environ), lambda *_: print)
    return seen[0]


def _host_of(environ: Environ, found: Found) -> str:
    for proxy in found.proxies:
        environ = _behind(proxy, environ)
    if found.django is not None and found.django.USE_X_FORWARDED_HOST and environ.get("HTTP_X_FORWARDED_HOST"):
        return str(environ["HTTP_X_FORWARDED_HOST"])
    return str(environ.get("HTTP_HOST") or environ.get("SERVER_NAME", ""))


def _look(app: Any) -> Found:
    """Go through an application and the callables that it holds, whatever its wrappers call them."""
    proxies: list[ProxyFix] = []
    frameworks: list[Any] = [None, None]
    waiting, seen = deque([app]), {id(app)}
    while waiting and len(seen) <= _MOST:
        outer = waiting.popleft()
        kind = _framework(outer)
        if isinstance(outer, ProxyFix):
            proxies.append(outer)
        elif kind is not None:
            frameworks[kind] = frameworks[kind] or outer
        for inner in _held(outer) if kind is None else [getattr(outer, "__dict__", {}).get("wsgi_app")]:
            if callable(inner) and not isinstance(inner, type) and id(inner) not in seen:
                seen.add(id(inner))
                waiting.append(inner)
    flask, django = frameworks
    return Found(tuple(proxies), flask, None if django is None or flask is not None else sys.modules["django.conf"].settings)


def _framework(app: Any) -> int | None:
    """Is this a Flask application (0), or Django's handler (1)?"""
    flask, handlers = sys.modules.get("flask"), sys.modules.get("django.core.handlers.wsgi")
    if flask is not None and isinstance(app, flask.Flask):
        return 0
    return 1 if handlers is not None and isinstance(app, handlers.WSGIHandler) else None


def _held(outer: Any) -> Iterator[Any]:
    if isinstance(outer, MethodType):
        yield outer.__self__
    elif isinstance(outer, partial):
        yield from (outer.func, *outer.args, *outer.keywords.values())
    elif isinstance(outer, FunctionType):
        for cell in outer.__closure__ or ():
            try:
                yield cell.cell_contents
            except ValueError:  # it is empty
                continue
    yield from getattr(outer, "__dict__", {}).values()
