"""For Django: `channel`, the one that settings name; the hooks' middleware; Django's login and its database connections."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cometware.channel import Channel
from cometware.core.masking import masked_url
from cometware.hooks import is_hook

if TYPE_CHECKING:
    channel: Channel
    """The channel that `settings.COMETWARE_CHANNEL` names, like "mysite.live.channel"; looked for when it is first used."""


def __getattr__(name: str) -> Any:
    if name != "channel":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from django.utils.functional import SimpleLazyObject

    return globals().setdefault("channel", SimpleLazyObject(_find_channel))


def _find_channel() -> Channel:
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured
    from django.utils.module_loading import import_string

    path = getattr(settings, "COMETWARE_CHANNEL", None)
    if path is None:
        raise ImproperlyConfigured('COMETWARE_CHANNEL is not set; expected where your Channel is, like "mysite.live.channel"')
    if "://" in str(path):
        raise ImproperlyConfigured(
            f"COMETWARE_CHANNEL = {masked_url(str(path))!r}: expected the place of your Channel, like "
            '"mysite.live.channel", and not its URL'
        )
    try:
        found = import_string(path)
    except ImportError as error:
        raise ImproperlyConfigured(f"COMETWARE_CHANNEL = {path!r}: {error}") from error
    if not isinstance(found, Channel):
        raise ImproperlyConfigured(f"COMETWARE_CHANNEL = {path!r}: expected a cometware.Channel, got {type(found).__name__}")
    return found


def hook_middleware(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """For `settings.MIDDLEWARE`, as its first, with `Cometware(hooks=…)`: the channel's own requests need no CSRF token.

    Nobody else's: they are known by an object in the environ that no header can bring. They end as every request does, also
    one whose time ran out; and leave no database connection to a greenlet that ends with them, whatever `CONN_MAX_AGE` says.
    """

    def middleware(request: Any) -> Any:
        if not is_hook(request.META):
            return get_response(request)
        request._dont_enforce_csrf_checks = True
        try:
            response = get_response(request)
        except BaseException:  # of an Exception, Django has made a response already
            from django.core.signals import request_finished

            request_finished.send(sender=middleware)
            _close_connections()
            raise
        end = response.close

        def close() -> None:
            end()
            _close_connections()

        response.close = close
        return response

    return middleware


def user(environ: dict[str, Any]) -> str | None:
    """Find who is logged in: the username of `django.contrib.auth`, by the session cookie of this request.

    Whoever is not active any more is nobody, whatever the backend says.
    """
    from django.conf import settings
    from django.contrib.auth import get_user
    from django.core.handlers.wsgi import WSGIRequest
    from django.utils.module_loading import import_string

    with around():
        request = WSGIRequest(environ)
        engine = import_string(settings.SESSION_ENGINE + ".SessionStore")
        request.session = engine(request.COOKIES.get(settings.SESSION_COOKIE_NAME))
        account = get_user(request)
        is_here = account.is_authenticated and account.is_active
        return str(account.get_username()) if is_here else None


@contextmanager
def around() -> Iterator[None]:
    """Do around a handler what Django does around a request, and leave no database connection open.

    Not even for `CONN_MAX_AGE`: what runs handlers waits for the next one, and may wait for long. A connection in a
    transaction is left alone: it is a test's own.
    """
    from django.db import connections, reset_queries

    reset_queries()
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()
    try:
        yield
    finally:
        _close_connections()


def _close_connections() -> None:
    """Close this greenlet's database connections, but for one in a transaction: that of a test."""
    from django.db import connections

    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close()
