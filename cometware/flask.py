"""For Flask: `Comet`, the extension; and Flask's login, for `Cometware(…, user=…)`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from cometware.channel import Channel
from cometware.client import Client
from cometware.middleware import Cometware

if TYPE_CHECKING:
    from flask import Flask

User = Callable[[dict[str, Any]], "str | None"]


class Comet:
    """The channel as a Flask extension: `Comet(app)`, or `comet = Comet()` and later `comet.init_app(app)`.

    `channel` is there from the beginning: handlers are registered with it, and `comet.channel.publish(…)` works in views,
    signals and threads alike. It is made of a URL, like "sqlite:///chat.db", and its handlers run in the app's context; or it
    is yours. `user` is where the session has the name of who is logged in (Flask-Login: `"_user_id"`), or a function of the
    environ that finds it. `options` are the others of `Cometware`, like `hooks="/realtime"`.
    An application finds its extension in `app.extensions["cometware"]`.

    Made for another application once more (an application factory in tests), the channel is that of the newest one.
    """

    def __init__(
        self,
        app: Flask | None = None,
        channel: Channel | str = "memory:",
        *,
        path: str = "/comet",
        user: str | User | None = "user",
        **options: Any,
    ) -> None:
        self.channel = Channel(channel, around=self._context) if isinstance(channel, str) else channel
        self._app: Flask | None = None
        self._path = path
        self._user = user
        self._options = options
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Put the channel in front of an application.

        Raises:
            ValueError: It has a channel by this extension already.
        """
        if "cometware" in app.extensions:
            raise ValueError(f"{app.name} has this extension already: {app.extensions['cometware']!r}")
        self._app = app
        app.extensions["cometware"] = self
        find = user(app, self._user) if isinstance(self._user, str) else self._user
        app.wsgi_app = Cometware(app.wsgi_app, self.channel, self._path, find, **self._options)  # type: ignore[method-assign]

    def _context(self) -> AbstractContextManager[Any]:
        if self._app is None:
            raise RuntimeError("Comet has no application yet: call comet.init_app(app)")
        return self._app.app_context()


def user(app: Flask, name: str = "user") -> User:
    """Return a function that finds who is logged in: the value `name` of the Flask session, None if there is none.

    Flask-Login keeps its user in `_user_id`: `user(app, "_user_id")`. Where the application has Flask-Login, it is asked
    itself, so that a user whom `user_loader` no longer knows, or who is not active any more, is nobody.
    """

    def find(environ: dict[str, Any]) -> str | None:
        if name == "_user_id" and hasattr(app, "login_manager"):
            with app.request_context(environ):
                return _flask_login()
        with app.app_context():
            session = app.session_interface.open_session(app, app.request_class(environ))
            value = None if session is None else session.get(name)
        return None if value is None else str(value)

    return find


def _flask_login() -> str | None:
    """Ask Flask-Login who makes this request."""
    from flask_login import current_user

    is_here = current_user.is_authenticated and current_user.is_active
    return str(current_user.get_id()) if is_here else None


def request_context(app: Flask) -> Callable[[Client], AbstractContextManager[None]]:
    """Return an `around` that gives each handler a request: `Channel(around=cometware.flask.request_context(app))`.

    It has the cookies, the host and the language of the client's newest request, so that `current_user`, `session` and
    translations are there; its method is GET and its path `/`. What a handler changes in the session is not saved.
    """

    @contextmanager
    def around(client: Client) -> Iterator[None]:
        with app.request_context(client.request_environ()):
            yield

    around.needs_request = True  # type: ignore[attr-defined]
    return around
