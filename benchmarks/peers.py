"""What people use today, doing the same: `python -m benchmarks.peers NAME` serves one on a free port.

Imports stand in the functions here: gevent must patch the standard library before anybody else imports it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any


def flask_socketio() -> Any:
    """Flask-SocketIO on gevent, with gevent-websocket."""
    from flask_socketio import SocketIO, send

    from benchmarks.apps import make

    app = make()
    socketio = SocketIO(app, async_mode="gevent")

    @socketio.on("message")
    def said(data: str) -> None:
        send(data, broadcast=not data.startswith("E"))

    return app


def by_hand() -> Any:
    """What one writes without a library: gevent-websocket in a loop, and a generator with a queue for each event stream."""
    from flask import Response, request
    from gevent.queue import Queue

    from benchmarks.apps import make

    app = make()
    websockets: set[Any] = set()
    queues: set[Any] = set()

    @app.route("/ws", websocket=True)
    def talk() -> Response:
        websocket = request.environ["wsgi.websocket"]
        websockets.add(websocket)
        try:
            while (data := websocket.receive()) is not None:
                if data.startswith("E"):
                    websocket.send(data)
                    continue
                for other in list(websockets):
                    other.send(data)
                for queue in list(queues):
                    queue.put(data)
        finally:
            websockets.discard(websocket)
        return Response()

    @app.get("/sse")
    def listen() -> Response:
        queue = Queue()
        queues.add(queue)

        def events() -> Iterator[str]:
            yield ":\n\n"
            try:
                while True:
                    yield f"data: {queue.get()}\n\n"
            finally:
                queues.discard(queue)

        return Response(events(), mimetype="text/event-stream")

    return app


def python_socketio(url: str) -> Any:
    """One of several processes that share their clients through its Redis manager."""
    import socketio

    from benchmarks.apps import make, moment

    server = socketio.Server(async_mode="gevent", client_manager=socketio.RedisManager(url))

    @server.on("message")
    def asked(sid: str, data: str) -> None:
        server.send(moment())

    return socketio.WSGIApp(server, make())


APPLICATIONS: dict[str, Callable[..., Any]] = {
    "flask-socketio": flask_socketio,
    "by-hand": by_hand,
    "python-socketio": python_socketio,
}


def main(name: str, *arguments: str) -> None:
    """Serve a peer on gevent's pywsgi with gevent-websocket's own handler."""
    from gevent import monkey

    monkey.patch_all()
    from gevent.pywsgi import WSGIServer
    from geventwebsocket.handler import WebSocketHandler

    server = WSGIServer(
        ("127.0.0.1", 0), APPLICATIONS[name](*arguments), handler_class=WebSocketHandler, log=None, backlog=1024
    )
    server.start()
    print(f"{name} on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
