"""What stores keep of a message, byte by byte: workers of the version before read it, too."""

from __future__ import annotations

import pytest

from cometware.core.entry import Message
from cometware.logs.packing import pack, unpack


@pytest.mark.parametrize(
    ("but", "packed"),
    [
        (None, b'["m",["*"],null,"",0]\n1'),
        ("a", b'["m",["*"],"a","",0]\n1'),
        (("a", "b", "c"), b'["m",["*","but:b","but:c"],"a","",0]\n1'),
    ],
)
def test_the_first_who_is_left_out_stands_where_it_always_did_the_others_are_audiences_of_nobody(
    but: str | tuple[str, ...] | None, packed: bytes
) -> None:
    message = Message("m", "1", but=but)
    assert pack(message) == packed
    read = unpack(packed)
    assert (read.to, read.but, read.left_out) == (("*",), but, message.left_out)
