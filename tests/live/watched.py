"""The application of `app`, with views that look into its worker and press it where a review found that it gave way."""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify, request

from cometware.transports.worker import Worker
from tests.live.app import app, channel

middleware: Any = app.wsgi_app
own_turn = Worker.turn
FLOOD_ENTRIES = 150


def flooding_turn(worker: Worker) -> None:
    """Publish between two rounds, so that the rounds do not end; and let others run, as a thousand listeners would."""
    channel.publish("flood")
    worker.dispatcher._pause()
    own_turn(worker)


@app.get("/watch")
def watch() -> Response:
    """Show what the worker holds."""
    worker: Worker = middleware._endpoint._worker
    listeners = [one for group in worker.dispatcher._everyone.values() for one in group]
    records = list(worker.roster)
    connections: list[Any] = [one for record in records for one in record.connections]
    return jsonify(
        {
            "listeners": len(listeners),
            "dead listeners": sum(one.closed for one in listeners),
            "clients": len(records),
            "clients alone": sum(record.key is None and not record.connections for record in records),
            "plans": len(worker.polls._plans),
            "early requests": sum(bool(getattr(one, "early", b"")) for one in connections),
            "early messages": {record.id: sum(map(len, (record.early or {}).values())) for record in records},
            "parts": [len(one.parts) for one in connections if getattr(one, "parts", None)],
            "tick": worker.wheel.tick,
            "away": {record.id: record.away_tick for record in records},
        }
    )


@app.post("/flood_after/<method>")
def flood_after(method: str) -> Response:
    """Call a method of the channel, and publish more than the log remembers before anybody has seen it."""
    getattr(channel, method)(**request.get_json())
    for number in range(FLOOD_ENTRIES):
        channel.publish(number, to="room:nobody")
    return jsonify(None)


@app.post("/steady_flood/<state>")
def steady_flood(state: str) -> Response:
    Worker.turn = flooding_turn if state == "on" else own_turn  # type: ignore[method-assign]
    return jsonify(channel.publish("flood") is not None)
