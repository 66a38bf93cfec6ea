"""xhr and jsonp: one frame for each answer (classes Protocol, XhrPolling, JsonPolling)."""

from __future__ import annotations

import select
from urllib.parse import quote

import pytest

from tests.conformance.sockjs.session import (
    XHR_TYPE,
    check_cors,
    check_uncached,
    fresh,
    get,
    opened,
    options,
    post,
    post_bytes,
)
from tests.live.raw import Line
from tests.live.server import LIMIT_SECONDS

# Protocol


def test_a_simple_session(port: int) -> None:
    session = fresh()
    answer = post(port, session + "/xhr")
    assert (answer.status, answer.body) == (200, b"o\n")
    answer = post(port, session + "/xhr_send", b'["a"]')
    assert (answer.status, answer.body) == (204, b"")
    answer = post(port, session + "/xhr")
    assert (answer.status, answer.body) == (200, b'a["a"]\n')


def test_a_message_for_a_session_that_nobody_has_opened_is_404(port: int) -> None:
    assert post(port, "/echo/000/bad_session/xhr_send", b'["a"]').status == 404


def test_a_second_poll_is_told_that_another_is_open_and_the_first_goes_on(port: int) -> None:
    session = fresh()
    opened(port, session)
    with Line(port) as one, Line(port) as other:
        for line in (one, other):
            line.send(post_bytes(session + "/xhr"))
        (second,) = select.select([one.sock, other.sock], [], [], LIMIT_SECONDS)[0]
        first, second = (other, one) if second is one.sock else (one, other)
        answer = second.answer()
        assert (answer.status, answer.body) == (200, b'c[2010,"Another connection still open"]\n')
        post(port, session + "/xhr_send", b'["a"]')
        assert first.answer().body == b'a["a"]\n'


def test_a_closed_session_says_so_again_and_again(port: int) -> None:
    session = fresh("/close")
    opened(port, session)
    for _ in range(3):
        answer = post(port, session + "/xhr")
        assert (answer.status, answer.body) == (200, b'c[3000,"Go away!"]\n')
    assert post(port, session + "/xhr_send", b'["a"]').status == 204


# XhrPolling


@pytest.mark.parametrize("transport", ["xhr", "xhr_send", "xhr_streaming"])
@pytest.mark.parametrize("origin", ["http://test", "null"])
def test_the_options_of_xhr(port: int, transport: str, origin: str) -> None:
    answer = options(port, f"{fresh()}/{transport}", origin=origin)
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["access-control-allow-methods"] == "OPTIONS, POST"
    assert answer.headers["cache-control"] == "public, max-age=31536000"
    assert "expires" in answer.headers
    assert answer.headers["access-control-max-age"] == "31536000"
    check_cors(answer, origin)


@pytest.mark.parametrize("origin", [None, "http://test", "null"])
def test_what_the_answers_of_xhr_bear(port: int, origin: str | None) -> None:
    session = fresh()
    headers = {} if origin is None else {"origin": origin}
    answer = post(port, session + "/xhr", **headers)
    assert answer.headers["content-type"] == XHR_TYPE
    check_cors(answer, origin)
    check_uncached(answer)
    sent = post(port, session + "/xhr_send", b'["x"]', **headers)
    assert (sent.status, sent.headers["content-type"]) == (204, "text/plain; charset=UTF-8")
    check_cors(sent, origin)
    check_uncached(sent)
    with Line(port) as line:  # the same when it is parked
        assert line.send(post_bytes(session + "/xhr", **headers)).answer().body == b'a["x"]\n'
        line.send(post_bytes(session + "/xhr", **headers))
        post(port, session + "/xhr_send", b'["y"]')
        answer = line.answer()
    assert (answer.body, answer.headers["content-type"]) == (b'a["y"]\n', XHR_TYPE)
    check_cors(answer, origin)
    check_uncached(answer)


