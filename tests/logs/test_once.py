"""`publish(once=…)` as an application sees it."""

from __future__ import annotations

import pytest

from cometware import Channel


def test_a_second_publish_with_the_same_key_is_none() -> None:
    channel = Channel()
    first = channel.publish({"order": 7}, once="order-7")
    assert channel.publish({"order": 7}, once="order-7") == first
    assert channel.publish({"order": 7}) != first
    assert channel.recent() == [{"order": 7}, {"order": 7}]


@pytest.mark.parametrize("key", ["", "x" * 257, 7])
def test_a_key_that_is_none_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="expected a key of 1 to 256 characters"):
        Channel().publish("hello", once=key)
