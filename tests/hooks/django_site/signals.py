from collections import Counter

from cometware.django import channel

counted = Counter()


def started(**_):
    counted["started"] += 1


def finished(**_):
    counted["finished"] += 1


def saved(instance, created, **_):
    """Publish from a signal."""
    if created:
        channel.publish({"joined": instance.username}, event="user")
