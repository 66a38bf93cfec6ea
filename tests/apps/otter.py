"""An Otter Wiki (Flask, Flask-Login, Flask-WTF) as it is, with a channel in front."""

from __future__ import annotations

from typing import Any

from flask_login import user_logged_out
from otterwiki.server import app

import cometware.flask
from cometware import Channel, Cometware
from tests.apps.members import only_members

channel = only_members(Channel(around=app.app_context))
app.wsgi_app = Cometware(app.wsgi_app, channel, user=cometware.flask.user(app, "_user_id"))


@user_logged_out.connect_via(app)
def logged_out(sender: Any, user: Any) -> None:
    channel.revoke(user.get_id())