@pytest.mark.parametrize("body", [b'["x', b"[", b"\xff", b'["\xed\xa0\x80"]', b"nonsense", b"[NaN]", b"[" * 100_000])
def test_what_is_no_json_is_broken_and_the_session_goes_on(port: int, body: bytes) -> None:
    session = fresh()
    opened(port, session)
    answer = post(port, session + "/xhr_send", body)
    assert (answer.status, answer.body) == (500, b"Broken JSON encoding.")
    post(port, session + "/xhr_send", b'["a"]')
    assert post(port, session + "/xhr").body == b'a["a"]\n'


@pytest.mark.parametrize("body", [b"", b"{}", b"1", b"null", b"[1]", b'["a",null]'])
def test_what_is_no_array_of_strings_is_no_payload(port: int, body: bytes) -> None:
    session = fresh()
    opened(port, session)
    answer = post(port, session + "/xhr_send", body)
    assert (answer.status, answer.body) == (500, b"Payload expected.")


def test_the_type_of_what_is_sent_does_not_count_and_what_waits_is_one_batch(port: int) -> None:
    types = [
        "text/plain",
        "T",
        "application/json",
        "application/xml",
        "",
        "application/json; charset=utf-8",
        "text/xml; charset=utf-8",
        "text/xml",
    ]
    session = fresh()
    opened(port, session)
    for type in types:
        assert post(port, session + "/xhr_send", b'["a"]', content_type=type).status == 204
    assert post(port, session + "/xhr").body == b'a["a","a","a","a","a","a","a","a"]\n'


def test_the_headers_that_a_page_wants_to_send_are_allowed(port: int) -> None:
    answer = post(port, fresh() + "/xhr", access_control_request_headers="a, b, c")
    assert answer.headers["access-control-allow-headers"] == "a, b, c"
    for wanted in ({"access_control_request_headers": ""}, {}):
        assert "access-control-allow-headers" not in post(port, fresh() + "/xhr", **wanted).headers


def test_an_empty_array_says_nothing(port: int) -> None:
    session = fresh()
    opened(port, session)
    assert post(port, session + "/xhr_send", b"[]").status == 204
    post(port, session + "/xhr_send", b'["a"]')
    assert post(port, session + "/xhr").body == b'a["a"]\n'


def test_a_body_in_chunks_is_a_body(port: int) -> None:
    session = fresh()
    opened(port, session)
    with Line(port) as line:
        start = f"POST {session}/xhr_send HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        assert line.send(start + b'5\r\n["a"]\r\n0\r\n\r\n').answer().status == 204
        start = f"POST {session}/xhr HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        assert line.send(start + b"0\r\n\r\n").answer().body == b'a["a"]\n'
        line.send(start + b"0\r\n\r\n")  # parked, and then used again
        post(port, session + "/xhr_send", b'["b"]')
        assert line.answer().body == b'a["b"]\n'
        assert line.send(post_bytes(fresh() + "/xhr")).answer().body == b"o\n"


# JsonPolling


def test_jsonp(port: int) -> None:
    session = fresh()
    answer = get(port, session + "/jsonp?c=%63allback")
    assert (answer.status, answer.body) == (200, b'/**/callback("o");\r\n')
    assert answer.headers["content-type"] == XHR_TYPE
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in answer.headers
    check_uncached(answer)
    sent = post(port, session + "/jsonp_send", b"d=%5B%22x%22%5D", content_type="application/x-www-form-urlencoded")
    assert (sent.status, sent.body, sent.headers["content-type"]) == (200, b"ok", "text/plain; charset=UTF-8")
    check_uncached(sent)
    assert get(port, session + "/jsonp?c=%63allback").body == b'/**/callback("a[\\"x\\"]");\r\n'


