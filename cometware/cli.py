"""The command `cometware`."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from typing import Any

import click

from cometware.commands import publish, send, tail


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="cometware")
def main() -> None:
    """One message channel for the web application that you already have."""


@main.command()
@click.argument("application", metavar="MODULE:APP")
@click.option("--bind", default="127.0.0.1:8000", show_default=True, metavar="HOST:PORT", help="Where to listen.")
@click.option("--access-log/--no-access-log", default=False, help="Write a line for each request of the application.")
def serve(application: str, bind: str, access_log: bool) -> None:
    """Serve a WSGI application with all transports of its channel."""
    from gevent import monkey

    monkey.patch_all()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    host, port = _address(bind)
    app = _load(application)
    from cometware.serving import run

    run(app, application, host, port, access_log=access_log)


def _address(bind: str) -> tuple[str, int]:
    host, _, port = bind.rpartition(":")
    if not port.isdigit() or int(port) > 65535:
        raise click.BadParameter(f"got {bind!r}, expected HOST:PORT like 127.0.0.1:8000", param_hint="--bind")
    return host.strip("[]"), int(port)


def _load(application: str) -> Any:
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
    return app


main.add_command(tail)
main.add_command(send)
main.add_command(publish)
