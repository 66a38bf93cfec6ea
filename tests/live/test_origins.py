"""Nobody gets in by accident: what a foreign page may do with its visitors' cookies, on every transport."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.live.raw import UPGRADE, Answer, Line, ask, head, masked, shape
from tests.live.server import Server, serve

KEY = "abcdefghijklmnopqrstuv"
EVIL = {"Host": "shop.example", "Origin": "https://evil.example", "Cookie": "user=ann"}
WHO = b'{"event":"who"}'
PLAIN = {"cache-control", "content-length", "content-type", "date", "referrer-policy", "vary", "x-content-type-options"}
POST = {"Content-Type": "application/json", "Content-Length": str(len(WHO))}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(application="tests.live.strict:app") as server:
        yield server


def get(path: str, fields: dict[str, str], **more: str) -> bytes:
    return head("GET", path, fields | {name.replace("_", "-").title(): value for name, value in more.items()})


WAYS = {
    "websocket": get("/comet", EVIL | UPGRADE),
    "event stream": get("/comet", EVIL, accept="text/event-stream"),
    "stream": get("/comet", EVIL, accept="application/x-ndjson"),
    "poll": get("/comet", EVIL, accept="application/json"),
    "post": head("POST", "/comet", EVIL | POST) + WHO,
    "preflight": head("OPTIONS", "/comet", EVIL | {"Access-Control-Request-Method": "POST"}),
    "hidden origin": get("/comet", {"Host": "shop.example", "Sec-Fetch-Site": "cross-site"}),
    "script tag": get("/comet", {"Host": "shop.example", "Cookie": "a=b", "Referer": "https://evil.example/x"}),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_foreign_page_is_refused_by_403_that_says_got_expected_and_setting(server: Server, way: str) -> None:
    answer = ask(server.port, WAYS[way])
    error = answer.json["error"]
    got = "Sec-Fetch-Site: cross-site" if way == "hidden origin" else "https://evil.example"
    assert answer.status == 403
    assert (error["code"], error["got"], error["expected"]) == ("origin", got, "shop.example")
    assert error["setting"] == "allowed_origins"
    advised = "*" if way == "hidden origin" else got
    assert f'allowed_origins=["{advised}"]' in error["message"]
    assert "proxy_set_header Host" in error["message"]
    assert answer.headers["vary"] == "Origin"
    assert not [name for name in answer.headers if name.startswith("access-control")]


def logged(server: Server, before: int) -> list[str]:
    """Return the lines of the log since it was so long, but for what the watchdog says on a busy machine."""
    return [line for line in server.errors[before:].split("\n")[:-1] if "the event loop was held" not in line]


def test_the_log_says_the_same_in_one_line_however_often_it_happens(server: Server) -> None:
    before = len(server.errors)
    for _ in range(10):
        ask(server.port, get("/comet", EVIL | {"Origin": "https://other.example"}, accept="application/json"))
    (line,) = logged(server, before)
    assert line.startswith("WARNING cometware: 403 origin: this page may not use the channel: got https://other.example, ")
    assert "expected the host shop.example" in line
    assert 'allowed_origins=["https://other.example"]' in line


@pytest.mark.parametrize(
    "origin", ["https://evil\x1b[31m.example", 'x", "y', "\xe9" * 50, "x" * 10_000, "\x1b[2J" * 2000, "a\x0bb\x0cc\x85d"]
)
@pytest.mark.parametrize("name", ["Origin", "Host"])
def test_what_a_stranger_sends_stays_one_short_printable_line_of_the_log(server: Server, name: str, origin: str) -> None:
    before = len(server.errors)
    answer = ask(server.port, get("/comet", EVIL | {name: origin}))
    assert answer.status in (400, 403)
    assert len(answer.body) < 3000
    lines = logged(server, before)
    assert len(lines) == 1 or (answer.status == 400 and not lines), "a head that is none is told once, and then counted"
    assert all(re.fullmatch(r"[ -~…]{1,1200}", line) for line in lines)


def test_a_folded_header_cannot_forge_a_line_of_the_log(server: Server) -> None:
    before = len(server.errors)
    message = b"GET /comet HTTP/1.1\r\nHost: h\r\nOrigin: https://evil.example\r\n\tERROR root: forged\r\n\r\n"
    with Line(server.port) as line:
        assert line.send(message).head().status in (400, 403)
    assert not [line for line in logged(server, before) if line.lstrip().startswith("ERROR")]


@pytest.mark.parametrize(
    "fields",
    [
        {"Host": "shop.example", "Origin": "https://shop.example"},
        {"Host": "shop.example:8000", "Origin": "http://shop.example:8000"},
        {"Host": "backend", "Origin": "https://shop.example", "Sec-Fetch-Site": "same-origin"},
        {"Host": "shop.example"},
    ],
)
def test_the_own_page_and_a_program_get_in_without_any_cors(server: Server, fields: dict[str, str]) -> None:
    answer = ask(server.port, head("POST", "/comet", fields | POST | {"Cookie": "user=ann"}) + WHO)
    assert (answer.status, answer.json["data"]["user"]) == (200, "ann")
    assert set(answer.headers) == PLAIN


def cors(answer: Answer) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control")}


SHOP = {"Host": "comet.example", "Origin": "https://shop.example", "Cookie": "user=ann", "Authorization": "Basic x"}
NAMED = {
    "access-control-allow-origin": "https://shop.example",
    "access-control-allow-credentials": "true",
    "access-control-expose-headers": "Link, Retry-After",
}
NOBODY = {
    "access-control-allow-origin": "https://shop.example",
    "access-control-expose-headers": "Link, Retry-After",
}


@pytest.mark.parametrize(("path", "expected"), [("/shop", NAMED), ("/open", NOBODY)])
@pytest.mark.parametrize("accept", ["text/event-stream", "application/x-ndjson", "application/json"])
def test_a_page_that_may_is_told_so_on_every_transport(
    server: Server, path: str, accept: str, expected: dict[str, str]
) -> None:
    with Line(server.port) as line:
        answer = line.send(get(path, SHOP, accept=accept)).head()
        assert (answer.status, cors(answer), answer.headers["vary"]) == (200, expected, "Origin")


@pytest.mark.parametrize(("path", "expected"), [("/shop", NAMED), ("/open", NOBODY)])
def test_a_held_poll_tells_it_too(server: Server, path: str, expected: dict[str, str]) -> None:
    with Line(server.port) as line:
        first = line.send(get(path, SHOP)).answer()
        link = first.headers["link"][1:].partition(">")[0]
        for _ in range(2):  # the second time from the parked connection
            line.send(get(path + link, SHOP))
            assert ask(server.port, head("POST", path, SHOP | POST) + b'{"data":  "x" }').status == 200
            answer = line.answer()
            assert (answer.status, cors(answer)) == (200, expected)
            link = answer.headers["link"][1:].partition(">")[0]


@pytest.mark.parametrize(("path", "expected"), [("/shop", NAMED), ("/open", NOBODY)])
def test_a_preflight_is_answered(server: Server, path: str, expected: dict[str, str]) -> None:
    answer = ask(server.port, head("OPTIONS", path, SHOP | {"Access-Control-Request-Headers": "comet-key"}))
    assert answer.status == 204
    assert cors(answer) == expected | {
        "access-control-allow-methods": "GET, POST",
        "access-control-allow-headers": "Comet-Key, Content-Type, Last-Event-ID",
        "access-control-max-age": "7200",
    }
    assert answer.body == b""


def test_an_error_can_be_read_by_the_page_that_may(server: Server) -> None:
    answer = ask(server.port, get("/shop?last=x", SHOP))
    assert (answer.status, cors(answer)) == (400, NAMED)


def who(server: Server, path: str, fields: dict[str, str]) -> Any:
    return ask(server.port, head("POST", path, fields | POST) + WHO).json["data"]


def test_an_allowed_page_comes_with_its_cookies(server: Server) -> None:
    assert who(server, "/shop", SHOP) == {"user": "ann", "cookie": "user=ann", "authorization": "Basic x"}


def test_under_a_star_everybody_comes_without_cookies(server: Server) -> None:
    assert who(server, "/open", SHOP) == {"user": None, "cookie": None, "authorization": None}
    assert who(server, "/open", SHOP | {"Origin": "null"}) == {"user": None, "cookie": None, "authorization": None}


def test_under_a_star_the_own_page_keeps_its_cookies(server: Server) -> None:
    own = SHOP | {"Origin": "https://comet.example"}
    assert who(server, "/open", own) == {"user": "ann", "cookie": "user=ann", "authorization": "Basic x"}


@pytest.mark.parametrize(("path", "user"), [("/shop", "ann"), ("/open", None)])
def test_a_websocket_from_a_page_that_may(server: Server, path: str, user: str | None) -> None:
    with Line(server.port) as line:
        assert line.send(get(path + "?v=1", SHOP | UPGRADE)).answer().status == 101
        line.send(masked(1, b'{"n":1,"event":"who","reply":true}'))
        assert shape(line, "data")["user"] == user


def test_an_allowed_page_of_one_channel_is_foreign_to_another(server: Server) -> None:
    assert ask(server.port, get("/comet", SHOP)).status == 403


@pytest.mark.parametrize("origin", ["http://shop.example", "https://shop.example:8443", "https://a.shop.example"])
def test_an_origin_that_only_resembles_is_refused(server: Server, origin: str) -> None:
    assert ask(server.port, get("/shop", SHOP | {"Origin": origin})).status == 403


def test_the_message_is_json_for_programs(server: Server) -> None:
    answer = ask(server.port, WAYS["poll"])
    assert answer.headers["content-type"] == "application/json"
    assert json.loads(answer.body).keys() == {"error"}
