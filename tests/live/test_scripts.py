"""JSONP: a poll whose answer is a script; the files that browsers load; the channel's own page; the tick of streams."""

from __future__ import annotations

import gzip
import http.client
import json
import threading
import time
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.live.server import LIMIT_SECONDS, Server

LIMITS: dict[str, Any] = {}
KEY = "abcdefghijklmnopqrstuv"
HOME = {"Sec-Fetch-Site": "same-origin"}


def script(server: Server, headers: dict[str, str] | None = None, **query: Any) -> Any:
    """Ask by a script tag; return what the callback is called with."""
    status, answer, body = server.request("GET", f"/comet?{urlencode({'callback': 'cb', **query})}", headers=headers or {})
    assert (status, answer["Content-Type"]) == (200, "text/javascript; charset=utf-8")
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert body.startswith(b"/**/cb(") and body.endswith(b");")
    assert "\u2028" not in body.decode() and "\u2029" not in body.decode()
    return json.loads(body[7:-2])


def key(number: int) -> str:
    return f"{KEY}{number:04d}"


def test_a_script_is_greeted_and_gets_what_follows(server: Server) -> None:
    (greeting,) = script(server, key=key(1))
    server.publish("line\u2028\u2029 </script>")
    entries = script(server, key=key(1), after=greeting["open"]["position"])
    assert [entry["data"] for entry in entries] == ["line\u2028\u2029 </script>"]


def test_a_held_script_is_answered_when_something_comes(server: Server) -> None:
    (greeting,) = script(server, key=key(2))
    answers: list[Any] = []
    query = {"key": key(2), "after": greeting["open"]["position"]}
    waiting = threading.Thread(target=lambda: answers.append(script(server, **query)))
    waiting.start()
    time.sleep(0.3)
    assert answers == []
    server.publish({"late": "\u2028"})
    waiting.join(LIMIT_SECONDS)
    assert [entry["data"] for entry in answers[0]] == [{"late": "\u2028"}]


def test_two_held_scripts_on_one_connection(server: Server) -> None:
    (greeting,) = script(server, key=key(3))
    position = greeting["open"]["position"]
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=LIMIT_SECONDS)
    for number in range(3):
        connection.request("GET", f"/comet?callback=cb&key={key(3)}&after={position}")
        threading.Timer(0.2, server.publish, [number]).start()
        body = connection.getresponse().read()
        (entry,) = json.loads(body[7:-2])
        assert entry["data"] == number
        position = entry["id"]
    connection.close()


def test_a_form_says_and_a_script_hears_that_it_was_accepted(server: Server) -> None:
    (greeting,) = script(server, key=key(4))
    form = urlencode({"d": json.dumps([{"n": 1, "data": "ä\u2028"}, {"n": 2, "data": "b"}])})
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    status, _, _ = server.request("POST", f"/comet?v=1&key={key(4)}", form.encode(), headers)
    assert status == 200
    answer = script(server, key=key(4), after=greeting["open"]["position"], wait=0, accepted=1)
    assert [shape["data"]["data"] for shape in answer[:-1]] == ["ä\u2028", "b"]
    assert answer[-1] == {"accepted": 2}


def test_a_refusal_is_readable_by_a_script(server: Server) -> None:
    (refusal,) = script(server, refuse=401)
    assert refusal["error"]["status"] == 401
    (refusal,) = script(server, key="short")
    assert (refusal["error"]["status"], refusal["error"]["code"]) == (400, "key")
    (refusal,) = script(server, transport="sse")
    assert refusal["error"]["code"] == "callback"


@pytest.mark.parametrize(
    "headers",
    [HOME, {"Referer": "http://127.0.0.1/page"}],
)
def test_cookies_count_where_the_page_is_proved(headers: dict[str, str], server: Server) -> None:
    cookie = server.login("ann")
    (greeting,) = script(server, headers={**headers, "Cookie": cookie}, key=key(10 + len(headers)))
    user = next(one for one in server.get("/presence/*") if one["id"] == greeting["open"]["client"])["user"]
    assert user == "ann"


