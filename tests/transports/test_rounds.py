"""One entry for many: what cannot be written for some is no loss of the others."""

from __future__ import annotations

from cometware.core.entry import Message
from cometware.testing import Client
from tests.testing.shop import Shop


def test_what_cannot_be_written_for_some_ends_them_and_nobody_else_misses_anything() -> None:
    """An entry of somebody's own making: the plain dialect has to read what it shows of bytes."""
    shop = Shop()
    with Client(shop.app) as client:
        plain = client.connect(plain=True)
        native = client.connect()
        shop.channel.log.append(Message("message", '{"$bytes":"no base64"}', but=native.id))
        shop.channel.publish("next")  # in the same round
        assert native.receive() == "next"
        assert not plain.is_open
