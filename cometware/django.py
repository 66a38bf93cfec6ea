"""Django's login and its database connections, for `Cometware(…, user=…)` and `Channel(around=…)`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def user(environ: dict[str, Any]) -> str | None:
    """Find who is logged in: the username of `django.contrib.auth`, by the session cookie of this request."""
    from django.conf import settings
    from django.contrib.auth import get_user
    from django.core.handlers.wsgi import WSGIRequest
    from django.utils.module_loading import import_string

    with around():
        request = WSGIRequest(environ)
        engine = import_string(settings.SESSION_ENGINE + ".SessionStore")
        request.session = engine(request.COOKIES.get(settings.SESSION_COOKIE_NAME))
        account = get_user(request)
        return str(account.get_username()) if account.is_authenticated else None


@contextmanager
def around() -> Iterator[None]:
    """Do around a handler what Django does around a request: leave no database connection behind that is too old."""
    from django.db import close_old_connections, reset_queries

    reset_queries()
    close_old_connections()
    try:
        yield
    finally:
        close_old_connections()
