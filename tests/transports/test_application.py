"""The application's code, as a worker runs it: what it does to the channel when it ends the process, or looks for too long."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import pytest
from gevent.event import Event

from cometware import Channel, Cometware, Failed, Refused
from cometware.testing import Client

Environ = dict[str, Any]
everywhere = pytest.mark.parametrize("transport", ["websocket", "sse", "stream", "poll", "jsonp"])


def leaving(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """Accept every hook, but end the process at a message."""
    if environ["PATH_INFO"] == "/realtime/message":
        sys.exit("good bye")
    start_response("204 No Content", [])
    return []


def test_a_handler_that_calls_exit_is_a_handler_that_failed() -> None:
    channel = Channel()

    @channel.on_message
    def said(client: Any, data: Any) -> Any:
        return data if data == "stay" else sys.exit("good bye")

    with Client(Cometware(leaving, channel)) as client:
        ann = client.connect()
        with pytest.raises(Failed):
            ann.ask("message", "leave")
        assert ann.ask("message", "stay") == "stay"


def test_a_view_that_calls_exit_in_a_hook_is_a_view_that_failed() -> None:
    with Client(Cometware(leaving, Channel(), hooks="/realtime")) as client:
        ann = client.connect()
        for _ in range(2):
            with pytest.raises(Refused) as refused:
                ann.ask("message", "leave")
            assert refused.value.status == 500


@everywhere
@pytest.mark.parametrize("logins", [1, 2], ids=["his only login", "one of two"])
def test_who_is_revoked_while_the_login_is_looked_for_is_looked_for_again(transport: str, logins: int) -> None:
    channel, gone = Channel(), Event()
    sessions = ["ann"] * logins

    @channel.on_close
    def left(client: Any, reason: str) -> None:
        gone.set()

    def user(environ: Environ) -> str | None:
        found = sessions[-1] if sessions else None
        if "HTTP_X_LATE" in environ and not gone.is_set():
            sessions.pop()
            channel.revoke("ann")  # somebody logs out, after we have read the session
            assert gone.wait(60)  # and all that are here have been told
        return found

    with Client(Cometware(leaving, channel, user=user)) as client:
        earlier = client.connect()
        client.connect(transport, headers={"X-Late": "yes"})
        assert earlier.closed == (4410, "revoked")
        assert [presence.user for presence in channel.presence()] == ["ann" if logins == 2 else None]


def test_who_is_revoked_again_and_again_is_nobody() -> None:
    channel = Channel()

    def user(environ: Environ) -> str:
        channel.revoke("ann")
        return "ann"

    with Client(Cometware(leaving, channel, user=user)) as client:
        client.connect()
        assert [presence.user for presence in channel.presence()] == [None]


def test_what_happens_to_others_meanwhile_is_no_reason_to_look_again() -> None:
    channel = Channel()
    asked: list[None] = []

    def user(environ: Environ) -> str:
        asked.append(None)
        channel.revoke("bob")
        channel.publish("to ann", to="user:ann")
        return "ann"

    with Client(Cometware(leaving, channel, user=user)) as client:
        client.connect()
        assert [presence.user for presence in channel.presence()] == ["ann"]
        assert len(asked) == 1
