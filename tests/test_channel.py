"""Where a channel lives can be said by who serves it (`--channel`), until it is used."""

from __future__ import annotations

from pathlib import Path

import pytest

from cometware import Channel


def test_a_channel_moves_before_its_first_use(tmp_path: Path) -> None:
    channel = Channel()
    channel.move(f"sqlite:///{tmp_path}/channel.db")
    channel.publish("hello")
    assert Channel(f"sqlite:///{tmp_path}/channel.db").recent() == ["hello"]


def test_a_channel_in_use_stays_where_it_is_and_may_be_told_so() -> None:
    channel = Channel()
    channel.publish("hello")
    channel.move("memory:")
    assert channel.recent() == ["hello"]


def test_a_channel_in_use_does_not_move_and_shows_no_password() -> None:
    channel = Channel()
    channel.publish("hello")
    with pytest.raises(
        ValueError, match=r"used at 'memory:' while .* cannot be moved to 'redis://ann:\*\*\*@host/0'; expected"
    ):
        channel.move("redis://ann:secret@host/0")
