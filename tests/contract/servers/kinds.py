"""The servers: how each is started, and what it can carry."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from tests.live.certificate import folder, trusting
from tests.live.server import START_SECONDS, Server, serve
from tests.proxies.foreground import free_port

ALL = ("websocket", "sse", "stream", "poll")
STREAMS = ("sse", "stream", "poll")
POLLS = ("poll",)
_APP = "tests.live.app:app"
_PYTHON = (sys.executable, "-m")
_LAUNCH = (*_PYTHON, "tests.contract.servers.launch")
_GUNICORN = (*_PYTHON, "gunicorn", _APP, "--bind", "127.0.0.1:0", "--keep-alive", "60", "--graceful-timeout", "1")
_SETTINGS = ("--settings", "tests.contract.servers.runserver")
_RUNSERVER = (*_PYTHON, "django", "runserver", "127.0.0.1:0", "--noreload", "--skip-checks", *_SETTINGS)


@dataclass(frozen=True)
class Kind:
    """`held`: how many requests it holds at most, a thread each; None if connections are parked."""

    title: str
    command: tuple[str, ...]
    name: str
    transports: tuple[str, ...]
    held: int | None = None
    is_serial: bool = False
    says_101: bool = False
    tls: bool = False
    hides_client: bool = False
    """Can nobody see that a client has gone?"""

    @property
    def slug(self) -> str:
        return self.title.replace("`", "").replace(" ", "_")

    @contextmanager
    def serve(self, limits: dict[str, Any]) -> Iterator[Server]:
        """Run it for the length of the block."""
        port = str(free_port())
        pem = str(folder() / "both.pem") if self.tls else ""
        with serve(limits, command=[part.format(port=port, pem=pem) for part in self.command]) as server:
            server.tls = trusting() if self.tls else None
            if not self.tls:
                await_accepting(server.port)
            server.name, server.transports = self.name, self.transports
            server.is_serial, server.says_101 = self.is_serial, self.says_101
            yield server


def await_accepting(port: int) -> None:
    """Wait for a server that says where it listens before it does."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), START_SECONDS).close()
            return
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


OURS = Kind("`cometware serve`, `handler_class=cometware.Handler`", (), "pywsgi", ALL)
KINDS = (
    Kind(
        "`cometware serve --certfile`",
        (*_PYTHON, "cometware", "serve", _APP, "--bind", "0", "--certfile", "{pem}"),
        "pywsgi",
        ALL,
        tls=True,
    ),
    Kind("stock `gevent.pywsgi`, `certfile=`", (*_LAUNCH, "pywsgi", _APP, "{pem}"), "pywsgi", ALL, tls=True),
    Kind(
        "`gunicorn -k gevent --certfile`",
        (*_GUNICORN, "-k", "gevent", "--certfile", "{pem}"),
        "gunicorn gevent",
        ALL,
        tls=True,
    ),
    Kind("stock `gevent.pywsgi`", (*_LAUNCH, "pywsgi"), "pywsgi", ALL),
    Kind("`gevent.pywsgi` with gevent-websocket", (*_LAUNCH, "geventwebsocket"), "pywsgi", ALL, says_101=True),
    Kind("`gunicorn -k gevent`", (*_GUNICORN, "-k", "gevent"), "gunicorn gevent", ALL),
    Kind("`gunicorn -k gevent --preload`", (*_GUNICORN, "-k", "gevent", "--preload"), "gunicorn gevent", ALL),
    Kind(
        "`gunicorn -k gevent` behind a middleware that hides what it wraps",
        (*(part.replace(_APP, "tests.contract.servers.behind:app") for part in _GUNICORN), "-k", "gevent"),
        "gunicorn gevent",
        POLLS,
        held=0,
    ),
    Kind(
        "`gunicorn -k geventwebsocket…GeventWebSocketWorker`",
        (*_GUNICORN, "-k", "geventwebsocket.gunicorn.workers.GeventWebSocketWorker"),
        "pywsgi",
        ALL,
        says_101=True,
    ),
    Kind(
        "`gunicorn -k gthread --threads 8`",
        (*_GUNICORN, "-k", "gthread", "--threads", "8"),
        "gunicorn gthread",
        STREAMS,
        held=6,
    ),
    Kind("`gunicorn -k gthread`", (*_GUNICORN, "-k", "gthread"), "gunicorn gthread", POLLS, held=0, is_serial=True),
    Kind("`gunicorn` (sync)", _GUNICORN, "gunicorn sync", POLLS, held=0, is_serial=True),
    Kind(
        "Werkzeug's `flask run`",
        (*_PYTHON, "flask", "--app", _APP, "run", "--port", "0", "--no-reload"),
        f"Werkzeug/{version('werkzeug')}",
        STREAMS,
        held=100,
    ),
    Kind("Django's `runserver`", _RUNSERVER, "WSGIServer/0.2", STREAMS, held=100),
    Kind(
        "Django's `runserver --nothreading`",
        (*_RUNSERVER, "--nothreading"),
        "WSGIServer/0.2",
        POLLS,
        held=0,
        is_serial=True,
    ),
    Kind(
        "`waitress-serve --threads=8`",
        (*_PYTHON, "waitress", "--listen=127.0.0.1:0", "--threads=8", _APP),
        "waitress",
        POLLS,
        held=6,
    ),
    Kind(
        "cheroot (CherryPy's server), `--threads 8`",
        (*_LAUNCH, "cheroot"),
        f"Cheroot/{version('cheroot')} Server",
        STREAMS,
        held=6,
    ),
    Kind(
        "`granian --interface wsgi --blocking-threads 8`",
        (*_PYTHON, "granian", "--interface", "wsgi", "--port", "{port}", "--blocking-threads", "8", _APP),
        "Granian",
        STREAMS,
        held=6,
        hides_client=True,
    ),
    Kind("`wsgiref.simple_server`", (*_LAUNCH, "wsgiref"), "WSGIServer/0.2", POLLS, held=0, is_serial=True),
)
