"""Greeting, iframe page, info and what a session may be called (BaseUrlGreeting, IframePage, InfoTest, SessionURLs)."""

from __future__ import annotations

import json
import re

import pytest

from tests.conformance.sockjs.session import check_cors, check_uncached, fresh, get, opened, options, post
from tests.live.raw import ask, head
from tests.live.server import Server


@pytest.mark.parametrize("path", ["/echo", "/echo/"])
def test_the_base_greets(port: int, path: str) -> None:
    answer = get(port, path)
    assert (answer.status, answer.body) == (200, b"Welcome to SockJS!\n")
    assert answer.headers["content-type"] == "text/plain; charset=UTF-8"
    assert answer.headers["content-length"] == "19"
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("path", ["/a", "/a.html", "//", "///", "/a/a", "/a/a/", "/a", "/a/"])
def test_what_is_nothing_is_404(port: int, path: str) -> None:
    assert get(port, "/echo" + path).status == 404


# IframePage

IFRAME = re.compile(
    rb"""
<!DOCTYPE html>
<html>
<head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
  <script src="(?P<script>[^"]*)"></script>
  <script>
    document\.domain = document\.domain;
    SockJS\.bootstrap_iframe\(\);
  </script>
</head>
<body>
  <h2>Don't panic!</h2>
  <p>This is a SockJS hidden iframe\. It's used for cross domain magic\.</p>
</body>
</html>
""".strip()
)


@pytest.mark.parametrize("version", ["", "-a", "-", "-0.1.2", "-0.1.2abc-dirty.2144"])
@pytest.mark.parametrize("query", ["", "?t=1234"])
def test_the_iframes_page_of_any_version_is_the_same(port: int, version: str, query: str) -> None:
    answer = get(port, f"/echo/iframe{version}.html{query}")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=UTF-8"
    found = IFRAME.fullmatch(answer.body.strip())
    assert found is not None, answer.body
    assert found["script"] == b"/sockjs.min.js"
    assert "max-age=31536000" in answer.headers["cache-control"] and "public" in answer.headers["cache-control"]
    assert "expires" in answer.headers and answer.headers["etag"]
    assert "last-modified" not in answer.headers and "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "path", ["/iframe.htm", "/iframe", "/IFRAME.HTML", "/IFRAME", "/iframe.HTML", "/iframe.xml", "/iframe-/.html"]
)
def test_what_only_looks_like_the_iframes_page_is_404(port: int, path: str) -> None:
    assert get(port, "/echo" + path).status == 404


def test_the_iframes_page_is_not_sent_again_to_whoever_has_it(port: int) -> None:
    tag = get(port, "/echo/iframe.html").headers["etag"]
    again = get(port, "/echo/iframe-1.html", if_none_match=tag)
    assert (again.status, again.body) == (304, b"")
    assert "content-type" not in again.headers
    assert again.headers["etag"] == tag


def test_only_pages_that_may_use_the_channel_may_frame_the_iframes_page(port: int) -> None:
    assert get(port, "/echo/iframe.html").headers["content-security-policy"] == "frame-ancestors 'self'"


def test_without_the_clients_url_there_is_no_iframes_page(port: int) -> None:
    answer = get(port, "/close/iframe.html")
    assert answer.status == 404 and b"sockjs_script" in answer.body


# InfoTest


def test_info_tells_what_there_is(port: int) -> None:
    answer = get(port, "/echo/info", origin="http://test")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json; charset=UTF-8"
    check_uncached(answer)
    check_cors(answer, "http://test")
    assert answer.headers["vary"] == "Origin"
    told = answer.json
    assert told.keys() == {"websocket", "origins", "cookie_needed", "entropy"}
    assert (told["websocket"], told["origins"], told["cookie_needed"]) == (True, ["*:*"], False)
    assert isinstance(told["entropy"], int) and 0 <= told["entropy"] < 2**32


def test_entropy_differs(port: int) -> None:
    assert get(port, "/echo/info").json["entropy"] != get(port, "/echo/info").json["entropy"]


@pytest.mark.parametrize("origin", ["http://test", "null"])
def test_the_options_of_info(port: int, origin: str) -> None:
    answer = options(port, "/echo/info", origin=origin)
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["access-control-allow-methods"] == "GET, OPTIONS"
    check_options(answer.headers, origin)


def check_options(headers: dict[str, str], origin: str) -> None:
    assert headers["cache-control"] == "public, max-age=31536000"
    assert "expires" in headers
    assert int(headers["access-control-max-age"]) > 1_000_000
    assert headers["access-control-allow-origin"] == origin
    assert headers["access-control-allow-credentials"] == "true"


def test_info_says_that_a_server_has_no_websockets(threaded: Server) -> None:
    _, _, body = threaded.request("GET", "/echo/info")
    assert json.loads(body)["websocket"] is False
    assert threaded.request("GET", fresh() + "/websocket")[0] == 404


def test_info_says_that_the_cookie_is_needed(port: int) -> None:
    assert get(port, "/cookie_needed_echo/info").json["cookie_needed"] is True


# SessionURLs


@pytest.mark.parametrize("session", ["/a/a", "/_/_", "/1/1", "/abcdefgh_i-j%20/abcdefg_i-j%20"])
def test_any_name_is_a_session(port: int, session: str) -> None:
    answer = post(port, f"/echo{session}/xhr")
    assert (answer.status, answer.body) in ((200, b"o\n"), (200, b'c[2010,"Another connection still open"]\n'))


@pytest.mark.parametrize("path", ["//", "/a./a", "/a/a.", "/./.", "/", "///"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_name_and_a_name_with_a_dot_is_none(port: int, path: str, method: str) -> None:
    assert ask(port, head(method, f"/echo{path}/xhr", {"Host": "127.0.0.1", "Content-Length": "0"})).status == 404


def test_the_servers_part_does_not_count(port: int) -> None:
    session = fresh()
    opened(port, session)
    name = session.rpartition("/")[2]
    assert post(port, f"/echo/111/{name}/xhr_send", b'["a"]').status == 204
    assert post(port, f"/echo/222/{name}/xhr").body == b'a["a"]\n'


@pytest.mark.parametrize(
    ("transport", "method", "allowed"),
    [
        ("xhr", "GET", "POST, OPTIONS"),
        ("xhr_send", "GET", "POST, OPTIONS"),
        ("xhr_streaming", "GET", "POST, OPTIONS"),
        ("eventsource", "POST", "GET"),
        ("htmlfile", "POST", "GET"),
        ("jsonp", "POST", "GET"),
        ("jsonp_send", "GET", "POST"),
        ("websocket", "POST", "GET"),
    ],
)
def test_another_method_is_405_with_nothing_but_those_that_are_allowed(
    port: int, transport: str, method: str, allowed: str
) -> None:
    answer = ask(port, head(method, f"{fresh()}/{transport}", {"Host": "127.0.0.1", "Content-Length": "0"}))
    assert (answer.status, answer.headers["allow"], answer.body) == (405, allowed, b"")
    assert "content-type" not in answer.headers
