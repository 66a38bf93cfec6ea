"""An application with three channels, each for other pages, and limits so small that a test can go beyond them."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

from cometware import Channel, Client, Cometware, Handler, Limits, Refused

Handler.head_seconds = 0.5
LIMIT_BYTES = 1000

limits = Limits(max_message_bytes=LIMIT_BYTES, body_seconds=0.5, order_seconds=0.3, heartbeat_seconds=50)


def user(environ: dict[str, Any]) -> str | None:
    """Tell who is logged in: what a cookie says."""
    return dict(parse_qsl(environ.get("HTTP_COOKIE", ""), separator="; ")).get("user")


def add(app: Any, path: str, **options: Any) -> Cometware:
    channel = Channel(limits=limits)

    @channel.on_open
    def opened(client: Client) -> None:
        assert client.environ is not None
        client.data["cookie"] = client.environ.get("HTTP_COOKIE")
        client.data["authorization"] = client.environ.get("HTTP_AUTHORIZATION")
        if "refuse" in client.environ["QUERY_STRING"]:
            raise Refused(401, "log in first")

    @channel.on_message
    def said(client: Client, data: Any) -> Any:
        channel.publish(data)
        return data

    @channel.on("who")
    def who(client: Client, data: Any) -> Any:
        return {"user": client.user, **client.data}

    @channel.on("unfit")
    def unfit(client: Client, data: Any) -> str:
        """Publish what JSON cannot hold, and tell how the caller learns it."""
        attempts: list[Any] = [{1, 2}, float("nan"), object()]
        told = []
        for attempt in attempts:
            try:
                channel.publish(attempt)
            except ValueError as error:
                told.append(str(error))
        return "; ".join(told)

    return Cometware(app, channel, path, user=user, **options)


def site(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    body = environ["wsgi.input"].read() if environ["PATH_INFO"] == "/upload" else b"alive"
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


app: Any = site
app = add(app, "/shop", allowed_origins=["https://shop.example"])
app = add(app, "/open", allowed_origins=["*"])
app = add(app, "/comet", subprotocols=["superchat"])
