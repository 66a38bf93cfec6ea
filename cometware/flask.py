"""Flask's login, for `Cometware(…, user=…)`. (Use `around=app.app_context` for handlers.)"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flask import Flask


def user(app: Flask, name: str = "user") -> Callable[[dict[str, Any]], str | None]:
    """Return a function that finds who is logged in: the value `name` of the Flask session, None if there is none.

    Flask-Login keeps its user in `_user_id`: `user(app, "_user_id")`.
    """

    def find(environ: dict[str, Any]) -> str | None:
        session = app.session_interface.open_session(app, app.request_class(environ))
        value = None if session is None else session.get(name)
        return None if value is None else str(value)

    return find
