"""`python -m tests.contract.servers.launch KIND`: serve the test's application by a server that has no command of its own."""

from __future__ import annotations

import importlib
import sys
import warnings
from typing import Any


def main(kind: str) -> None:
    if kind in ("pywsgi", "geventwebsocket"):
        from gevent import monkey

        monkey.patch_all()
    app = importlib.import_module("tests.live.app").app
    server: Any = globals()[kind](app)
    if hasattr(server, "start"):
        server.start()
    print(f"{kind} on http://127.0.0.1:{server.server_port}", flush=True)  # noqa: T201
    server.serve_forever()


def pywsgi(app: Any) -> Any:
    from gevent.pywsgi import WSGIServer

    return WSGIServer(("127.0.0.1", 0), app, log=None)


def geventwebsocket(app: Any) -> Any:
    from gevent.pywsgi import WSGIServer
    from geventwebsocket.handler import WebSocketHandler

    return WSGIServer(("127.0.0.1", 0), app, handler_class=WebSocketHandler, log=None)


def wsgiref(app: Any) -> Any:
    from wsgiref.simple_server import make_server

    return make_server("127.0.0.1", 0, app)


if __name__ == "__main__":
    warnings.simplefilter("error", ResourceWarning)
    main(sys.argv[1])
