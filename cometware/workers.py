"""Several processes that serve one application: gunicorn starts them, watches over them and ends them."""

from __future__ import annotations

import logging
import sys
from datetime import timedelta
from typing import Any, NamedTuple

import click
import gevent.exceptions  # noqa: F401  (gunicorn's worker needs it whole)
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.errors import HaltServer
from gunicorn.glogging import Logger
from gunicorn.workers.ggevent import GeventPyWSGIWorker

from cometware.core.logger import fit
from cometware.core.masking import masked_url
from cometware.servers.base import ALL_TRANSPORTS
from cometware.servers.pywsgi import Handler
from cometware.watchdog import Watchdog

GRACE_SECONDS = 10


class Workers(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """`run` serves until SIGTERM; SIGHUP puts new processes in the place of the old ones, one by one.

    The application is loaded in each worker, behind its monkey patches.
    """

    def __init__(
        self,
        application: str,
        *,
        bind: str,
        workers: int,
        channel: str | None,
        access_log: bool,
        max_requests: int,
    ) -> None:
        self.application = application
        self.channel = channel
        self.settings = {
            "bind": bind,
            "workers": workers,
            "worker_class": Process,
            "worker_connections": 10_000,
            "graceful_timeout": GRACE_SECONDS,
            "accesslog": "-" if access_log else None,
            "logger_class": Log,
            "loglevel": "warning",
            "max_requests": max_requests,
            "max_requests_jitter": max_requests // 10,
            "proc_name": f"cometware {application}",
            "control_socket_disable": True,
        }
        super().__init__()

    def load_config(self) -> None:
        for name, value in self.settings.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> Any:
        from cometware.serving import load

        try:
            return load(self.application, self.channel)
        except click.ClickException as error:
            error.show()
            sys.exit(Arbiter.APP_LOAD_ERROR)

    def run(self) -> None:
        try:
            super().run()
        except HaltServer as error:  # no worker comes up; which one of them is the last to say so is chance
            sys.exit(error.exit_status)


class Log(Logger):  # type: ignore[misc]
    """gunicorn's own, whose lines show no bearer and are forged by nobody, by whatever format."""

    def atoms(self, *of_a_request: Any) -> dict[str, Any]:
        atoms = super().atoms(*of_a_request)
        return {name: fit(value) if isinstance(value, str) else value for name, value in atoms.items()}


class _Response(NamedTuple):
    """What gunicorn's access log asks of a response."""

    status: str
    headers: list[tuple[str, str]]
    sent: int


class _Handler(Handler):
    """Ours, with a line for each answer in gunicorn's access log: also for a request that was refused, and has no environ."""

    def log_request(self) -> None:
        if self.taken:
            return
        first_line = [*fit(self.requestline or "").split(" ", 2), "-", "-", "-"]
        environ = dict(zip(("REQUEST_METHOD", "RAW_URI", "SERVER_PROTOCOL"), first_line, strict=False))
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in self.response_headers or ()]
        response = _Response(self._orig_status or "000", headers, self.response_length)
        took = timedelta(seconds=max(0.0, self.time_finish - self.time_start))
        environ |= {name: fit(value) for name, value in (self.environ or {}).items() if isinstance(value, str)}
        asked = [(name, fit(value)) for name, value in self.headers.items()]
        self.server.log.access(response, asked, environ, took)


class Process(GeventPyWSGIWorker):  # type: ignore[misc]
    """One worker: gunicorn's own for gevent, with our handler of HTTP, so that connections are parked."""

    wsgi_handler = _Handler

    def init_process(self) -> None:
        logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
        super().init_process()

    def run(self) -> None:
        self._tell(is_first=self.age == 1)
        Watchdog().start()
        super().run()

    def _tell(self, *, is_first: bool) -> None:
        """The first one says what is served, and what several processes cannot do; the others need not say it again."""
        from cometware.serving import channel_of

        found = channel_of(self.wsgi)
        if is_first:
            where = ", ".join(f"http://{sock.getsockname()[0]}:{sock.getsockname()[1]}" for sock in self.sockets)
            what = f" · {', '.join(ALL_TRANSPORTS)} at {found.path} · log {masked_url(found.channel.url)}" if found else ""
            name = getattr(self.app, "application", None) or self.app.app_uri  # its own, or gunicorn's
            click.echo(f"cometware: {name} on {where} · {self.cfg.workers} workers{what}")
        if found is not None:
            found.warn_of_processes(aloud=is_first)
