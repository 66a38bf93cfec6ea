"""What a server cannot carry, and how much it holds: told to the client, to the log and in docs/servers.md."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import pytest

from cometware.servers.threaded import find_threaded
from tests.contract.servers.kinds import KINDS, OURS, Kind
from tests.contract.servers.observed import BEGIN, DOCUMENT, END, HEAD, row, told
from tests.live.clients import Client, EventStream, LongPoll, Refusal, Stream, WebSocket, await_readable, new_key
from tests.live.raw import Line, request
from tests.live.server import LIMIT_SECONDS, Server

PARKING = [kind for kind in (OURS, *KINDS) if kind.held is None]
HOLDING = [kind for kind in KINDS if kind.held]
STREAMING = [kind for kind in HOLDING if "stream" in kind.transports]
FULL = pytest.mark.full
IDLE_CLIENTS = 200
RUNNERS = 4
"""Greenlets of the worker that handlers run in, however many clients there are: some may have been started since."""


def of(kinds: list[Kind]) -> pytest.MarkDecorator:
    """Run a test on these servers only."""
    return pytest.mark.parametrize("kind", kinds, indirect=True, scope="package", ids=lambda kind: kind.slug)


@of([OURS, *KINDS])
def test_the_table_of_the_documentation_is_what_this_server_showed(kind: Kind, server: Server) -> None:
    assert row(kind, server) in DOCUMENT.read_text(), "write it anew: python -m tests.contract.servers.observed"


def test_the_table_has_no_other_servers() -> None:
    table = DOCUMENT.read_text().partition(BEGIN)[2].partition(END)[0]
    assert table.startswith(HEAD)
    titles = [line.split(" | ")[0].removeprefix("| ") for line in table.removeprefix(HEAD).splitlines()]
    assert titles == [kind.title for kind in (OURS, *KINDS)]


def test_the_log_tells_once_what_is_off_and_why_and_what_to_change(kind: Kind, server: Server) -> None:
    for _ in range(3):
        assert server.request("GET", "/comet?transport=poll&wait=0")[0] == 200
    lines = told(server)
    if "websocket" in kind.transports:
        assert lines == []
        return
    (line,) = lines
    assert (line.name, line.transports) == (kind.name, kind.transports)
    assert line.fix.startswith("`cometware serve`, gevent.pywsgi with handler_class=cometware.Handler")
    assert line.why


@pytest.mark.parametrize("transport", [WebSocket, EventStream, Stream])
def test_what_is_off_is_refused_with_the_reason(kind: Kind, server: Server, transport: type[Client]) -> None:
    client = transport(server)
    if transport.transport in kind.transports:
        with client:
            assert client.greeting["server"]["transports"] == list(kind.transports)
        return
    with pytest.raises(Refusal) as refusal, client:
        pass
    client.drop()
    error = json.loads(refusal.value.body)["error"]
    assert (refusal.value.status, error["code"]) == (501, "server")
    assert error["message"].startswith(f"{transport.transport} is off under this server: ")
    assert "`cometware serve`" in error["message"]


@pytest.mark.parametrize("size", [100_000, 5_000_000])
def test_a_body_that_is_too_large_is_refused_and_the_server_goes_on(kind: Kind, server: Server, size: int) -> None:
    headers = {"Content-Type": "application/json", "Comet-Key": new_key()}
    status, _, body = server.request("POST", "/comet", json.dumps({"n": 1, "data": "x" * size}), headers)
    assert (status, json.loads(body)["error"]["code"]) == (413, "size")
    assert server.get("/") == "the application as it was"


@of([kind for kind in KINDS if kind.held == 0])
def test_where_nothing_can_be_held_a_poll_is_told_when_to_ask_again(kind: Kind, server: Server) -> None:
    with LongPoll(server) as client:
        assert client.head.headers["retry-after"] == "1"
        assert client.heartbeat() == {"ping": client.greeting["position"]}


@of(STREAMING)
def test_no_more_streams_are_held_than_there_are_threads_for(kind: Kind, server: Server) -> None:
    assert kind.held is not None
    with ExitStack() as stack:
        clients = open_many(stack, EventStream, server, kind.held)
        late = Stream(server)
        with pytest.raises(Refusal) as refusal, late:
            pass
        late.drop()
        assert (refusal.value.status, refusal.value.headers["retry-after"]) == (503, "5")
        assert json.loads(refusal.value.body)["error"]["code"] == "busy"
        assert server.get("/") == "the application as it was"
        server.publish("for all")
        assert [client.data(1) for client in clients] == [["for all"]] * kind.held
        clients.pop().drop()
        server.until("/held", lambda held: held["pulled"] == len(clients))
        with Stream(server) as client:
            server.publish("a thread is free again")
            assert client.data(1) == ["a thread is free again"]


def open_many(stack: ExitStack, transport: type[Client], server: Server, count: int) -> list[Client]:
    """Open clients as soon as the server has seen that those of earlier tests are gone."""
    server.until("/held", lambda held: held["pulled"] == 0)
    return [stack.enter_context(transport(server)) for _ in range(count)]


@of(HOLDING)
def test_no_more_polls_are_held_than_there_are_threads_for(kind: Kind, server: Server) -> None:
    assert kind.held is not None
    with ExitStack() as stack:
        clients = open_many(stack, LongPoll, server, kind.held + 1)
        for client in clients:
            client.listen()
        sockets = {client._sock: client for client in clients if client._sock is not None}
        (sock,) = await_readable(sockets, LIMIT_SECONDS)
        answered = sockets[sock]
        assert answered.heartbeat() == {"ping": answered.greeting["position"]}
        assert answered.head.headers["retry-after"] == "1"
        server.publish("for all")
        assert [client.data(1) for client in clients] == [["for all"]] * len(clients)


@of([kind for kind in HOLDING if not kind.hides_client])
def test_the_thread_of_a_held_poll_is_free_as_soon_as_its_client_is_gone(kind: Kind, server: Server) -> None:
    with LongPoll(server) as client:
        client.listen()
        server.until("/held", lambda held: held["pulled"] == 1)
    server.until("/held", lambda held: held["pulled"] == 0)


@of(PARKING)
@pytest.mark.parametrize("transport", [WebSocket, pytest.param(EventStream, marks=FULL), pytest.param(LongPoll, marks=FULL)])
def test_idle_clients_hold_no_greenlet_and_no_thread(kind: Kind, server: Server, transport: type[Client]) -> None:
    with transport(server) as first:
        first.listen()
        server.until("/held", lambda held: held["parked"] >= 1)
    server.until("/held", lambda held: held["parked"] == 0)
    before = server.get("/held")
    with ExitStack() as stack:
        clients = [stack.enter_context(transport(server)) for _ in range(IDLE_CLIENTS)]
        for client in clients:
            client.listen()
        server.until(
            "/held", lambda held: held["parked"] == IDLE_CLIENTS and held["greenlets"] <= before["greenlets"] + RUNNERS
        )
        assert server.get("/held")["threads"] <= before["threads"]
        server.publish("they are all here")
        assert [client.data(1) for client in clients] == [["they are all here"]] * IDLE_CLIENTS


@of(PARKING)
@pytest.mark.parametrize("body", [{"content_length": "5"}, {"transfer_encoding": "chunked"}], ids=["length", "chunks"])
def test_the_body_of_a_request_whose_socket_is_parked_is_passed_over(kind: Kind, server: Server, body: dict[str, str]) -> None:
    with Line(server.port, server.connect()) as line:
        line.send(request(target="/comet?transport=stream", **body) + b"5\r\nhello\r\n0\r\n\r\n")
        assert line.head().status == 200
        assert line.chunk().startswith(b'{"open":')
    assert server.request("GET", "/comet?wait=0")[0] == 200
    assert server.unexpected_errors == []


@pytest.mark.parametrize(
    ("server", "module"),
    [
        ("uwsgi", {"opt": {"threads": b"8"}, "connection_fd": lambda: 0}),
        ("mod_wsgi", {"threads_per_process": 8}),
    ],
)
def test_servers_that_are_no_packages_tell_their_threads_by_a_module_of_their_own(
    server: str, module: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both were run by hand: `docs/servers.md`."""
    monkeypatch.setitem(sys.modules, server, SimpleNamespace(**module))
    found = find_threaded({f"{server}.version": "1", "wsgi.multithread": True}, None)
    assert (found.limit, found.transports) == (6, ("sse", "stream", "poll"))
