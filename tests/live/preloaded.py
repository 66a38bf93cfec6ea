"""The same application, whose channel is used while it is loaded: with `--preload` that is before the workers are forked."""

from __future__ import annotations

import os

from flask import Response, jsonify

from cometware.roster.shared import SharedRoster
from tests.live.app import app, channel

channel.publish("while loading", once="while loading")


@app.post("/worker")
def publish_worker() -> Response:
    """Publish which process this is, and the name that it has among the workers."""
    roster = channel.roster
    assert isinstance(roster, SharedRoster)
    me = [os.getpid(), roster.worker]
    channel.publish(me)
    return jsonify(me)
