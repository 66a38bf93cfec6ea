"""The command `cometware`."""

from __future__ import annotations

from typing import Any

import click

from cometware.binding import parse
from cometware.certificates import context_of
from cometware.commands import publish, send, tail
from cometware.settings import Settings

_LEVELS = ["debug", "info", "warning", "error", "critical"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="cometware")
def main() -> None:
    """One message channel for the web application that you already have."""


@main.command()
@click.argument("application", metavar="MODULE:APP")
@click.option(
    "--bind",
    multiple=True,
    default=["127.0.0.1:8000"],
    show_default=True,
    metavar="HOST:PORT",
    help="Where to listen; also PORT (of this host alone), unix:PATH, fd://NUMBER. May be given several times.",
)
@click.option("--workers", default=1, show_default=True, metavar="N", help="How many processes; needs cometware[workers].")
@click.option(
    "--channel",
    "channels",
    multiple=True,
    metavar="[NAME=]URL",
    help="Where the channel lives, in the place of what the application says; with a name, for one of several.",
)
@click.option("--max-requests", default=0, metavar="N", help="End a worker after so many requests; another takes its place.")
@click.option("--access-log/--no-access-log", default=False, help="Write a line for each request of the application.")
@click.option("--log-level", type=click.Choice(_LEVELS, case_sensitive=False), default=None, help="What is logged at least.")
@click.option("--reload", is_flag=True, help="Begin anew when the code changes: for development.")
@click.option("--script-name", default="", metavar="PREFIX", help="The application is below this path, like /shop.")
@click.option(
    "--shutdown-delay",
    type=click.FloatRange(0),
    default=0,
    metavar="SECONDS",
    help="Go on for so long after SIGTERM, with <path>/ready saying 503, since balancers still send.",
)
@click.option("--certfile", default="", metavar="PATH", help="Speak TLS: the certificate, with those that lead to it (PEM).")
@click.option("--keyfile", default="", metavar="PATH", help="Its key, unless that is in the same file.")
def serve(bind: tuple[str, ...], script_name: str, workers: int, max_requests: int, **others: Any) -> None:
    """Serve a WSGI application with all transports of its channel.

    MODULE:APP may also be a factory, as in shop:create_app() or "shop:create_app('test', debug=True)".
    """
    try:
        binds = tuple(parse(place) for place in bind)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--bind") from None
    certfile, keyfile = others["certfile"], others["keyfile"]
    if keyfile and not certfile:
        raise click.BadParameter("got a key without a certificate: --certfile PATH", param_hint="--keyfile")
    if certfile:
        try:
            context_of(certfile, keyfile)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--certfile") from None
    prefix = "/" + script_name.strip("/") if script_name.strip("/") else ""
    settings = Settings(binds=binds, script_name=prefix, workers=workers, max_requests=max_requests, **others)
    if workers > 1 or max_requests:
        try:
            from cometware.workers import Workers
        except ImportError as error:
            raise click.ClickException(f"several workers need gunicorn ({error}): pip install 'cometware[workers]'") from None
        Workers(settings).run()
        return
    from gevent import monkey

    monkey.patch_all()
    from cometware.serving import run

    run(settings)


main.add_command(tail)
main.add_command(send)
main.add_command(publish)
