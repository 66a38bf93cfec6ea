"""The examples tell who is here: what that costs does not grow with how many come, nor with how many are here."""

from __future__ import annotations

import threading

import pytest

from cometware import Channel, Position, Presence
from examples.flask_app import chat


class Asked(Channel):
    """Counts how often it is asked who is here."""

    times = 0

    def presence(self, to: str = "*") -> list[Presence]:
        self.times += 1
        return super().presence(to)


def told(channel: Channel) -> list[dict[str, object]]:
    return [entry.data for entry in channel.recent_entries(n=1000) if entry.message.event == "presence"]


def test_a_thousand_who_come_at_once_are_told_of_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    channel, published = Asked(), threading.Event()
    crowd = chat.Crowd(channel)
    crowd.changed("ann")
    assert told(channel) == [{"names": ["ann"], "more": 0, "guests": 0}]
    publish = channel.publish

    def hear(*arguments: object, **options: object) -> Position:
        position = publish(*arguments, **options)  # type: ignore[arg-type]
        published.set()
        return position

    monkeypatch.setattr(channel, "publish", hear)
    for number in range(1000):
        crowd.changed(f"user{number}")
    assert channel.times == 1
    assert published.wait(60)
    assert (channel.times, told(channel)[1:]) == (2, [{"names": [], "more": 0, "guests": 0}])


def test_what_is_told_has_a_bounded_length() -> None:
    summary = chat.summary([f"user{number:05}" for number in range(10_000)] + [None] * 10_000)
    assert (len(summary["names"]), summary["more"], summary["guests"]) == (chat.NAMES_SHOWN, 9950, 10_000)
