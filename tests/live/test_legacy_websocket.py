"""The WebSocket endpoints that an application had before the channel came work as before, beside it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.live.raw import UPGRADE, Answer, Line, ask, head, masked, open_websocket, request
from tests.live.server import Server, serve


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(application="tests.live.legacy:app") as server:
        yield server


@pytest.fixture(scope="module")
def resource() -> Iterator[Server]:
    with serve(application="tests.live.legacy:resource") as server:
        yield server


@pytest.fixture(scope="module")
def port(server: Server) -> int:
    return server.port


def handshake(port: int, path: str, **changes: str) -> Answer:
    fields = UPGRADE | {name.replace("_", "-"): value for name, value in changes.items()}
    return ask(port, head("GET", path, {"Host": "h"} | fields))


def test_an_echo_of_text_and_bytes(port: int) -> None:
    with open_websocket(port, "/echo") as line:
        assert line.send(masked(1, "héllo".encode())).frame() == (1, "héllo".encode())
        assert line.send(masked(2, b"\x00\xff")).frame() == (2, b"\x00\xff")
        assert line.send(masked(1, b"x" * 20_000)).frame() == (1, b"x" * 20_000)


def test_frames_that_come_with_the_handshake_are_not_lost(port: int) -> None:
    with Line(port) as line:
        line.send(head("GET", "/echo", {"Host": "h"} | UPGRADE) + masked(1, b"early"))
        assert line.answer().status == 101
        assert line.frame() == (1, b"early")


def test_the_head_of_the_101_is_that_of_a_websocket(port: int) -> None:
    with Line(port) as line:
        answer = line.send(head("GET", "/echo", {"Host": "h"} | UPGRADE)).answer()
    assert answer.headers["upgrade"] == "websocket"
    assert answer.headers["connection"].lower() == "upgrade"
    assert not {"content-length", "transfer-encoding", "content-type"} & set(answer.headers)


def test_a_ping_is_answered_while_the_view_waits(port: int) -> None:
    with open_websocket(port, "/echo") as line:
        assert line.send(masked(9, b"there?")).frame() == (10, b"there?")


def test_a_view_that_answers_401_instead_is_seen_as_401(port: int) -> None:
    answer = handshake(port, "/members")
    assert (answer.status, answer.body, answer.headers["x-view"]) == (401, b"log in first", "mine")


def test_the_connection_of_a_refused_handshake_can_go_on(port: int) -> None:
    with Line(port) as line:
        assert line.send(head("GET", "/members", {"Host": "h"} | UPGRADE)).answer().status == 401
        assert line.send(request(target="/page")).answer().body == b"a page, websocket: False"


def test_a_view_that_looks_at_the_login_first_lets_in_who_has_one(port: int) -> None:
    with open_websocket(port, "/members", cookie="user=ann") as line:
        assert line.send(masked(1, b"in")).frame() == (1, b"in")


@pytest.mark.parametrize(("path", "status"), [("/nowhere", 404), ("/page", 200), ("/failing", 500)])
def test_a_view_that_never_uses_the_websocket_is_an_ordinary_answer(port: int, path: str, status: int) -> None:
    assert handshake(port, path).status == status


def test_a_view_finds_no_websocket_in_a_plain_request(port: int) -> None:
    assert ask(port, request(target="/page")).body == b"a page, websocket: False"
    assert ask(port, request(target="/echo")).status == 400


@pytest.mark.parametrize(
    "changes", [{"Sec_WebSocket_Key": "short"}, {"Sec_WebSocket_Version": "8"}, {"Upgrade": "h2c"}, {"Upgrade": "\xe9"}]
)
def test_a_view_finds_no_websocket_in_a_bad_handshake(port: int, changes: dict[str, str]) -> None:
    assert handshake(port, "/page", **changes).body == b"a page, websocket: False"


def test_what_a_framework_answers_in_the_end_is_not_written_into_the_websocket(port: int) -> None:
    with open_websocket(port, "/flask-like") as line:
        assert [line.frame(), line.frame()] == [(1, b"one"), (2, b"\x02")]
        assert line.close_code() == 1000


def test_a_view_closes_with_its_code_and_its_reason(port: int) -> None:
    with open_websocket(port, "/bye") as line:
        assert line.frame() == (8, b"\x0f\xa1bye")
        assert line.finish().read_to_end() == b""


def test_a_view_closes_normally(port: int) -> None:
    with open_websocket(port, "/bye-bye") as line:
        assert line.frame() == (1, b"last")
        assert line.close_code() == 1000


def test_a_close_from_the_client_is_echoed(port: int) -> None:
    with open_websocket(port, "/echo") as line:
        assert line.send(masked(8, b"\x0f\xa2later")).frame() == (8, b"\x0f\xa2later")
        assert line.finish().read_to_end() == b""


def test_a_close_without_a_code_is_answered(port: int) -> None:
    with open_websocket(port, "/echo") as line:
        assert line.send(masked(8, b"")).close_code() == 1000


def test_a_client_that_leaves_without_a_word_ends_its_view(server: Server) -> None:
    before = int(server.get("/closed"))
    with open_websocket(server.port, "/late") as line:
        line.send(masked(1, b"x"))
    for _ in range(1000):
        if int(server.get("/closed")) == before + 1:
            return
    raise AssertionError("the view did not end")


def test_a_view_that_fails_in_the_middle_ends_its_websocket_and_nothing_else(port: int) -> None:
    with open_websocket(port, "/failing-later") as line:
        assert line.frame() == (1, b"one")
        line.finish().read_to_end()
    assert ask(port, request(target="/page")).status == 200


def test_the_channel_is_beside_it(port: int) -> None:
    with open_websocket(port) as ours, open_websocket(port, "/echo") as theirs:
        theirs.send(masked(1, b"theirs"))
        ours.send(masked(1, b"ours"))
        assert theirs.frame() == (1, b"theirs")
        assert ours.frame() == (1, b"ours")


def test_a_websocket_application_of_a_resource_with_its_protocol(resource: Server) -> None:
    with Line(resource.port) as line:
        fields = {"Host": "h", "Sec-WebSocket-Protocol": "chat"} | UPGRADE
        answer = line.send(head("GET", "/chat", fields)).answer()
        assert (answer.status, answer.headers.get("sec-websocket-protocol")) == (101, "chat")
        assert line.frame() == (1, b"welcome")
        assert line.send(masked(1, b"hi")).frame() == (1, b"1: hi")
        with open_websocket(resource.port, "/chat") as other:
            assert other.frame() == (1, b"welcome")
            other.send(masked(1, b"hello"))
            assert line.frame() == other.frame() == (1, b"2: hello")


def test_a_plain_page_of_a_resource(resource: Server) -> None:
    assert ask(resource.port, request(target="/page")).body == b"a page, websocket: False"


def test_the_channel_beside_a_resource(resource: Server) -> None:
    with open_websocket(resource.port) as line:
        assert line.send(masked(1, b"ours")).frame() == (1, b"ours")


# What strangers may send to it is bounded, too


@pytest.fixture(scope="module")
def strict() -> Iterator[Server]:
    limits = {"max_message_bytes": 100_000, "message_seconds": 1}
    with serve(limits, application="tests.live.legacy:app") as server:
        yield server


def fragment(opcode: int, payload: bytes, *, fin: bool = False) -> bytes:
    frame = masked(opcode, payload)
    return frame if fin else bytes([frame[0] & 0x7F]) + frame[1:]


def test_a_frame_that_is_not_masked_is_refused(strict: Server) -> None:
    with open_websocket(strict.port, "/echo") as line:
        assert line.send(b"\x81\x02hi").close_code() == 1002


@pytest.mark.parametrize("first", [b"\xf1", b"\x83", b"\x09", b"\x80"])
def test_a_frame_that_breaks_a_rule_is_refused(strict: Server, first: bytes) -> None:
    with open_websocket(strict.port, "/echo") as line:
        assert line.send(first + b"\x80\0\0\0\0").close_code() == 1002


def test_a_message_over_four_times_the_limit_is_refused_by_its_head(strict: Server) -> None:
    with open_websocket(strict.port, "/echo") as line:
        assert line.send(b"\x82\xff" + (400_001).to_bytes(8, "big") + b"\0\0\0\0").close_code() == 1009
    with open_websocket(strict.port, "/echo") as line:
        line.send(fragment(2, b"x" * 50_000))
        for _ in range(7):
            line.send(fragment(0, b"x" * 50_000))
        assert line.send(b"\x80\x81").close_code() == 1009


def test_a_thousand_fragments_are_one_message(port: int) -> None:
    with open_websocket(port, "/echo") as line:
        line.send(fragment(2, b"x" * 64) + fragment(0, b"x" * 64) * 999 + fragment(0, b"", fin=True))
        assert line.frame() == (2, b"x" * 64_000)


def test_a_message_that_is_never_finished_ends_its_connection(strict: Server) -> None:
    for beginning in (b"\x81", masked(1, b"x" * 200)[:50], fragment(1, b"half of it")):
        with open_websocket(strict.port, "/echo") as line:
            assert line.send(beginning).close_code() == 1008


def test_pings_do_not_prolong_a_message(strict: Server) -> None:
    with open_websocket(strict.port, "/echo") as line:
        line.send(fragment(1, b"half of it"))
        opcode = 10
        while opcode == 10:
            opcode, payload = line.send(masked(9, b"")).frame()
        assert (opcode, payload[:2]) == (8, (1008).to_bytes(2, "big"))


def test_who_says_nothing_for_longer_than_a_message_may_take_stays(strict: Server) -> None:
    with open_websocket(strict.port, "/echo") as line, open_websocket(strict.port, "/echo") as other:
        assert other.send(fragment(1, b"half of it")).close_code() == 1008  # a second is over
        assert line.send(masked(1, b"still here")).frame() == (1, b"still here")


def test_text_that_is_none_is_refused(strict: Server) -> None:
    with open_websocket(strict.port, "/echo") as line:
        assert line.send(masked(1, b"\xff")).close_code() == 1007
    with open_websocket(strict.port, "/echo") as line:
        assert line.send(masked(8, (3000).to_bytes(2, "big") + b"bye")).close_code() == 3000


def test_a_flood_of_short_frames_leaves_others_their_turn(strict: Server) -> None:
    with open_websocket(strict.port, "/echo") as line:
        line.send(masked(9, b"") * 20_000)
        assert strict.get("/page") == "a page, websocket: False"
        for _ in range(20_000):
            assert line.frame() == (10, b"")
