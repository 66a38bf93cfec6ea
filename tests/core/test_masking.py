from __future__ import annotations

from urllib.parse import parse_qsl, unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cometware.core.masking import masked, masked_error, masked_url
from cometware.dialects import sockjs

KEY = "c2VjcmV0LXNlY3JldC1zZWNyZXQ"


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        (f"/comet?key={KEY}", "/comet?key=…"),
        (f"/comet?v=1&key={KEY}&after=a-1", "/comet?v=1&key=…&after=a-1"),
        (f"/comet?%6bey={KEY}", "/comet?%6bey=…"),
        (f"/comet?%6B%65%79={KEY}", "/comet?%6B%65%79=…"),
        (f"/comet?k%65y={KEY}", "/comet?k%65y=…"),
        ("/comet?key=%63%32%56", "/comet?key=…"),
        ("/socket.io/?EIO=4&transport=polling&sid=abc_DEF-12&t=x", "/socket.io/?EIO=4&transport=polling&sid=…&t=x"),
        ("/socket.io/?%73id=abc&si%64=def", "/socket.io/?%73id=…&si%64=…"),
        (f"/comet?key={KEY}&key=other", "/comet?key=…&key=…"),
        ("/comet?monkey=1&keys=2&key_=3", "/comet?monkey=1&keys=2&key_=3"),
        ("/comet?key=", "/comet?key="),
        ("/sockjs/000/qwertz12/xhr", "/sockjs/000/…/xhr"),
        ("/sockjs/000/qwertz12/xhr_send?t=1", "/sockjs/000/…/xhr_send?t=1"),
        ("/comet/sockjs/a b/s/xhr_streaming".replace(" ", "%20"), "/comet/sockjs/a%20b/…/xhr_streaming"),
        ("/sockjs/000/qwertz12/eventsource", "/sockjs/000/…/eventsource"),
        ("/sockjs/000/qwertz12/htmlfile?c=cb", "/sockjs/000/…/htmlfile?c=cb"),
        ("/sockjs/000/qwertz12/jsonp?c=cb", "/sockjs/000/…/jsonp?c=cb"),
        ("/sockjs/000/qwertz12/jsonp_send", "/sockjs/000/…/jsonp_send"),
        ("/sockjs/000/qwertz12/websocket", "/sockjs/000/…/websocket"),
        ("/sockjs/000/qwertz12/xhr/", "/sockjs/000/…/xhr/"),
        ("/sockjs/000/qwertz12/%78hr", "/sockjs/000/…/%78hr"),
        ("/sockjs%2F000%2fqwertz12%2Fxhr", "/sockjs%2F000%2f…%2Fxhr"),
        ("/sockjs/000/q'w&%22e/xhr", "/sockjs/000/…/xhr"),
        ('/sockjs/000/q"we/xhr', "/sockjs/000/…/xhr"),
        ("/sockjs//000/qwertz12/xhr", "/sockjs//000/…/xhr"),
        ("/api/v1/websocket", "/api/v1/websocket"),
        ("/a/b/c/d?x=1", "/a/b/c/d?x=1"),
        (f"https://shop.example/comet?key={KEY}#x", "https://shop.example/comet?key=…"),
        (f"http://ann:pw@shop.example/comet?key={KEY}", "http://ann:***@shop.example/comet?key=…"),
    ],
)
def test_bearers_in_a_target_are_masked_and_nothing_else(target: str, shown: str) -> None:
    for line in ("{}", '127.0.0.1 - - [x] "GET {} HTTP/1.1" 200 0.1', '"-" "{}" "Mozilla"'):
        assert masked(line.format(target)) == line.format(shown)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"ValueError: QUERY_STRING='key={KEY}&v=1'", "ValueError: QUERY_STRING='key=…&v=1'"),
        (f"{{'HTTP_COMET_KEY': '{KEY}', 'A': 'b'}}", "{'HTTP_COMET_KEY': '…', 'A': 'b'}"),
        ("{'HTTP_COOKIE': 'session=ann', 'A': 'b'}", "{'HTTP_COOKIE': '…', 'A': 'b'}"),
        (f"KeyError: b'Comet-Key: {KEY}'", "KeyError: b'Comet-Key: …'"),
        ("('Authorization', 'Bearer abc')", "('Authorization', '…')"),
        ("sorted(rows, key=lambda row: row.since)", "sorted(rows, key=lambda row: row.since)"),
        ("    sorted(rows, key=operator_attrgetter(1))", "    sorted(rows, key=operator_attrgetter(1))"),
        ("min(rows, key=_since)", "min(rows, key=_since)"),
        ("Channel('redis://ann:secret@host/0')", "Channel('redis://ann:***@host/0')"),
        ("Channel('redis://:secret@host/0?db=1')", "Channel('redis://:***@host/0?db=1')"),
        ("Channel('redis://h/0?password=secret&db=1')", "Channel('redis://h/0?password=***&db=1')"),
        ("redis+sentinel://h/s?sentinel_password=secret", "redis+sentinel://h/s?sentinel_password=***"),
        ("connect(password=password)", "connect(password=password)"),
        ("a time 12:30 and me@example.com", "a time 12:30 and me@example.com"),
    ],
)  # fmt: skip
def test_texts_are_masked_too(text: str, shown: str) -> None:
    assert masked(text) == shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://ann:secret@host/0", "redis://ann:***@host/0"),
        ("redis://:secret@host", "redis://:***@host"),
        ("redis://ann@host/0", "redis://ann@host/0"),
        ("rediss://ann:se@cret@host/0", "rediss://ann:***@host/0"),
        ("redis://ann:se/cr?e#t@host/0", "redis://ann:***@host/0"),
        ("redis://:12/34@host/0", "redis://:***@host/0"),
        ("redis://ann:se:cret@[::1/0", "redis://ann:***@[::1/0"),
        ("redis://ann:se%20cret@host/0", "redis://ann:***@host/0"),
        ("redis://ann:se cret'\"@host/0", "redis://ann:***@host/0"),
        ("redis://host/0?password=secret", "redis://host/0?password=***"),
        ("redis://host/0?db=1&password=se@cret&x=1", "redis://host/0?db=1&password=***&x=1"),
        ("redis://host/0?pass%77ord=secret", "redis://host/0?pass%77ord=***"),
        ("unix://ann:secret@/run/redis.sock?db=0", "unix://ann:***@/run/redis.sock?db=0"),
        ("redis+sentinel://ann:a@h1:1,h2:2/s/0?sentinel_password=p@ss", "redis+sentinel://ann:***@h1:1,h2:2/s/0?sentinel_password=***"),
        ("redis+cluster://ann:secret@h1,h2", "redis+cluster://ann:***@h1,h2"),
        ("mysql://ann:secret@host/db", "mysql://ann:***@host/db"),
        ("https://ann:secret@shop.example/comet?x=1", "https://ann:***@shop.example/comet?x=1"),
        ("https://shop.example:8443/@ann/comet", "https://shop.example:8443/@ann/comet"),
        (f"https://shop.example/comet?key={KEY}", "https://shop.example/comet?key=…"),
        ("sqlite:///a@b:c.db", "sqlite:///a@b:c.db"),
        ("sqlite:////var/lib/x.db?mode=0660", "sqlite:////var/lib/x.db?mode=0660"),
        ("memory:", "memory:"),
        ("", ""),
    ],
)  # fmt: skip
def test_a_url_is_shown_without_its_password_also_one_that_cannot_be_read(url: str, shown: str) -> None:
    assert masked_url(url) == shown
    assert masked_url(shown) == shown


