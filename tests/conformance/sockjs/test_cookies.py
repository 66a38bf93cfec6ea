"""JSESSIONID, for balancers that go by it (class JsessionidCookie)."""

from __future__ import annotations

import pytest

from tests.conformance.sockjs.session import fresh, get, options, post, stream
from tests.live.raw import Answer

SERVICE = "/cookie_needed_echo"
DUMMY = "JSESSIONID=dummy; path=/"


def check(answer: Answer, value: str = DUMMY) -> None:
    assert answer.headers["set-cookie"] == value


def test_every_url_of_a_session_sets_it(port: int) -> None:
    session = fresh(SERVICE)
    check(post(port, session + "/xhr"))
    check(post(port, session + "/xhr_send", b'["a"]'))
    check(options(port, session + "/xhr"))
    check(get(port, fresh(SERVICE) + "/jsonp?c=x"))
    check(post(port, session + "/jsonp_send", b'["a"]', content_type="text/plain"))
    for transport, method in (("xhr_streaming", "POST"), ("eventsource", "GET"), ("htmlfile?c=x", "GET")):
        answer, line = stream(port, f"{fresh(SERVICE)}/{transport}", method)
        line.sock.close()
        check(answer)


def test_its_value_comes_back(port: int) -> None:
    check(post(port, fresh(SERVICE) + "/xhr", cookie="JSESSIONID=abcdef"), "JSESSIONID=abcdef; path=/")
    check(post(port, fresh(SERVICE) + "/xhr", cookie="a=b; JSESSIONID=abcdef; c=d"), "JSESSIONID=abcdef; path=/")


@pytest.mark.parametrize("value", ["a b", '"a\\012b"', "é", ""])
def test_a_value_that_is_none_does_not_come_back(port: int, value: str) -> None:
    check(post(port, fresh(SERVICE) + "/xhr", cookie=f"JSESSIONID={value}"))


@pytest.mark.parametrize("path", ["", "/info"])
def test_nothing_else_sets_it(port: int, path: str) -> None:
    assert "set-cookie" not in get(port, SERVICE + path).headers


def test_nobody_sets_it_who_was_not_asked_to(port: int) -> None:
    assert "set-cookie" not in post(port, fresh() + "/xhr").headers
