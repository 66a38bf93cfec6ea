"""Serve an application in this process, until it is told to stop. The caller has monkey-patched."""

from __future__ import annotations

import gc
import os
import signal
import sys
import traceback
from typing import Any

import click
import gevent
import gevent.event
from gevent.pywsgi import WSGIServer

from cometware.binding import shown
from cometware.certificates import context_of
from cometware.core.masking import masked_url
from cometware.endpoint.ending import DRAIN_SECONDS, end
from cometware.middleware import made
from cometware.reloading import Changes
from cometware.servers.base import ALL_TRANSPORTS
from cometware.servers.pywsgi import Handler
from cometware.settings import Settings
from cometware.watchdog import Watchdog

_FLUSH_SECONDS = 0.3


def run(settings: Settings) -> None:
    """Listen, say so in one line, and serve until SIGTERM or SIGINT; with `reload`, anew after each change of the code."""
    changes = Changes() if settings.reload else None
    try:
        app = settings.load()
    except Exception:
        if changes is None:
            raise
        traceback.print_exc()
        changes.wait()
        changes.restart()
    servers = _listen(app, settings)
    where = ", ".join(shown(server.socket, settings.scheme) for server in servers)
    click.echo(f"cometware: {settings.application} on {where} · {what_is_on()}")
    gc.collect()
    gc.freeze()  # what the application is made of is not looked through again and again, while everybody waits
    Watchdog().start()
    stopped = gevent.event.Event()
    signs: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, _tell, stopped, signs, number)
    if changes is not None:
        gevent.spawn(changes.wait).link(lambda seen: stopped.set())
    stopped.wait()
    end.has_begun = True
    if signal.SIGTERM in signs and settings.shutdown_delay:
        stopped.clear()
        stopped.wait(settings.shutdown_delay)  # balancers still send; whoever cannot wait says it again
    _stop(servers, settings)
    if changes is not None and not signs:
        changes.restart()


def _tell(stopped: Any, signs: list[int], number: int) -> None:
    signs.append(number)
    stopped.set()


def _listen(app: Any, settings: Settings) -> list[Any]:
    servers: list[Any] = []
    tls: dict[str, Any] = {}
    if settings.certfile:  # each connection's own greenlet begins TLS, in time
        tls = {"ssl_context": context_of(settings.certfile, settings.keyfile), "do_handshake_on_connect": False}
    for bind in settings.binds:
        try:
            listener = bind.listen()
        except OSError as error:
            raise click.ClickException(f"cannot listen on {bind}: {error.strerror or error}") from None
        listener.setblocking(False)
        log = "default" if settings.access_log else None
        server = WSGIServer(listener, app, handler_class=Handler, log=log, **tls)
        server.start()
        os.register_at_fork(after_in_child=listener.close)  # or the address stays taken for as long as a child lives
        servers.append(server)
    return servers


def _stop(servers: list[Any], settings: Settings) -> None:
    for server in servers:
        server.close()
    for bind in settings.binds:
        if bind.path and os.path.exists(bind.path):
            os.unlink(bind.path)
    for cometware in made():
        cometware.drain(DRAIN_SECONDS)
    gevent.sleep(_FLUSH_SECONDS)
    gevent.joinall([gevent.spawn(server.stop, 1) for server in servers])
    sys.stdout.flush()


def what_is_on() -> str:
    """Tell the channels of this process, and which transports they have."""
    transports = ", ".join(ALL_TRANSPORTS)
    channels = [f"{one.path} · log {masked_url(one.channel.url)}" for one in made()]
    return f"{transports} at {', '.join(channels)}" if channels else f"{transports}: the application has made no Cometware yet"
