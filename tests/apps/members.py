"""What both channels do: whoever is logged in may come, and is heard by everybody."""

from __future__ import annotations

from typing import Any

from cometware import Channel, Client, Refused


def only_members(channel: Channel) -> Channel:
    @channel.on_open
    def arrived(client: Client) -> None:
        if client.user is None:
            raise Refused(401, "log in first")

    @channel.on_message
    def said(client: Client, data: Any) -> None:
        channel.publish({"from": client.user, "text": data})

    return channel