def test_cookies_do_not_count_where_nothing_proves_the_page(server: Server) -> None:
    cookie = server.login("ann")
    (greeting,) = script(server, headers={"Cookie": cookie}, key=key(20))
    user = next(one for one in server.get("/presence/*") if one["id"] == greeting["open"]["client"])["user"]
    assert user is None


@pytest.mark.parametrize(
    "headers",
    [
        {"Referer": "https://evil.example/"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "cross-site", "Referer": "https://evil.example/"},
    ],
)
def test_a_foreign_page_gets_nothing_by_script(headers: dict[str, str], server: Server) -> None:
    (refusal,) = script(server, headers={**headers, "Cookie": server.login("ann")}, key=key(30))
    assert refusal["error"]["code"] == "origin"


# --- Files -----------------------------------------------------------------------------------------------


def test_the_client_is_served_with_an_etag(server: Server) -> None:
    status, headers, body = server.request("GET", "/comet/client.js")
    assert (status, headers["Content-Type"]) == (200, "text/javascript; charset=utf-8")
    assert b"function Cometware" in body
    status, _, body = server.request("GET", "/comet/client.js", headers={"If-None-Match": headers["ETag"]})
    assert (status, body) == (304, b"")


def test_the_versioned_client_may_be_kept_for_ever(server: Server) -> None:
    from cometware.assets import versioned_name

    status, headers, body = server.request("GET", f"/comet/{versioned_name()}")
    assert status == 200
    assert headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert headers["SourceMap"] == "client.min.js.map"
    status, headers, body = server.request("GET", "/comet/client.min.js.map")
    assert json.loads(body)["sourcesContent"]
    assert "immutable" not in headers["Cache-Control"]


def test_the_minified_client_comes_compressed_to_who_takes_that(server: Server) -> None:
    _, plain, body = server.request("GET", "/comet/client.min.js", headers={"Accept-Encoding": "br, gzip;q=0"})
    status, headers, small = server.request("GET", "/comet/client.min.js", headers={"Accept-Encoding": "gzip, br"})
    assert (status, headers["Content-Encoding"], headers["Vary"]) == (200, "gzip", "Accept-Encoding")
    assert int(headers["Content-Length"]) == len(small)
    assert gzip.decompress(small) == body
    assert (plain["Content-Encoding"], plain["Vary"]) == (None, "Accept-Encoding")
    assert plain["ETag"] != headers["ETag"]
    again = {"Accept-Encoding": "gzip", "If-None-Match": headers["ETag"]}
    assert server.request("GET", "/comet/client.min.js", headers=again)[::2] == (304, b"")


@pytest.mark.parametrize("name", ["cometware.js", "page.html", "../errors.py", "client-0000000000.min.js", "client.js/"])
def test_nothing_else_is_served(name: str, server: Server) -> None:
    assert server.request("GET", f"/comet/{name}")[0] == 404


def test_a_browser_that_opens_the_channel_is_shown_its_page(server: Server) -> None:
    accept = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
    for path, client in (("/comet", "comet/client.min.js"), ("/comet/", "client.min.js")):
        status, headers, body = server.request("GET", path, headers=accept)
        assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert f'<script src="{client}"></script>' in body.decode()
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
    status, headers, _ = server.request("GET", "/comet", headers={"Accept": "*/*"})
    assert headers.get_content_type() == "application/json"


# --- The tick --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["transport=stream", "transport=sse&v=1"])
def test_a_stream_is_sent_one_small_thing_soon_after_its_greeting(query: str, server: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=LIMIT_SECONDS)
    began, text = time.monotonic(), ""
    connection.request("GET", f"/comet?{query}")
    response = connection.getresponse()
    while '"ping"' not in text:
        text += response.read1().decode()
    took = time.monotonic() - began
    connection.close()
    assert 0.08 < took < 15, "not with the greeting, and long before the heartbeat"
