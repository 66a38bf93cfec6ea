"""The table of `One URL, every transport`, row by row, and every refusal."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cometware import Position
from cometware.core.negotiation import Asked, Facts, NotNegotiable, Transport, negotiate

KEY = "abcdefghijklmnopqrstuv"
OTHER = "zyxwvutsrqponmlkjihgfe"
UPGRADE = {"upgrade": "websocket", "connection": "Upgrade", "websocket_key": "x3JJHMbDL1EzLkh9GBhXDw=="}
SSE = "text/event-stream"
NDJSON = "application/x-ndjson"


def get(query: dict[str, str] | None = None, **facts: Any) -> Asked:
    return negotiate(Facts("GET", query=query, **facts))


def post(query: dict[str, str] | None = None, **facts: Any) -> Asked:
    return negotiate(Facts("POST", query=query, **facts))


def refusal(method: str = "GET", **facts: Any) -> NotNegotiable:
    with pytest.raises(NotNegotiable) as caught:
        negotiate(Facts(method, **facts))
    return caught.value


@pytest.mark.parametrize(
    ("facts", "query", "transport", "native"),
    [
        (UPGRADE, {}, Transport.WEBSOCKET, False),
        (UPGRADE, {"v": "1"}, Transport.WEBSOCKET, True),
        (UPGRADE | {"subprotocols": ["cometware.v1"]}, {}, Transport.WEBSOCKET, True),
        (UPGRADE | {"subprotocols": ["chat", "cometware.v1"]}, {}, Transport.WEBSOCKET, True),
        (UPGRADE | {"subprotocols": ["chat"]}, {}, Transport.WEBSOCKET, False),
        (UPGRADE | {"upgrade": "WebSocket", "connection": "keep-alive, UPGRADE"}, {}, Transport.WEBSOCKET, False),
        (UPGRADE, {"transport": "poll"}, Transport.WEBSOCKET, False),
        ({"accept": SSE}, {}, Transport.SSE, False),
        ({"accept": SSE}, {"v": "1"}, Transport.SSE, True),
        ({}, {"transport": "sse"}, Transport.SSE, False),
        ({}, {"transport": "sse", "v": "1"}, Transport.SSE, True),
        ({"accept": NDJSON}, {}, Transport.STREAM, True),
        ({}, {"transport": "stream"}, Transport.STREAM, True),
        ({"accept": "application/json"}, {}, Transport.POLL, True),
        ({}, {}, Transport.POLL, True),
        ({"accept": SSE}, {"transport": "poll"}, Transport.POLL, True),
        ({"upgrade": "websocket"}, {}, Transport.POLL, True),
        ({"upgrade": "h2c", "connection": "Upgrade"}, {}, Transport.POLL, True),
        ({}, {"callback": "f"}, Transport.POLL, True),
        ({"accept": "text/html"}, {"callback": "f", "transport": "poll"}, Transport.POLL, True),
        ({"accept": SSE}, {"callback": "f"}, Transport.POLL, True),
        ({"accept": "text/html"}, {}, Transport.PAGE, True),
        ({"accept": "text/html"}, {"transport": "sse"}, Transport.SSE, False),
    ],
)
def test_a_get_asks_for(facts: dict[str, Any], query: dict[str, str], transport: Transport, native: bool) -> None:
    asked = get(query, **facts)
    assert (asked.transport, asked.native) == (transport, native)


@pytest.mark.parametrize(
    ("content_type", "query", "native"),
    [
        ("application/json", {}, True),
        ("text/plain", {}, False),
        ("application/octet-stream", {}, False),
        ("application/x-www-form-urlencoded", {}, False),
        ("application/x-www-form-urlencoded", {"v": "1"}, True),
        ("text/plain", {"v": "1"}, True),
        ("", {}, False),
        ("", {"transport": "nonsense", "wait": "x", "last": "-"}, False),
    ],
)
def test_a_post_speaks(content_type: str, query: dict[str, str], native: bool) -> None:
    assert post(query, content_type=content_type) == Asked(Transport.POST, native)


@pytest.mark.parametrize(
    ("facts", "query"),
    [
        ({"key": KEY}, {}),
        ({}, {"key": KEY}),
        (UPGRADE | {"subprotocols": ["cometware.v1", f"key.{KEY}"]}, {}),
        ({"key": KEY, "subprotocols": [f"key.{OTHER}"]}, {"key": OTHER}),
        ({"subprotocols": [f"key.{KEY}"]}, {"key": OTHER}),
    ],
)
def test_the_key_is_in_the_header_else_the_subprotocols_else_the_url(facts: dict[str, Any], query: Any) -> None:
    assert get(query, **facts).key == KEY
    assert post(query, **facts).key == KEY


@pytest.mark.parametrize(
    ("facts", "query", "position"),
    [
        ({"accept": SSE, "last_event_id": "e-7"}, {"after": "e-3"}, "e-7"),
        ({"accept": SSE}, {"last_event_id": "e-7", "after": "e-3"}, "e-7"),
        ({"accept": SSE}, {"lastEventId": "e-7", "after": "e-3"}, "e-7"),
        ({"accept": SSE}, {"after": "e-3"}, "e-3"),
        ({}, {"after": "e-3"}, "e-3"),
        ({"last_event_id": "e-7"}, {}, "e-7"),
        (UPGRADE, {"after": "e-3"}, "e-3"),
        ({"accept": NDJSON}, {"after": "e-3"}, "e-3"),
    ],
)
def test_it_reads_on_from(facts: dict[str, Any], query: dict[str, str], position: str) -> None:
    asked = get(query, **facts)
    assert (asked.position, asked.has_position) == (Position.parse(position), True)


def test_a_position_that_is_none_is_not_the_same_as_no_position() -> None:
    assert (get({"after": "nonsense"}).position, get({"after": "nonsense"}).has_position) == (None, True)
    assert (get().position, get().has_position) == (None, False)
    assert (get({"after": ""}).position, get({"after": ""}).has_position) == (None, False)


@pytest.mark.parametrize(("text", "last"), [("0", 0), ("50", 50), ("999999999", 999999999)])
def test_last_is_a_number_of_entries(text: str, last: int) -> None:
    assert get({"last": text}).last == last


@pytest.mark.parametrize(("text", "seconds"), [("0", 0), ("5", 5), ("0.25", 0.25), ("1e3", 1000), ("00", 0)])
def test_wait_is_a_number_of_seconds(text: str, seconds: float) -> None:
    assert get({"wait": text}).wait_seconds == seconds


@pytest.mark.parametrize("name", ["f", "_cb1", "$", "jQuery_1234567890", "x" * 64])
def test_a_scripts_callback_is_the_plain_name_of_a_function(name: str) -> None:
    assert get({"callback": name}).callback == name


def test_who_says_nothing_gets_the_servers_own_choice() -> None:
    assert get() == Asked(Transport.POLL, True, key=None, position=None, has_position=False, last=0, wait_seconds=None)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "HEAD", "PATCH", "BREW", "X" * 500])
def test_another_method_is_405_with_allow(method: str) -> None:
    error = refusal(method)
    assert (error.status, error.code) == (405, "method")
    assert error.headers == {"Allow": "GET, POST, OPTIONS"}
    assert len(error.message) < 100


def test_a_handshake_without_its_upgrade_is_426_and_names_the_proxys_setting() -> None:
    error = refusal(websocket_key="x3JJHMbDL1EzLkh9GBhXDw==")
    assert (error.status, error.code) == (426, "upgrade")
    assert error.headers == {"Upgrade": "websocket", "Connection": "Upgrade"}
    assert "proxy_set_header Upgrade $http_upgrade" in error.message


@pytest.mark.parametrize(
    ("query", "code"),
    [
        *(({"v": version}, "version") for version in ("2", "", "1.0", "01")),
        *(({"key": key}, "key") for key in ("", "short", "a" * 87, KEY + "=")),
        *(({"transport": name}, "transport") for name in ("", "websocket", "SSE", "x" * 500)),
        *(({"last": text}, "last") for text in ("", "-1", "1.5", "x", "٣", "1" * 10, "1e3", " 1")),
        *(({"callback": name}, "callback") for name in ("", "a.b", "a[0]", "alert(1)", "1a", "é", "x" * 65, "a\n", "a b")),
        ({"callback": "f", "transport": "sse"}, "callback"),
        *(({"wait": text}, "wait") for text in ("", "-1", "x", "nan", "inf", "1e999", "5s")),
    ],
)
def test_a_bad_option_is_400_and_named(query: dict[str, str], code: str) -> None:
    error = refusal(query=query)
    assert (error.status, error.code) == (400, code)
    assert len(error.message) < 200


@pytest.mark.parametrize("facts", [{"key": "short"}, {"subprotocols": ["key.short"]}])
def test_a_bad_key_is_refused_wherever_it_stands_and_never_repeated(facts: dict[str, Any]) -> None:
    assert refusal(**facts).code == "key"
    assert refusal("POST", **facts).code == "key"
    assert "short" not in refusal(**facts).message


@given(st.dictionaries(st.sampled_from(["v", "key", "transport", "last", "wait", "after", "last_event_id"]), st.text()))
def test_no_query_breaks_the_negotiation_with_another_error(query: dict[str, str]) -> None:
    for method in ("GET", "POST"):
        try:
            negotiate(Facts(method, query=query))
        except NotNegotiable as error:
            assert error.status == 400