def test_a_parked_script_is_called_like_one_that_is_not(port: int) -> None:
    session = fresh()
    get(port, session + "/jsonp?c=one")
    with Line(port) as line:
        line.send(f"GET {session}/jsonp?c=_jp.a1b2c3 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        post(port, session + "/xhr_send", b'["\\"</script>%41"]')
        answer = line.answer()
        assert answer.body == b'/**/_jp.a1b2c3("a[\\"\\\\\\"</script>%41\\"]");\r\n'
        assert answer.headers["content-type"] == XHR_TYPE and answer.headers["x-content-type-options"] == "nosniff"
        line.send(f"GET {session}/jsonp?c=_jp.b HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        post(port, session + "/xhr_send", b'["2"]')
        assert line.answer().body == b'/**/_jp.b("a[\\"2\\"]");\r\n'


@pytest.mark.parametrize("transport", ["jsonp", "htmlfile"])
def test_without_a_function_there_is_no_script_and_no_session(port: int, transport: str) -> None:
    session = fresh()
    for query in ("", "?c=", "?a=b"):
        answer = get(port, f"{session}/{transport}{query}")
        assert (answer.status, answer.body) == (500, b'"callback" parameter required')
    assert post(port, session + "/xhr_send", b'["a"]').status == 404


@pytest.mark.parametrize("transport", ["jsonp", "htmlfile"])
@pytest.mark.parametrize("name", ["%20", "*", "abc(", "abc%28", "a;b", "é", "a\u2028", "x" * 300])
def test_a_function_of_an_evil_name_is_not_called(port: int, transport: str, name: str) -> None:
    answer = get(port, f"{fresh()}/{transport}?c={quote(name, safe='%')}")
    assert (answer.status, answer.body) == (500, b'invalid "callback" parameter')


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"d=%5B%22x", b"Broken JSON encoding."),
        (b"", b"Payload expected."),
        (b"d=", b"Payload expected."),
        (b"p=p", b"Payload expected."),
        (b"d=%ff", b"Broken JSON encoding."),
        (b"&".join(b"d=%d" % number for number in range(100)), b"Broken JSON encoding."),
    ],
)
def test_a_broken_form_is_told(port: int, body: bytes, says: bytes) -> None:
    session = fresh()
    get(port, session + "/jsonp?c=x")
    answer = post(port, session + "/jsonp_send", body, content_type="application/x-www-form-urlencoded")
    assert (answer.status, answer.body) == (500, says)
    post(port, session + "/jsonp_send", b"d=%5B%22b%22%5D", content_type="application/x-www-form-urlencoded")
    assert get(port, session + "/jsonp?c=x").body == b'/**/x("a[\\"b\\"]");\r\n'


def test_what_is_no_form_is_taken_as_it_is(port: int) -> None:
    session = fresh()
    get(port, session + "/jsonp?c=x")
    form = "application/x-www-form-urlencoded"
    assert post(port, session + "/jsonp_send", b"d=%5B%22abc%22%5D", content_type=form).body == b"ok"
    assert post(port, session + "/jsonp_send", b'["%61bc"]', content_type="text/plain").body == b"ok"
    assert post(port, session + "/jsonp_send", b"d=%5B%22a+b%22%5D&i=1", content_type=form).body == b"ok"
    assert get(port, session + "/jsonp?c=x").body == b'/**/x("a[\\"abc\\",\\"%61bc\\",\\"a b\\"]");\r\n'


def test_a_form_for_no_session_is_404_and_an_empty_array_is_ok(port: int) -> None:
    form = "application/x-www-form-urlencoded"
    assert post(port, fresh() + "/jsonp_send", b"d=%5B%22x%22%5D", content_type=form).status == 404
    session = fresh()
    get(port, session + "/jsonp?c=x")
    answer = post(port, session + "/jsonp_send", b"d=%5B%5D", content_type=form)
    assert (answer.status, answer.body) == (200, b"ok")


def test_jsonp_is_closed(port: int) -> None:
    session = fresh("/close")
    assert get(port, session + "/jsonp?c=x").body == b'/**/x("o");\r\n'
    for _ in range(2):
        assert get(port, session + "/jsonp?c=x").body == b'/**/x("c[3000,\\"Go away!\\"]");\r\n'
