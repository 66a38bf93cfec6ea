"""Serve an application in this process, until it is told to stop. The caller has monkey-patched."""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
from typing import Any

import click
import gevent
from gevent.pywsgi import WSGIServer

from cometware.core.masking import masked_url
from cometware.endpoint.ending import DRAIN_SECONDS
from cometware.middleware import Cometware
from cometware.servers.base import ALL_TRANSPORTS
from cometware.servers.pywsgi import Handler
from cometware.watchdog import Watchdog

_FLUSH_SECONDS = 0.3
_WAITING = 4096
"""Connections that may wait to be taken, if the system allows it: any more are tried again seconds later."""


def run(app: Any, name: str, host: str, port: int, *, access_log: bool) -> None:
    """Listen, say so in one line, and serve until SIGTERM or SIGINT."""
    server = WSGIServer((host, port), app, handler_class=Handler, log="default" if access_log else None, backlog=_WAITING)
    try:
        server.start()
    except OSError as error:
        raise click.ClickException(f"cannot listen on {host}:{port}: {error.strerror}") from None
    os.register_at_fork(after_in_child=server.socket.close)  # or the address stays taken for as long as a child lives
    shown_host = f"[{host}]" if ":" in host else host or "0.0.0.0"
    click.echo(f"cometware: {name} on http://{shown_host}:{server.server_port} · {_transports(app)}")
    gc.collect()
    gc.freeze()  # what the application is made of is not looked through again and again, while everybody waits
    Watchdog().start()
    stopped = gevent.event.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, stopped.set)
    stopped.wait()
    server.close()
    channel = channel_of(app)
    if channel is not None:
        channel.drain(DRAIN_SECONDS)
        gevent.sleep(_FLUSH_SECONDS)
    server.stop(timeout=1)


def channel_of(app: Any) -> Cometware | None:
    """Find the channel of an application: itself, or what wraps its `wsgi_app`."""
    return next((part for part in (app, getattr(app, "wsgi_app", None)) if isinstance(part, Cometware)), None)


def _transports(app: Any) -> str:
    """Tell which transports are on."""
    channel = channel_of(app)
    transports = ", ".join(ALL_TRANSPORTS)
    if channel is None:
        return f"{transports} (no Cometware found in {type(app).__name__}: wrap its wsgi_app, or serve the wrapper)"
    return f"{transports} at {channel.path} · log {masked_url(channel.channel.url)}"


def load(application: str, channel_url: str | None = None) -> Any:
    """Import what `MODULE:APP` names; its channel lives at another URL, if one is given.

    Raises:
        click.ClickException: There is no such thing, or it is no application.
    """
    module_name, _, name = application.partition(":")
    sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not (module_name + ".").startswith(error.name + "."):
            raise
        raise click.BadParameter(f"there is no module {error.name!r} below {os.getcwd()}", param_hint="MODULE:APP") from None
    app: Any = module
    for part in (name or "app").split("."):
        app = getattr(app, part, None)
        if app is None:
            raise click.BadParameter(f"module {module_name!r} has no {name or 'app'!r}", param_hint="MODULE:APP")
    if not callable(app):
        raise click.BadParameter(f"{application!r} is no WSGI application: it cannot be called", param_hint="MODULE:APP")
    if channel_url is not None:
        found = channel_of(app)
        if found is None:
            raise click.BadParameter(f"no Cometware was found in {application!r}, so no channel", param_hint="--channel")
        try:
            found.channel.move(channel_url)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--channel") from None
    return app
