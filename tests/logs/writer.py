"""Another process at the same log: `python -m tests.logs.writer URL NAME TAG COUNT [WAIT]`.

It says `ready`, waits for a line, publishes `[TAG, n]` COUNT times and tells each offset. With WAIT, it then waits until it
has mirrored so many entries and prints them all.
"""

from __future__ import annotations

import json
import sys

from cometware import Channel, Limits
from tests.logs.waiting import SECONDS, until


def main(url: str, name: str, tag: str, count: str, wait: str = "0") -> None:
    channel = Channel(url, name=name, limits=Limits(store_seconds=SECONDS))
    say(channel.position.epoch)
    sys.stdin.readline()
    for number in range(int(count)):
        say(channel.publish([tag, number]).offset)
    if int(wait):
        until(channel.log, lambda: channel.position.offset >= int(wait))
        say(json.dumps([[entry.position.offset, entry.data] for entry in channel.log.since(0)]))
    assert "gevent" not in sys.modules


def say(what: object) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


main(*sys.argv[1:])
