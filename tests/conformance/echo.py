"""The channel as an echo server at `/`, where the Autobahn test suite looks for one."""

from __future__ import annotations

from typing import Any

from cometware import Channel, Client, Cometware, Limits

channel = Channel(limits=Limits(max_message_bytes=16 * 1024 * 1024, rates=None))


@channel.on_message
def echo(client: Client, data: Any) -> None:
    client.send(data)


def nothing(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("404 Not Found", [("Content-Length", "0")])
    return []


served = Cometware(nothing, channel, "/comet")


def app(environ: dict[str, Any], start_response: Any) -> Any:
    environ["PATH_INFO"] = "/comet"
    return served(environ, start_response)
