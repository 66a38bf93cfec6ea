"""`python -m tests.contract.servers.launch KIND`: serve the test's application by a server that has no command of its own."""

from __future__ import annotations

import importlib
import sys
import warnings
from typing import Any


def main(kind: str, application: str = "tests.live.app:app", pem: str = "") -> None:
    if kind in ("pywsgi", "geventwebsocket"):
        from gevent import monkey

        monkey.patch_all()
    module, _, name = application.partition(":")
    app = getattr(importlib.import_module(module), name)
    server: Any = globals()[kind](app, certfile=pem, keyfile=pem) if pem else globals()[kind](app)
    if kind == "cheroot":
        server.prepare()
        print(f"{kind} on http://127.0.0.1:{server.bind_addr[1]}", flush=True)  # noqa: T201
        server.serve()
        return
    if hasattr(server, "start"):
        server.start()
    print(f"{kind} on http{'s' if pem else ''}://127.0.0.1:{server.server_port}", flush=True)  # noqa: T201
    server.serve_forever()


def pywsgi(app: Any, **tls: Any) -> Any:
    from gevent.pywsgi import WSGIServer

    return WSGIServer(("127.0.0.1", 0), app, log=None, **tls)


def geventwebsocket(app: Any) -> Any:
    from gevent.pywsgi import WSGIServer
    from geventwebsocket.handler import WebSocketHandler

    return WSGIServer(("127.0.0.1", 0), app, handler_class=WebSocketHandler, log=None)


def cheroot(app: Any) -> Any:
    from cheroot.wsgi import Server

    return Server(("127.0.0.1", 0), app, numthreads=8)


def wsgiref(app: Any) -> Any:
    from wsgiref.simple_server import make_server

    return make_server("127.0.0.1", 0, app)


if __name__ == "__main__":
    warnings.simplefilter("error", ResourceWarning)
    main(*sys.argv[1:])
