"""Several processes that serve one application: gunicorn starts them, watches over them and ends them."""

from __future__ import annotations

import mmap
import ssl
import struct
import sys
import time
from datetime import timedelta
from typing import Any, NamedTuple

import click
import gevent
import gevent.exceptions
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.errors import HaltServer
from gunicorn.glogging import Logger
from gunicorn.workers.ggevent import GeventPyWSGIWorker, PyWSGIServer

from cometware.binding import shown
from cometware.certificates import context_of
from cometware.core.logger import fit
from cometware.endpoint.ending import end
from cometware.middleware import made
from cometware.servers.pywsgi import Handler
from cometware.serving import what_is_on
from cometware.settings import Settings, log_to_stderr
from cometware.watchdog import Watchdog

GRACE_SECONDS = 10
_TOGETHER_SECONDS = 0.3
"""How far apart the signals of one end may come."""


class Workers(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """`run` serves until SIGTERM; SIGHUP puts new processes in the place of the old ones, one by one.

    The application is loaded in each worker, behind its monkey patches.
    """

    def __init__(self, settings: Settings) -> None:
        self.told = settings
        self.settings = {
            "bind": [str(bind) for bind in settings.binds],
            "workers": settings.workers,
            "worker_class": Process,
            "worker_connections": 10_000,
            "graceful_timeout": GRACE_SECONDS,
            "accesslog": "-" if settings.access_log else None,
            "logger_class": Log,
            "loglevel": settings.log_level or "warning",
            "reload": settings.reload,
            "certfile": settings.certfile or None,
            "keyfile": settings.keyfile or None,
            "ssl_context": _tls,
            "max_requests": settings.max_requests,
            "max_requests_jitter": settings.max_requests // 10,
            "proc_name": f"cometware {settings.application}",
            "control_socket_disable": True,
        }
        super().__init__()

    def load_config(self) -> None:
        for name, value in self.settings.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> Any:
        try:
            return self.told.load()
        except click.ClickException as error:
            error.show()
            sys.exit(Arbiter.APP_LOAD_ERROR)

    def run(self) -> None:
        try:
            Master(self).run()
        except HaltServer as error:  # no worker comes up; which one of them is the last to say so is chance
            sys.exit(error.exit_status)


class Master(Arbiter):  # type: ignore[misc]
    """gunicorn's own, which goes on for a while after SIGTERM, so that balancers learn that it will end."""

    def stop(self, graceful: bool = True) -> None:
        delay = self.app.told.shutdown_delay
        if graceful:
            _tell_all(time.monotonic())
        while graceful and time.monotonic() < _told_at() + delay and self.SIG_QUEUE.empty():  # who cannot wait says it again
            self.reap_workers()
            time.sleep(0.1)
        _tell_all(time.monotonic() - delay)
        super().stop(graceful)


_moment = mmap.mmap(-1, 8)
"""When the end was announced: all processes see it, since all are forked from this one."""


def _tell_all(moment: float) -> None:
    _moment[:] = struct.pack("d", moment)


def _told_at() -> float:
    (moment,) = struct.unpack("d", _moment[:])
    return float(moment)


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


def _tls(config: Any, default: Any) -> ssl.SSLContext:
    return context_of(config.certfile, config.keyfile or "")


class _Server(PyWSGIServer):  # type: ignore[misc]
    """gunicorn's own; with TLS, it is each connection's own greenlet that begins it, in time."""

    def __init__(self, *args: Any, **options: Any) -> None:
        if "ssl_context" in options:
            options["do_handshake_on_connect"] = False
        super().__init__(*args, **options)


class Process(GeventPyWSGIWorker):  # type: ignore[misc]
    """One worker: gunicorn's own for gevent, with our handler of HTTP, so that connections are parked."""

    server_class = _Server
    wsgi_handler = _Handler

    def init_process(self) -> None:
        end.watch(lambda: _told_at() != 0)
        super().init_process()

    @property
    def _told(self) -> Settings | None:
        """What `cometware serve` was told; None where gunicorn itself was told to take this kind of worker."""
        told: Settings | None = getattr(self.app, "told", None)
        return told

    def handle_exit(self, number: int, frame: Any) -> None:
        """End: at once, if others serve in its place (a reload); else not before balancers know."""
        if self._told is None or not self._told.shutdown_delay:
            self.alive = False
        else:
            gevent.spawn(self._end_in_time, self._told.shutdown_delay)

    def _end_in_time(self, delay: float) -> None:
        if not _told_at():
            gevent.sleep(_TOGETHER_SECONDS)  # a process manager may tell all processes at once
        if _told_at():
            gevent.sleep(max(0.0, _told_at() + delay - time.monotonic()))
        self.alive = False

    def run(self) -> None:
        if self._told is None:
            log_to_stderr(None)
        self._tell(is_first=self.age == 1)
        Watchdog().start()
        super().run()

    def _tell(self, *, is_first: bool) -> None:
        """The first one says what is served, and what several processes cannot do; the others need not say it again."""
        if is_first:
            scheme = "https" if self.cfg.is_ssl else "http"
            where = ", ".join(shown(sock, scheme) for sock in self.sockets)
            name = self._told.application if self._told else self.app.app_uri  # its own, or gunicorn's
            workers = "1 worker" if self.cfg.workers == 1 else f"{self.cfg.workers} workers"
            click.echo(f"cometware: {name} on {where} · {workers} · {what_is_on()}")
        for cometware in made():
            if self.cfg.workers > 1:
                cometware.warn_of_processes(aloud=is_first)
