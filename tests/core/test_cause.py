"""Why a client has its transport: from plain facts, one of a fixed list."""

from __future__ import annotations

import pytest

from cometware.core.cause import SAID, Cause, failed_websocket, trail, why
from cometware.core.negotiation import Facts

ALL = ("websocket", "sse", "stream", "poll")


@pytest.mark.parametrize(
    ("transport", "carried", "said", "failed", "cause"),
    [
        ("websocket", ALL, None, None, Cause.PASSED),
        ("websocket", ALL, "chosen", Cause.NO_UPGRADE, Cause.PASSED),
        ("sse", ALL, None, None, Cause.ASKED),
        ("sse", ALL, None, Cause.NO_UPGRADE, Cause.NO_UPGRADE),
        ("sse", ALL, "websocket-failed", None, Cause.FAILED),
        ("sse", ALL, "websocket-failed", Cause.NO_UPGRADE, Cause.NO_UPGRADE),
        ("sse", ALL, "chosen", Cause.NO_UPGRADE, Cause.CHOSEN),
        ("poll", ALL, "stream-buffered", Cause.NO_UPGRADE, Cause.BUFFERED),
        ("poll", ("sse", "stream", "poll"), "websocket-failed", None, Cause.SERVER),
        ("sse", ALL, "because I can\n", None, Cause.ASKED),
    ],
)
def test_what_we_saw_counts_more_than_what_the_client_says(
    transport: str, carried: tuple[str, ...], said: str | None, failed: Cause | None, cause: Cause
) -> None:
    assert why(transport, carried, said, failed) is cause


def test_a_script_can_only_poll() -> None:
    assert why("poll", ALL, "websocket-failed", Cause.NO_UPGRADE, by_script=True) is Cause.SCRIPT


KEY = "x3JJHMbDL1EzLkh9GBhXDw=="


@pytest.mark.parametrize(
    ("facts", "protocol", "cause"),
    [
        (Facts("GET", websocket_key=KEY), "HTTP/1.1", Cause.NO_UPGRADE),
        (Facts("GET", websocket_key=KEY, connection="close"), "HTTP/1.0", Cause.NO_UPGRADE),
        (Facts("GET", websocket_key=KEY, upgrade="websocket", connection="close"), "HTTP/1.1", Cause.NO_CONNECTION),
        (Facts("GET", websocket_key=KEY, upgrade="websocket", connection="upgrade"), "HTTP/1.0", Cause.HTTP_1_0),
        (Facts("GET", websocket_key=KEY, upgrade="WebSocket", connection="keep-alive, Upgrade"), "HTTP/1.1", None),
        (Facts("GET"), "HTTP/1.0", None),
        (Facts("POST", websocket_key=KEY), "HTTP/1.1", None),
    ],
)
def test_a_websocket_that_was_changed_on_its_way_is_known_by_what_is_missing(
    facts: Facts, protocol: str, cause: Cause | None
) -> None:
    assert failed_websocket(facts, protocol) is cause


@pytest.mark.parametrize(
    ("via", "protocol", "present", "told"),
    [
        ("1.1 squid", "HTTP/1.1", ["X-Forwarded-For"], ", Via: 1.1 squid"),
        ("1.1 a\r\nb \x1b[31m", "HTTP/1.1", [], r", Via: 1.1 a\r\nb \x1b[31m"),
        ("x" * 81, "HTTP/1.1", [], ", Via: " + "x" * 80 + "…"),
        (None, "HTTP/1.0", ["X-Forwarded-Proto", "X-Forwarded-For"], ", X-Forwarded-For present"),
        (None, "HTTP/1.1", ["Forwarded", "X-Forwarded-For"], ", Forwarded present"),
        (None, "HTTP/1.0", [], ", HTTP/1.0"),
        ("", "HTTP/1.1", [], ""),
    ],
)
def test_the_way_here_is_told_by_what_names_it_never_by_addresses(
    via: str | None, protocol: str, present: list[str], told: str
) -> None:
    assert trail(via, protocol, present) == told


def test_what_a_client_may_say_is_a_fixed_list() -> None:
    assert sorted(SAID) == [
        "chosen",
        "remembered",
        "stream-buffered",
        "websocket-cut",
        "websocket-failed",
        "websocket-missing",
        "websocket-silent",
    ]
