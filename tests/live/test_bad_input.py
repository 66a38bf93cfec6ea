"""Whatever is wrong is answered so that a person can put it right, and nothing else is lost by it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.live.raw import UPGRADE, Answer, Line, ask, head, masked, open_websocket, request, shape
from tests.live.server import LIMIT_SECONDS, Server, serve
from tests.live.strict import LIMIT_BYTES

KEY = "abcdefghijklmnopqrstuv"
JSON = "application/json"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(application="tests.live.strict:app") as server:
        yield server


def open_files(server: Server) -> int:
    return len(os.listdir(f"/proc/{server.pid}/fd"))


@pytest.fixture(scope="module", autouse=True)
def files_at_first(server: Server) -> int:
    """How many files the server has open when it has served each transport and everybody has left."""
    for accept in ("text/event-stream", "application/json"):
        with Line(server.port) as line:
            line.send(request(accept=accept)).head()
    with open_websocket(server.port) as line:
        assert echoes(line)
    return open_files(server)


@pytest.fixture(scope="module")
def port(server: Server) -> int:
    return server.port


def post(port: int, body: bytes, content_type: str = JSON, target: str = "/comet") -> Answer:
    return ask(port, request("POST", target, body, content_type=content_type))


def history(port: int, count: int = 5) -> list[Any]:
    """What the channel remembers, by a poll."""
    shapes = ask(port, request(target=f"/comet?last={count}")).json
    return [one["data"] for one in shapes if "data" in one]


def is_alive(port: int) -> bool:
    return ask(port, request(target="/")).body == b"alive"


# Posts


@pytest.mark.parametrize(
    ("body", "code"),
    [
        *((body, "json") for body in (b"hello", b"", b"{", b"NaN", b"[" * 900, b'"\xff"')),
        *((body, "shape") for body in (b"1", b"null", b"{}", b"[1]", b'[{"data":1},{"n":2}]', b'{"event":"","data":1}')),
        (b'{"data":{"$bytes":"?"}}', "shape"),
        (b'{"event":"open","data":1}', "shape"),
        (b'{"reply":true,"data":1}', "shape"),
    ],
)
def test_a_post_that_is_not_native_is_400_and_nothing_of_it_is_taken(port: int, body: bytes, code: str) -> None:
    before = history(port)
    answer = post(port, body)
    assert (answer.status, answer.headers["content-type"]) == (400, "application/json")
    assert answer.error in (code, "charset")
    assert "traceback" not in answer.body.decode().lower()
    assert history(port) == before


@pytest.mark.parametrize("name", ["open", "close", "error", "reset", "transport", "ping", "reconnect"])
def test_an_events_name_that_is_ours_is_refused_by_its_name(port: int, name: str) -> None:
    answer = post(port, json.dumps({"event": name, "data": 1}).encode())
    assert (answer.status, answer.error) == (400, "shape")
    assert name in answer.json["error"]["message"]


def test_an_event_without_a_handler_is_named_to_who_posts_it(port: int) -> None:
    answer = post(port, b'{"event":"nobody hears this","data":1}')
    assert (answer.status, answer.error) == (404, "event")


def test_text_that_is_not_in_its_charset_is_400(port: int) -> None:
    for kind in ("text/plain", "text/plain; charset=utf-8", "text/plain; charset=nonsense"):
        answer = post(port, b"\xff", kind)
        assert (answer.status, answer.error) == (400, "charset")


@pytest.mark.parametrize("charset", ["punycode", "idna", "undefined", "utf-7", "unicode_escape", "rot13", ""])
def test_a_charset_that_is_not_among_ours_is_400_and_ours_are_named(port: int, charset: str) -> None:
    answer = post(port, b"abc", f'text/plain; charset="{charset}"')
    assert (answer.status, answer.error) == (400, "charset")
    assert answer.json["error"]["message"].endswith("expected one of utf-8, us-ascii, iso-8859-1, windows-1252, utf-16")


def test_a_form_of_too_many_fields_is_400(port: int) -> None:
    body = b"&".join(b"a%d=1" % number for number in range(11))
    answer = post(port, body, "application/x-www-form-urlencoded", "/comet?v=1")
    assert (answer.status, answer.error) == (400, "form")


def test_a_form_without_its_field_is_400(port: int) -> None:
    answer = post(port, b"x=1", "application/x-www-form-urlencoded", "/comet?v=1")
    assert (answer.status, answer.error) == (400, "form")


def test_half_of_a_surrogate_pair_comes_back_as_it_went(port: int) -> None:
    answer = post(port, b'{"data":"\\ud800"}')
    assert (answer.status, answer.json) == (200, {"accepted": 1, "data": "\ud800"})


def test_what_json_cannot_hold_is_raised_where_it_is_published(port: int) -> None:
    answer = post(port, b'{"event":"unfit","data":null}')
    assert answer.json["data"].count("a message's data must be JSON or bytes") == 3


@pytest.mark.parametrize("size", [LIMIT_BYTES + 1, 4 * LIMIT_BYTES])
@pytest.mark.parametrize("chunked", [False, True])
def test_an_oversized_post_is_413_with_limit_and_size_and_the_connection_stays(port: int, size: int, chunked: bool) -> None:
    body = b"x" * size
    message = request("POST", "/comet", body, content_type="text/plain")
    if chunked:
        message = request("POST", "/comet", transfer_encoding="chunked") + b"%x\r\n%b\r\n0\r\n\r\n" % (size, body)
    with Line(port) as line:
        answer = line.send(message).answer()
        assert (answer.status, answer.error) == (413, "size")
        assert answer.json["error"]["limit"] == LIMIT_BYTES
        assert answer.json["error"]["size"] == size
        assert "Limits.max_message_bytes" in answer.json["error"]["message"]
        assert line.send(request("POST", "/comet", b"small", content_type="text/plain")).answer().status == 200


def test_a_post_of_exactly_the_limit_is_taken(port: int) -> None:
    assert post(port, b"x" * LIMIT_BYTES, "text/plain").status == 200


@pytest.mark.parametrize("chunked", [False, True])
def test_a_post_beyond_four_times_the_limit_is_413_and_ends_the_connection(port: int, chunked: bool) -> None:
    size = 4 * LIMIT_BYTES + 1
    message = request("POST", "/comet", b"x" * size, content_type="text/plain")
    if chunked:
        message = request("POST", transfer_encoding="chunked") + b"%x\r\n%b\r\n0\r\n\r\n" % (size, b"x" * size)
    with Line(port) as line:
        answer = line.send(message).answer()
        assert (answer.status, answer.error, answer.headers["connection"]) == (413, "size", "close")
        assert line.read_to_end() == b""


def test_a_body_that_is_refused_is_not_waited_for(port: int) -> None:
    with Line(port) as line:
        fields = {"Host": "h", "Content-Type": "text/plain", "Content-Length": "1000000000"}
        answer = line.send(head("POST", "/comet", fields) + b"the beginning").answer()
        assert (answer.status, answer.headers["connection"]) == (413, "close")
        assert line.read_to_end() == b""


def test_a_large_body_that_is_refused_does_not_tear_the_answer_away(port: int) -> None:
    """What is still on its way is read for a while: a reset would throw our answer away at the client."""
    with Line(port) as line:
        answer = line.send(request("POST", "/comet", b"x" * 1_000_000, content_type="text/plain")).answer()
        assert (answer.status, answer.error) == (413, "size")


def test_a_body_of_unknown_length_is_taken(port: int) -> None:
    chunks = b"5\r\nhello\r\n6;extension=1\r\n world\r\n0\r\nTrailer: x\r\n\r\n"
    answer = ask(port, request("POST", transfer_encoding="chunked", content_type="text/plain") + chunks)
    assert (answer.status, answer.json) == (200, {"accepted": 1, "data": "hello world"})


@pytest.mark.parametrize("chunks", [b"nonsense\r\n", b"5\r\nhelloXX", b"-1\r\n", b"fffffffffffffffffff\r\n"])
def test_a_broken_chunk_is_400_and_ends_the_connection(port: int, chunks: bytes) -> None:
    with Line(port) as line:
        answer = line.send(request("POST", transfer_encoding="chunked") + chunks).answer()
        assert answer.status == 400
        line.finish()
        assert line.read_to_end() == b""


def test_a_body_that_comes_too_slowly_is_408_and_ends_the_connection(port: int) -> None:
    with Line(port) as line:
        answer = line.send(head("POST", "/comet", {"Host": "h", "Content-Length": "10"}) + b"abc").answer()
        assert (answer.status, answer.error, answer.headers["connection"]) == (408, "slow", "close")
        assert "Limits.body_seconds=0.5" in answer.json["error"]["message"]
        assert line.read_to_end() == b""


def test_a_chunked_body_that_comes_too_slowly_is_408_and_ends_the_connection(port: int) -> None:
    with Line(port) as line:
        answer = line.send(request("POST", transfer_encoding="chunked") + b"5\r\nhel").answer()
        assert (answer.status, answer.error) == (408, "slow")
        assert line.read_to_end() == b""


def test_a_body_that_ends_early_is_400(port: int) -> None:
    before = history(port)
    with Line(port) as line:
        answer = line.send(head("POST", "/comet", {"Host": "h", "Content-Length": "10"}) + b"abc").finish().answer()
        assert (answer.status, answer.error) == (400, "body")
        assert line.read_to_end() == b""
    assert history(port) == before


@pytest.mark.parametrize("length", ["x", "-1", "1e3", "1,2"])
def test_a_length_that_is_none_is_400(port: int, length: str) -> None:
    with Line(port) as line:
        assert b"400 Bad Request" in line.send(head("POST", "/comet", {"Host": "h", "Content-Length": length})).read_to_end()


@pytest.mark.parametrize("begun", [b"G", b"GET /comet HTTP/1.1\r\nHost: h\r\nX-Sl", b"GET /comet HTTP/1.1\r\n"])
def test_a_head_that_comes_too_slowly_is_408_and_ends_the_connection(port: int, begun: bytes) -> None:
    with Line(port) as line:
        answer = line.send(begun).answer()
        assert (answer.status, answer.headers["connection"]) == (408, "close")
        assert line.read_to_end() == b""


def test_a_head_that_drips_is_408_all_the_same(port: int) -> None:
    """The limit is on the whole head: one byte now and then does not begin it anew."""
    with Line(port) as line:
        line.sock.settimeout(0.05)
        line.send(b"GET /comet HTTP/1.1\r\nX-Slow: ")
        answered = b""
        for _ in range(200):
            try:
                line.send(b"x")
                answered = line.sock.recv(1000)
                break
            except TimeoutError:
                continue
        assert answered.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    "message",
    [
        b"GET /comet HTTP/1\r\n\r\n",
        b"GET /comet HTTP/2.0\r\n\r\n",
        b"GET /comet HTTP/1.x\r\n\r\n",
        b"POST /comet\r\n\r\n",
    ],
    ids=range(4),
)
def test_a_head_that_is_none_is_400_and_ends_the_connection(port: int, message: bytes) -> None:
    with Line(port) as line:
        assert line.send(message).read_to_end().startswith(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n")


# Options and methods


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "BREW"])
def test_another_method_is_405_with_allow(port: int, method: str) -> None:
    answer = ask(port, request(method, body=b""))
    assert (answer.status, answer.error, answer.headers["allow"]) == (405, "method", "GET, POST, OPTIONS")


def test_head_is_405_without_a_body(port: int) -> None:
    with Line(port) as line:
        line.send(request("HEAD") + request(target="/", connection="close"))
        assert (line.head().status, line.head().status) == (405, 200)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        *((query, "last") for query in ("last=-1", "last=x", "last=", "last=1.5", "last=9999999999")),
        *((query, "wait") for query in ("wait=-1", "wait=x", "wait=", "wait=nan", "wait=inf")),
        *((query, "key") for query in ("key=", "key=short", f"key={KEY}%0a", "key=" + "x" * 87)),
        *((query, "transport") for query in ("transport=", "transport=pigeon", "transport=websocket")),
        *((query, "version") for query in ("v=", "v=2")),
    ],
)
def test_a_bad_option_is_400_and_named(port: int, query: str, code: str) -> None:
    answer = ask(port, request(target=f"/comet?{query}"))
    assert (answer.status, answer.error) == (400, code)
    assert len(answer.body) < 400


@pytest.mark.parametrize("headers", [{"comet_key": "short"}, UPGRADE | {"sec_websocket_protocol": "key.short"}])
def test_a_bad_key_in_a_header_is_400(port: int, headers: dict[str, str]) -> None:
    fields = {name.replace("_", "-").title(): value for name, value in headers.items()}
    answer = ask(port, head("GET", "/comet", {"Host": "h"} | fields))
    assert (answer.status, answer.error) == (400, "key")


def test_what_is_below_the_path_and_nothing_is_404(port: int) -> None:
    answer = ask(port, request(target="/comet/nothing%0a%1b[31m"))
    assert (answer.status, answer.error) == (404, "path")
    assert "nothing\\n\\x1b[31m" in answer.json["error"]["message"]


def test_a_position_of_another_log_is_a_reset_and_not_a_failure(port: int) -> None:
    for after in ("nonsense", "gone-7", "%ff%fe", "x" * 5000):
        shapes = ask(port, request(target=f"/comet?after={after}")).json
        assert [next(iter(one)) for one in shapes] == ["open", "reset"]


# Numbers


def test_a_number_that_is_not_the_next_is_409_with_what_was_accepted(port: int) -> None:
    target = "/comet?key=numbers0000000000000000"
    assert post(port, b'{"n":1,"data":1}', target=target).json == {"accepted": 1}
    answer = post(port, b'{"n":3,"data":3}', target=target)
    assert (answer.status, answer.error, answer.json["error"]["accepted"]) == (409, "number", 1)
    assert post(port, b'{"n":1,"data":1}', target=target).json == {"accepted": 1}
    assert post(port, b'{"n":2,"data":2}', target=target).json == {"accepted": 2}


# Handshakes


def refused(port: int, version: str = "HTTP/1.1", target: str = "/comet", **changes: str | None) -> Answer:
    fields = {"Host": "h"} | UPGRADE | {name.replace("_", "-"): value for name, value in changes.items()}
    return ask(port, head("GET", target, {name: value for name, value in fields.items() if value is not None}, version))


def test_the_handshake_of_rfc_6455(port: int) -> None:
    with open_websocket(port, sec_websocket_protocol="chat, superchat") as line:
        assert line.send(masked(1, b"hi")).frame() == (1, b"hi")


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ("chat, superchat", "superchat"),
        ("superchat", "superchat"),
        ("chat", None),
        ("cometware.v1, superchat", "cometware.v1"),
        (f"cometware.v1, key.{KEY}", "cometware.v1"),
        (None, None),
    ],
)
def test_of_the_subprotocols_that_are_offered_the_allowed_one_is_chosen(
    port: int, offered: str | None, chosen: str | None
) -> None:
    answer = refused(port, Sec_WebSocket_Protocol=offered)
    assert (answer.status, answer.headers.get("sec-websocket-protocol")) == (101, chosen)


@pytest.mark.parametrize("key", [None, "", "short", "x3JJHMbDL1EzLkh9GBhXDw", "not base64 at all!!!!!!!"])
def test_a_bad_websocket_key_is_400(port: int, key: str | None) -> None:
    assert refused(port, Sec_WebSocket_Key=key).status == 400


@pytest.mark.parametrize("version", [None, "", "8", "12", "14", "x"])
def test_another_websocket_version_is_426_and_ours_is_named(port: int, version: str | None) -> None:
    answer = refused(port, Sec_WebSocket_Version=version)
    assert (answer.status, answer.headers["sec-websocket-version"]) == (426, "13")


@pytest.mark.parametrize("taken", [{"Upgrade": None}, {"Upgrade": None, "Connection": "close"}, {"Connection": "keep-alive"}])
def test_an_upgrade_that_a_proxy_took_away_is_426_and_names_nginx_setting(port: int, taken: dict[str, Any]) -> None:
    answer = refused(port, **taken)
    assert (answer.status, answer.error, answer.headers["upgrade"]) == (426, "upgrade", "websocket")
    assert "proxy_set_header Upgrade $http_upgrade" in answer.json["error"]["message"]


def test_an_application_refuses_before_any_101(port: int) -> None:
    answer = refused(port, target="/comet?refuse=1")
    assert (answer.status, answer.error) == (401, "refused")
    assert answer.json["error"]["message"] == "log in first"


def test_a_websocket_over_http_1_0_is_400(port: int) -> None:
    assert refused(port, "HTTP/1.0").status == 400


# HTTP/1.0


def test_an_event_stream_over_http_1_0_ends_with_its_connection(port: int) -> None:
    with Line(port) as line:
        answer = line.send(head("GET", "/comet", {"Accept": "text/event-stream"}, "HTTP/1.0")).head()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert "transfer-encoding" not in answer.headers and "content-length" not in answer.headers
        line.read_until(b"\n\n")
        post(port, b"to the old one", "text/plain")
        assert line.read_until(b"\n\n").endswith(b"data: to the old one\n\n")


def test_a_poll_over_http_1_0_is_answered_and_ends_its_connection(port: int) -> None:
    with Line(port) as line:
        answer = line.send(head("GET", "/comet", {}, "HTTP/1.0")).answer()
        assert "open" in answer.json[0]
        assert line.read_to_end() == b""
    with Line(port) as line:
        target = "/comet" + answer.headers["link"][1:].partition(">")[0]
        line.send(head("GET", target, {}, "HTTP/1.0"))
        post(port, b"to the old one", "text/plain")
        answer = line.answer()
        assert answer.json[0]["data"] == "to the old one"
        assert line.read_to_end() == b""


def test_a_post_over_http_1_0_is_taken(port: int) -> None:
    fields = {"Content-Type": "text/plain", "Content-Length": "2"}
    assert ask(port, head("POST", "/comet", fields, "HTTP/1.0") + b"hi").status == 200


# Frames


def echoes(line: Line, text: bytes = b"still here") -> bool:
    """Does this connection still carry a message there and back?"""
    line.send(masked(1, text))
    while True:
        opcode, payload = line.frame()
        if (opcode, payload) == (1, text):
            return True


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\x81\x05Hello", 1002),  # not masked (§5.1)
        (b"\xc1" + masked(1, b"Hello")[1:], 1002),  # a reserved bit (§5.2)
        (masked(3, b""), 1002),  # a reserved opcode
        (masked(0, b"x"), 1002),  # nothing to continue (§5.4)
        (masked(9, b"x", fin=False), 1002),  # a control frame in pieces (§5.5)
        (masked(9, b"x" * 126), 1002),  # a control frame that is too long
        (masked(1, b"a", fin=False) + masked(1, b"b"), 1002),
        (masked(8, b"\x03"), 1002),  # half a code (§5.5.1)
        (masked(8, b"\x03\xed"), 1002),  # 1005 is never sent (§7.4.1)
        (masked(1, b"\xff"), 1007),  # not UTF-8 (§8.1)
        (masked(1, b"\xed\xa0\x80"), 1007),
        (masked(1, b"\xe2\x82", fin=False) + masked(0, b""), 1007),
        (masked(8, b"\x03\xe8\xff"), 1007),
        (masked(1, b"x" * (4 * LIMIT_BYTES + 1)), 1009),
        (masked(2, b"x" * 3 * LIMIT_BYTES, fin=False) + masked(0, b"x" * 3 * LIMIT_BYTES), 1009),
        (masked(8, b"\x03\xe8"), 1000),
        (masked(8, b"\x0f\xa1bye"), 4001),
    ],
)
def test_a_frame_that_ends_the_connection_is_answered_by_a_close_code(port: int, frame: bytes, code: int) -> None:
    with open_websocket(port) as line:
        assert line.send(frame).close_code() == code


def test_a_length_beyond_all_bounds_is_refused_before_it_comes(port: int) -> None:
    with open_websocket(port) as line:
        assert line.send(b"\x82\xff\x7f" + b"\xff" * 7 + b"\0\0\0\0").close_code() == 1009


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("size", [LIMIT_BYTES + 1, 4 * LIMIT_BYTES])
def test_an_oversized_message_is_an_error_with_limit_and_size_and_the_connection_stays(
    port: int, size: int, native: bool
) -> None:
    with open_websocket(port, "/comet?v=1" if native else "/comet") as line:
        error = shape(line.send(masked(1, b"x" * size)), "error")
        assert (error["code"], error["limit"], error["size"]) == ("size", LIMIT_BYTES, size)
        assert "Limits.max_message_bytes" in error["message"]
        line.send(masked(1, b'{"data":"fits"}'))
        while b"fits" not in line.frame()[1]:
            pass


@pytest.mark.parametrize(
    ("text", "code"),
    [
        *((text, "json") for text in (b"hello", b"", b"{", b"[" * 990)),
        *((text, "shape") for text in (b"1", b"{}", b"[[]]", b'{"event":"close","data":1}', b"[" * 400 + b"]" * 400)),
    ],
)
def test_a_message_that_is_not_native_is_an_error_and_the_connection_stays(port: int, text: bytes, code: str) -> None:
    with open_websocket(port, "/comet?v=1") as line:
        error = shape(line.send(masked(1, text)), "error")
        assert error["code"] in (code, "json")
        assert shape(line.send(masked(1, b'{"n":1,"event":"who","reply":true}')), "data")["user"] is None


def test_a_message_in_pieces_with_a_ping_between_is_whole(port: int) -> None:
    with open_websocket(port) as line:
        line.send(masked(1, "né".encode()[:2], fin=False) + masked(9, b"!") + masked(0, "né".encode()[2:]))
        assert sorted([line.frame(), line.frame()]) == [(1, "né".encode()), (10, b"!")]


def test_a_frame_that_comes_byte_by_byte_is_whole(port: int) -> None:
    with open_websocket(port) as line:
        for byte in masked(1, b"drip"):
            line.send(bytes([byte]))
        assert line.frame() == (1, b"drip")


@pytest.mark.parametrize("payload", [b"", b"Hello", b"x" * 125])
def test_a_ping_is_answered_by_a_pong_with_the_same_payload(port: int, payload: bytes) -> None:
    with open_websocket(port) as line:
        assert line.send(masked(9, payload)).frame() == (10, payload)
        assert echoes(line.send(masked(10, b"a pong that nobody asked for")))


def test_frames_that_come_with_the_handshake_are_not_lost(port: int) -> None:
    with Line(port) as line:
        line.send(head("GET", "/comet", {"Host": "h"} | UPGRADE) + masked(1, b"early"))
        assert line.answer().status == 101
        assert line.frame() == (1, b"early")


def test_a_native_ping_is_answered_with_the_position(port: int) -> None:
    with open_websocket(port, "/comet?v=1") as line:
        assert isinstance(shape(line.send(masked(1, b'{"ping":1}')), "ping"), str)


# Garbage

BOUNDED = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
HEADS = st.sampled_from(
    [
        request(target="/comet?wait=0", accept="text/event-stream"),
        request("POST", body=b'{"n":1,"data":{"$bytes":"/w=="}}', content_type=JSON),
        request("POST", transfer_encoding="chunked") + b"3\r\nabc\r\n0\r\n\r\n",
        head("GET", "/comet?v=1", {"Host": "h"} | UPGRADE),
    ]
)


def survives(port: int, data: bytes) -> None:
    with Line(port) as line:
        try:
            line.send(data).finish()
        except OSError:
            pass
        line.read_to_end()


@BOUNDED
@given(data=st.binary(max_size=300))
def test_random_bytes_do_not_kill_the_server(port: int, data: bytes) -> None:
    survives(port, data)
    assert is_alive(port)


@BOUNDED
@given(message=HEADS, at=st.integers(0, 300), put=st.binary(max_size=4), drop=st.integers(0, 3))
def test_damaged_requests_do_not_kill_the_server(port: int, message: bytes, at: int, put: bytes, drop: int) -> None:
    at = at % len(message)
    survives(port, message[:at] + put + message[at + drop :])
    assert is_alive(port)


@BOUNDED
@given(data=st.binary(max_size=300), native=st.booleans())
def test_random_bytes_behind_a_handshake_do_not_kill_the_server(port: int, data: bytes, native: bool) -> None:
    with open_websocket(port, "/comet?v=1" if native else "/comet") as line:
        line.send(data).finish()
        line.read_to_end()
    assert is_alive(port)


@BOUNDED
@given(payload=st.binary(max_size=200) | st.text().map(str.encode), opcode=st.integers(0, 15), fin=st.booleans())
def test_random_frames_do_not_kill_the_server(port: int, payload: bytes, opcode: int, fin: bool) -> None:
    with open_websocket(port, "/comet?v=1") as line:
        line.send(masked(opcode, payload, fin=fin)).finish()
        line.read_to_end()
    assert is_alive(port)


def test_none_of_all_this_has_left_a_traceback(server: Server) -> None:
    assert server.unexpected_errors == []


def test_none_of_all_this_has_left_a_socket(server: Server, files_at_first: int) -> None:
    """Whoever has left is let go, within the seconds that a close may take."""
    end = time.monotonic() + LIMIT_SECONDS
    while open_files(server) > files_at_first and time.monotonic() < end:
        assert is_alive(server.port)
    assert open_files(server) <= files_at_first
