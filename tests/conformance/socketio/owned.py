"""An application that counts how often it is asked who somebody is, by a cookie or by a token; `/logout` is everybody's."""

from __future__ import annotations

import json
import os
from typing import Any
from urllib.parse import parse_qsl

from cometware import Args, Channel, Client, Cometware, Limits

channel = Channel(limits=Limits(**json.loads(os.environ.get("LIMITS", "{}"))))
asked: list[str | None] = []
logged_out: list[bool] = []


@channel.on("echo")
def echo(client: Client, data: Any) -> Any:
    client.send(data, event="echo")
    return data


@channel.on_message
def said(client: Client, data: Any) -> None:
    client.send(data)


@channel.on("*")
def anything(client: Client, event: str, data: Any) -> Any:
    return [event, list(data) if isinstance(data, Args) else data]


def user(environ: dict[str, Any]) -> str | None:
    cookies = dict(parse_qsl(environ.get("HTTP_COOKIE", ""), separator="; "))
    found = None if logged_out else cookies.get("user") or environ.get("cometware.auth", {}).get("token")
    asked.append(found)
    return found


def site(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    if environ["PATH_INFO"] == "/logout":
        logged_out.append(True)
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(len(asked)).encode()]


app = Cometware(site, channel, user=user)
