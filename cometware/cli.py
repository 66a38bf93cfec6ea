"""The command `cometware`."""

from __future__ import annotations

import logging

import click

from cometware.commands import publish, send, tail


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="cometware")
def main() -> None:
    """One message channel for the web application that you already have."""


@main.command()
@click.argument("application", metavar="MODULE:APP")
@click.option("--bind", default="127.0.0.1:8000", show_default=True, metavar="HOST:PORT", help="Where to listen.")
@click.option("--workers", default=1, show_default=True, metavar="N", help="How many processes; needs cometware[workers].")
@click.option("--channel", metavar="URL", help="Where the channel lives, in the place of what the application says.")
@click.option("--max-requests", default=0, metavar="N", help="End a worker after so many requests; another takes its place.")
@click.option("--access-log/--no-access-log", default=False, help="Write a line for each request of the application.")
def serve(application: str, bind: str, workers: int, channel: str | None, max_requests: int, access_log: bool) -> None:
    """Serve a WSGI application with all transports of its channel."""
    host, port = _address(bind)
    if workers > 1 or max_requests:
        try:
            from cometware.workers import Workers
        except ImportError as error:
            raise click.ClickException(f"several workers need gunicorn ({error}): pip install 'cometware[workers]'") from None
        Workers(
            application, bind=bind, workers=workers, channel=channel, access_log=access_log, max_requests=max_requests
        ).run()
        return
    from gevent import monkey

    monkey.patch_all()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    from cometware.serving import load, run

    run(load(application, channel), application, host, port, access_log=access_log)


def _address(bind: str) -> tuple[str, int]:
    host, _, port = bind.rpartition(":")
    if not port.isdigit() or int(port) > 65535:
        raise click.BadParameter(f"got {bind!r}, expected HOST:PORT like 127.0.0.1:8000", param_hint="--bind")
    return host.strip("[]"), int(port)


main.add_command(tail)
main.add_command(send)
main.add_command(publish)
