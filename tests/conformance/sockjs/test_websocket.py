"""WebSocket, with SockJS's frames and without (classes WebsocketHttpErrors, Websocket, RawWebsocket)."""

from __future__ import annotations

import pytest

from tests.conformance.sockjs.session import fresh, get, opened, post
from tests.live.raw import ACCEPT, UPGRADE, Line, ask, head, masked, open_websocket

TEXT, CLOSE = 1, 8


@pytest.mark.parametrize("path", ["/echo/websocket", "/echo/0/0/websocket"])
@pytest.mark.parametrize("missing", [{"Upgrade"}, {"Upgrade", "Connection"}, {"Connection"}])
def test_what_is_no_handshake_is_400(port: int, path: str, missing: set[str]) -> None:
    kept = {name: value for name, value in UPGRADE.items() if name not in missing}
    assert ask(port, head("GET", path, {"Host": "x"} | kept)).status == 400
    assert ask(port, head("GET", path, {"Host": "x"} | UPGRADE | {"Connection": "close"})).status == 400


def test_a_plain_request_is_told_what_it_is_not(port: int) -> None:
    answer = get(port, fresh() + "/websocket")
    assert (answer.status, answer.body) == (400, b"Not a valid websocket request")


@pytest.mark.parametrize("path", ["/echo/websocket", "/echo/0/0/websocket"])
def test_another_method_is_405(port: int, path: str) -> None:
    answer = ask(port, head("POST", path, {"Host": "x", "Content-Length": "0"}))
    assert (answer.status, answer.headers["allow"], answer.body) == (405, "GET", b"")


def test_the_head_of_the_answer(port: int) -> None:
    with Line(port) as line:
        answer = line.send(head("GET", fresh() + "/websocket", {"Host": "x"} | UPGRADE)).head()
        assert answer.status == 101
        assert answer.headers["sec-websocket-accept"] == ACCEPT
        assert answer.headers["connection"].lower() == "upgrade"
        assert answer.headers["upgrade"].lower() == "websocket"
        assert "content-length" not in answer.headers
        assert line.read(3) == b"\x81\x01o"


def test_a_websocket(port: int) -> None:
    with open_websocket(port, fresh() + "/websocket") as line:
        assert line.frame() == (TEXT, b"o")
        line.send(masked(TEXT, b'["a","b"]'))
        received = b""
        while received not in (b'a["a","b"]', b'a["a"]a["b"]'):
            opcode, frame = line.frame()
            received += frame
            assert opcode == TEXT and len(received) < 20
        line.send(masked(TEXT, b'"c"'))
        assert line.frame() == (TEXT, b'a["c"]')


def test_the_application_closes(port: int) -> None:
    with open_websocket(port, fresh("/close") + "/websocket") as line:
        assert line.frame() == (TEXT, b"o")
        assert line.frame() == (TEXT, b'c[3000,"Go away!"]')
        assert line.frame() == (CLOSE, b"\x03\xe8Normal closure")
        line.finish()
        assert line.read_to_end() == b""


def test_an_empty_frame_and_an_empty_array_say_nothing(port: int) -> None:
    with open_websocket(port, fresh() + "/websocket") as line:
        assert line.frame() == (TEXT, b"o")
        line.send(masked(TEXT, b"") + masked(TEXT, b"[]") + masked(TEXT, b'["a"]'))
        assert line.frame() == (TEXT, b'a["a"]')


def test_two_sockets_may_bear_the_same_name(port: int) -> None:
    session = fresh()
    with open_websocket(port, session + "/websocket") as one, open_websocket(port, session + "/websocket") as two:
        assert (one.frame(), two.frame()) == ((TEXT, b"o"), (TEXT, b"o"))
        one.send(masked(TEXT, b'"a"'))
        assert one.frame() == (TEXT, b'a["a"]')
        two.send(masked(TEXT, b'"b"'))
        assert two.frame() == (TEXT, b'a["b"]')
    with open_websocket(port, session + "/websocket") as line:
        assert line.frame() == (TEXT, b"o")
    opened(port, session)  # nor has a poll of this name anything to do with them


@pytest.mark.parametrize("frame", [masked(TEXT, b'["a'), masked(TEXT, b"{}"), masked(TEXT, b"[1]"), masked(2, b"\xff")])
def test_broken_framing_ends_it(port: int, frame: bytes) -> None:
    with open_websocket(port, fresh() + "/websocket") as line:
        assert line.frame() == (TEXT, b"o")
        line.send(masked(TEXT, b'["before"]') + frame + masked(TEXT, b'["behind"]'))
        assert line.frame() == (TEXT, b'a["before"]')
        assert line.frame() == (CLOSE, b"\x03\xeabroken framing")
        line.finish()
        assert line.read_to_end() == b""


# RawWebsocket


def test_a_raw_websocket_carries_text_as_it_is(port: int) -> None:
    with open_websocket(port, "/echo/websocket") as line:
        for text in ("Hello world!\uffff", '["a"]', "", "😀"):
            line.send(masked(TEXT, text.encode()))
            assert line.frame() == (TEXT, text.encode())


def test_a_raw_websocket_is_told_in_its_close_frame(port: int) -> None:
    with open_websocket(port, "/close/websocket") as line:
        assert line.frame() == (CLOSE, b"\x0b\xb8Go away!")


def test_a_message_of_xhr_finds_no_websocket(port: int) -> None:
    session = fresh()
    with open_websocket(port, session + "/websocket") as line:
        assert line.frame() == (TEXT, b"o")
        assert post(port, session + "/xhr_send", b'["a"]').status == 404
