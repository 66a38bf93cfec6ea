"""The channel, and what comes often and touches no database. All else that clients do are views: `tickets/hooks.py`."""

from django.conf import settings

import cometware.django
from cometware import Channel

channel = Channel(settings.COMETWARE_URL, around=cometware.django.around)


@channel.on("writing")
def writing(client, ticket):
    room = f"room:ticket-{ticket}"
    if room in client.rooms:
        channel.publish({"user": client.user, "ticket": ticket}, event="writing", to=room, but=client.id)
