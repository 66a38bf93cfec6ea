"""The chat room and who is in it: the channel's handlers, apart from the views of the app."""

from datetime import datetime, timezone

GUEST = "guest"
MAX_CHARACTERS = 1000


def furnish(channel):
    """Make a chat room of the channel: everybody may watch and speak, who has not logged in as a guest."""

    @channel.on_open
    def arrived(client):
        if client.transport == "post":  # a letter, nobody who stays
            return
        others = other_users(channel, client)
        here = names([*others, client.user])
        if here != names(others):
            channel.publish(here, event="presence")
        else:
            client.send(here, event="presence")

    @channel.on_message
    def said(client, data):
        if not isinstance(data, str) or not data.strip():
            return
        message = {
            "from": client.user or GUEST,
            "client": client.id,
            "text": data.strip()[:MAX_CHARACTERS],
            "at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        }
        channel.publish(message)

    @channel.on_close
    def left(client, reason):
        others = other_users(channel, client)
        if client.transport != "post" and names(others) != names([*others, client.user]):
            channel.publish(names(others), event="presence")


def other_users(channel, client):
    return [presence.user for presence in channel.presence("*") if presence.id != client.id]


def names(users):
    """Name each user once, and every guest."""
    known = sorted({user for user in users if user is not None})
    return known + [GUEST] * users.count(None)
