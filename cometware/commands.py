"""The commands of who is not the server: listen to a channel, speak to its application, publish into its store. No gevent."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from cometware.channel import Channel
from cometware.core.data import Data, encode, parse, untagged
from cometware.core.masking import masked, masked_url
from cometware.errors import Closed, CometwareError, Failed, Refused
from cometware.remote import Heard, connect
from cometware.remote.links import LINKS

_transport = click.option(
    "--transport", type=click.Choice(["auto", *LINKS]), default="auto", show_default=True, help="What carries the messages."
)
_header = click.option(
    "--header", "-H", "headers", multiple=True, metavar="'NAME: VALUE'", help="Send this header, too: a cookie, a token."
)
_timeout = click.option(
    "--timeout",
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for a channel, and its reply.",
)
_as_json = click.option("--json", "is_json", is_flag=True, help="DATA is JSON, not text.")


@click.command()
@click.argument("url")
@_transport
@click.option("--last", default=0, metavar="N", help="Begin with the newest N messages.")
@click.option("--after", metavar="POSITION", help="Begin behind this position, as --json shows it.")
@click.option("--event", "events", multiple=True, metavar="NAME", help="Show only these events.")
@click.option("--json", "is_json", is_flag=True, help="Show position, event and data of each message as one JSON object.")
@_header
@_timeout
def tail(
    url: str,
    transport: str,
    last: int,
    after: str | None,
    events: tuple[str, ...],
    is_json: bool,
    headers: tuple[str, ...],
    timeout: float,
) -> None:
    """Show the messages of the channel at URL, one a line, until interrupted.

    Comes back by itself when the server does. Text is shown as it is, if it fits on a line; everything else as JSON.
    """
    with _explained(url):
        connection = connect(url, transport, headers=_headers(headers), last=last, after=after, timeout=timeout)
        with connection:
            while True:
                heard = connection.receive()
                if heard.event == "reset" and not is_json:
                    click.echo(f"cometware: history is lost ({heard.data['reason']}); on from {heard.position}", err=True)
                elif not events or heard.event in events or heard.event == "reset":
                    click.echo(_json_line(heard) if is_json else _line(heard))
                    sys.stdout.flush()


@click.command()
@click.argument("url")
@click.argument("data")
@click.option("--event", default="message", show_default=True, metavar="NAME")
@click.option("--reply", is_flag=True, help="Show what the application replies, as JSON.")
@_as_json
@_transport
@_header
@_timeout
def send(
    url: str, data: str, event: str, reply: bool, is_json: bool, transport: str, headers: tuple[str, ...], timeout: float
) -> None:
    """Say DATA to the application of the channel at URL (- reads it from standard input), and wait until it is handled."""
    said = _data(data, is_json)
    with _explained(url):
        with connect(url, transport, headers=_headers(headers), receive=False, timeout=timeout) as connection:
            answer = connection.ask(event, said, timeout)
        if reply:
            click.echo(encode(answer))


@click.command()
@click.argument("channel_url")
@click.argument("data")
@click.option("--event", default="message", show_default=True, metavar="NAME")
@click.option("--to", "audiences", multiple=True, metavar="AUDIENCE", help="room:NAME, user:NAME, client:ID; * unless given.")
@click.option("--but", multiple=True, metavar="ID", help="Leave this client out; may be given several times.")
@click.option("--once", metavar="KEY", help="With the same key again, nothing is published: a retry is harmless.")
@click.option("--name", default="comet", show_default=True, help="Which channel of this store.")
@_as_json
def publish(
    channel_url: str,
    data: str,
    event: str,
    audiences: tuple[str, ...],
    but: tuple[str, ...],
    once: str | None,
    name: str,
    is_json: bool,
) -> None:
    """Put DATA (- reads it from standard input) into the log at CHANNEL_URL, and show its position.

    CHANNEL_URL is what the servers have in Channel(…): sqlite:///channel.db, redis://host/0.
    """
    if channel_url.partition(":")[0] == "memory":
        raise click.BadParameter(
            "memory: is a log in one process, and this process is not the server: nobody would hear it. Give the servers a "
            'store that processes share, Channel("sqlite:///channel.db") or Channel("redis://host/0"), and name it here',
            param_hint="CHANNEL_URL",
        )
    with _explained(channel_url):
        channel = Channel(channel_url, name=name)
        position = channel.publish(_data(data, is_json), event=event, to=audiences or "*", but=but, once=once)
    click.echo(position)


@contextmanager
def _explained(url: str) -> Iterator[None]:
    """Say in one line what went wrong, and end with a status that tells so."""
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # nobody reads what we write, like `head` that has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Failed as error:
        raise click.ClickException(masked(f"the application did not take it: {error}")) from None
    except Closed as error:
        raise click.ClickException(f"{masked_url(url)} has ended this client: {masked(str(error))}") from None
    except Refused as error:
        raise click.ClickException(f"{masked_url(url)} says {masked(str(error))}") from None
    except CometwareError as error:
        raise click.ClickException(masked(str(error))) from None
    except (ValueError, TimeoutError, ImportError) as error:  # or the package of a store is not installed
        raise click.ClickException(masked(str(error))) from None


def _headers(lines: tuple[str, ...]) -> dict[str, str]:
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            got = (line.split("=")[0].split() or [""])[0]  # what follows may be a secret
            raise click.BadParameter(f"got {got!r} without a colon, expected 'NAME: VALUE'", param_hint="--header")
        headers[name.strip()] = value.strip()
    return headers


def _data(argument: str, is_json: bool) -> Data:
    try:
        text = sys.stdin.buffer.read().decode() if argument == "-" else argument
    except UnicodeDecodeError as error:
        raise click.BadParameter(f"standard input: expected text in UTF-8: {error}", param_hint="DATA") from None
    if not is_json:
        return text
    try:
        return untagged(parse(text))
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"expected JSON, got {text[:80]!r}: {error}", param_hint="DATA") from None


def _line(heard: Heard) -> str:
    """Show a message on one line; nothing in it may play tricks with the terminal."""
    data = heard.data
    text = data if isinstance(data, str) and data.isprintable() else encode(data)
    return text if heard.event == "message" else f"{_visible(heard.event)} {text}"


def _json_line(heard: Heard) -> str:
    shape: dict[str, Any] = {"position": str(heard.position), "event": heard.event}
    return json.dumps(shape, ensure_ascii=False)[:-1] + f', "data": {encode(heard.data)}}}'


def _visible(text: str) -> str:
    return text if text.isprintable() else json.dumps(text)