@pytest.mark.parametrize(
    ("url", "error", "shown"),
    [
        ("redis://ann:sec/ret@host", "Port could not be cast to integer value as 'sec'", "as '***'"),
        (
            "redis://ann:secret℀@host",
            "netloc 'ann:secret℀@host' contains invalid characters",
            "netloc 'ann:***@host' contains",
        ),
        ("redis://ann:se%63ret@host", "login with secret failed", "login with *** failed"),
        ("redis://h/0?password=secret", "got secret", "got ***"),
        ("redis://ann:a@host", "an 'a' is no number", "an '***' is no number"),
    ],
)
def test_an_error_about_a_url_tells_no_part_of_its_password(url: str, error: str, shown: str) -> None:
    assert shown in masked_error(error, url)


@given(
    st.sampled_from(["key", "sid"]),
    st.integers(0, 2**9),
    st.text(st.characters(codec="ascii", min_codepoint=33, exclude_characters="&#\"'<>"), min_size=16, max_size=30),
    st.sampled_from(["", "v=1&", "a=%20&b=+&"]),
)
@example("key", 0, KEY, "")
def test_whatever_a_server_reads_as_a_bearer_is_masked(name: str, escapes: int, value: str, before: str) -> None:
    written = "".join(f"%{ord(c):02x}" if escapes >> i & 1 else c for i, c in enumerate(name))
    query = f"{before}{written}={value}&z=1"
    if value not in dict(parse_qsl(query)).get(name, ""):
        return  # nobody reads it as that
    assert value not in masked(f'"GET /comet?{query} HTTP/1.1"')


@given(
    st.text(st.characters(codec="ascii", min_codepoint=33), min_size=8, max_size=20),
    st.sampled_from(["xhr", "xhr_send", "xhr_streaming", "eventsource", "htmlfile", "jsonp", "jsonp_send"]),
    st.sampled_from(["000", "abc", "x-1"]),
)
def test_whatever_is_read_as_a_name_of_a_sockjs_session_is_masked(name: str, transport: str, server: str) -> None:
    path = f"/{server}/{name}/{transport}"
    if "?" in name or "#" in name or sockjs.session(unquote(path)) is None:
        return  # nobody reads it as that
    assert name not in masked(f'"POST /sockjs{path} HTTP/1.1"').replace(transport, "").replace(server, "")
