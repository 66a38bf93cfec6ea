"""Every code unit that JavaScript has, there and back (class JSONEncoding)."""

from __future__ import annotations

import json
import re

from tests.conformance.sockjs.session import fresh, opened, post
from tests.live.raw import masked, open_websocket

SERVER_ESCAPES = re.compile("[\x00-\x1f\u200c-\u200f\u2028-\u202f\u2060-\u206f\ufff0-\uffff\ud800-\udfff]")
EVERYTHING = "".join(map(chr, range(0x10000)))
"""Every code unit, the halves of pairs too; in this order the halves make one pair, which is one character."""


def test_what_the_server_writes_is_escaped_where_the_protocol_wants_it(port: int) -> None:
    session = fresh()
    opened(port, session)
    assert post(port, session + "/xhr_send", json.dumps([EVERYTHING]).encode()).status == 204
    body = post(port, session + "/xhr").body
    assert body.isascii()
    (text,) = json.loads(body[1:])
    assert text == EVERYTHING.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    written = body.decode()
    for character in map(chr, range(0xFF, 0x10000)):
        if SERVER_ESCAPES.match(character):
            assert f"\\u{ord(character):04x}" in written


def test_what_a_client_writes_as_utf_8_or_escaped_is_the_same(port: int) -> None:
    text = "".join(map(chr, [*range(0x20, 0xD800), *range(0xE000, 0x10000), 0x1F600, 0x10FFFF]))
    session = fresh()
    opened(port, session)
    assert post(port, session + "/xhr_send", json.dumps([text], ensure_ascii=False).encode()).status == 204
    assert json.loads(post(port, session + "/xhr").body[1:]) == [text]
    assert post(port, session + "/xhr_send", json.dumps([text]).encode()).status == 204
    assert json.loads(post(port, session + "/xhr").body[1:]) == [text]


def test_a_websocket_carries_the_same(port: int) -> None:
    with open_websocket(port, fresh() + "/websocket") as line:
        assert line.frame() == (1, b"o")
        for start in range(0, 0x10000, 0x1000):
            text = "".join(map(chr, range(start, start + 0x1000)))
            line.send(masked(1, json.dumps([text]).encode()))
            opcode, payload = line.frame()
            assert opcode == 1 and payload.isascii()
            assert json.loads(payload[1:]) == [text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")]
