"""An application whose views and handlers fail, and tell in their failure what they were asked."""

from __future__ import annotations

from typing import Any

from cometware import Channel, Client, Cometware

channel = Channel()


@channel.on("fail")
def fail(client: Client, data: Any) -> None:
    raise ValueError(f"a handler failed: {data}")


def site(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    if environ["PATH_INFO"] == "/fail":
        raise ValueError(f"a view failed: {environ['QUERY_STRING']} {environ}")
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", "1")])
    return [b"1"]


app = Cometware(site, channel)
