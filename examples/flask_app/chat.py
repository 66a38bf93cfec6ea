"""The chat room and who is in it: the channel's handlers, apart from the views of the app."""

import threading
import time
from datetime import datetime, timezone

GUEST = "guest"
MAX_CHARACTERS = 1000
NAMES_SHOWN = 50
PAUSE_SECONDS = 1.0


def furnish(channel):
    """Make a chat room of the channel: everybody may watch and speak, who has not logged in as a guest."""
    crowd = Crowd(channel)

    @channel.on_open
    def arrived(client):
        if client.transport == "post":  # a letter, nobody who stays
            return
        told = crowd.told
        crowd.changed(client.user)
        if told is not None and crowd.told is told:  # else this one hears it with the others
            client.send(told, event="presence")

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
        if client.transport != "post":
            crowd.changed()


class Crowd:
    """Tells everybody who is here: at most once a second, and a list of bounded length. To look at all who are here for
    each one who comes, and to tell it to all of them, would cost the more the more there are."""

    def __init__(self, channel):
        self.channel = channel
        self.told = None
        self.told_at = -PAUSE_SECONDS
        self.lock = threading.Lock()
        self.waits = False

    def changed(self, *arriving):
        """Somebody has come or gone: tell it now, or together with what happens until the pause is over."""
        with self.lock:
            if self.waits:
                return
            self.waits = True
            pause = self.told_at + PAUSE_SECONDS - time.monotonic()
        if pause > 0:
            timer = threading.Timer(pause, self.tell)
            timer.daemon = True
            timer.start()
        else:
            self.tell(*arriving)  # who is just arriving is not among those who are here

    def tell(self, *arriving):
        self.told_at, self.waits = time.monotonic(), False
        here = summary([presence.user for presence in self.channel.presence()] + list(arriving))
        if here != self.told:
            self.told = here
            self.channel.publish(here, event="presence")


def summary(users):
    """Name each user once, as far as they have room; guests and the others are counted."""
    names = sorted({user for user in users if user is not None})
    return {"names": names[:NAMES_SHOWN], "more": len(names[NAMES_SHOWN:]), "guests": users.count(None)}
