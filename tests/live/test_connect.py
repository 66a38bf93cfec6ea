"""`cometware.connect` against a real server: what it owes its caller on every transport."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from cometware import Args, Closed, Connection, Failed, Heard, Position, Refused, Unreachable, connect
from cometware.core.keys import client_id
from cometware.remote import keeping, outbox
from cometware.remote.links import EventLink, StreamLink
from tests.live.clients import new_key
from tests.live.failing import failure_of
from tests.live.restarting import restarting
from tests.live.server import LIMIT_SECONDS, PATIENT, ROOT, Server

LIMITS = PATIENT | {"window_entries": 50_000, "max_message_bytes": 65536, "poll_seconds": 5}
TRANSPORTS = ("websocket", "stream", "sse", "poll")
every_transport = pytest.mark.parametrize("transport", TRANSPORTS)


def url_of(server: Server, query: str = "") -> str:
    return f"http://127.0.0.1:{server.port}/comet{query}"


def data_of(connection: Connection, count: int) -> list[object]:
    return [connection.receive(LIMIT_SECONDS).data for _ in range(count)]


def until(holds: Callable[[], bool]) -> None:
    """Wait for what the client does by itself."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@every_transport
def test_what_is_published_is_iterated_over_once_in_order(server: Server, transport: str) -> None:
    with connect(url_of(server), transport) as connection:
        assert (connection.transport, len(connection.client or "")) == (transport, 24)
        first, second = server.publish("hello"), server.publish({"order": 7}, event="order")
        assert list(itertools.islice(connection, 2)) == [
            Heard("message", "hello", Position.parse(first)),
            Heard("order", {"order": 7}, Position.parse(second)),
        ]


@every_transport
def test_every_kind_of_data_survives_the_way_there_and_back(server: Server, transport: str) -> None:
    with connect(url_of(server), transport) as connection:
        for data in (None, 7, "Ω 𝄞 \u2028", b"\0\xff", {"$bytes": "x"}, [1, {"deep": b"\1"}], "x" * 60_000):
            assert connection.ask("echo", data) == data
        assert connection.ask("echo", Args([1, b"2"])) == Args([1, b"2"])


@every_transport
def test_who_asks_gets_the_reply_or_why_there_is_none(server: Server, transport: str) -> None:
    with connect(url_of(server), transport) as connection:
        assert connection.ask("rename", "ann") == {"was": None, "name": "ann"}
        with pytest.raises(Failed, match="pay first") as refused:
            connection.ask("forbidden")
        assert (refused.value.code, refused.value.details) == ("refused", {"status": 402})
        with pytest.raises(Failed) as unhandled:
            connection.ask("nobody's")
        assert unhandled.value.code == "event"
        with pytest.raises(TimeoutError, match=r"no reply to 'wait' .* within 0\.1 s"):
            connection.ask("wait", new_gate := new_key(), timeout=0.1)
        server.post(f"/gate/{new_gate}")


@every_transport
def test_what_is_sent_arrives_in_order_and_a_failure_is_heard(server: Server, transport: str) -> None:
    with connect(url_of(server), transport) as connection:
        for number in range(500):
            connection.send(number, event="note")
        connection.send(None, event="forbidden")
        assert connection.receive(LIMIT_SECONDS)._replace(position=None) == Heard(
            "error", {"code": "refused", "message": "pay first", "status": 402}, None
        )
        assert connection.flush(LIMIT_SECONDS)
        assert connection.client is not None
        ended = server.journal(500, kind="end", client=connection.client)
        assert [line["data"] for line in ended] == list(range(500))


@every_transport
def test_who_closes_has_left_at_once_with_everything_said(server: Server, transport: str) -> None:
    before = set(threading.enumerate())
    with connect(url_of(server), transport) as connection:
        connection.send("last words")
    assert connection.client is not None
    (left,) = server.journal(1, kind="close", client=connection.client)
    assert left["reason"] == "left"
    assert server.life_of(connection.client) == ["open", "message", "close"]
    with pytest.raises(Closed):
        connection.send("too late")
    assert [heard.data for heard in connection] in ([], [{"from": connection.client, "data": "last words"}])
    deadline = time.monotonic() + LIMIT_SECONDS
    while left_over := {thread.name for thread in set(threading.enumerate()) - before if "cometware" in thread.name}:
        assert time.monotonic() < deadline, left_over
        time.sleep(0.01)


@every_transport
def test_whom_the_application_closes_is_told_the_code_and_does_not_come_back(server: Server, transport: str) -> None:
    with connect(url_of(server), transport) as connection:
        server.publish("before")
        assert connection.receive(LIMIT_SECONDS).data == "before"  # who is between two polls is told its close alone
        server.post("/channel/close", client_id=connection.client, code=4403, reason="kicked")
        with pytest.raises(Closed, match="closed with 4403: kicked"):
            next(connection)
        with pytest.raises(Closed):
            connection.ask("echo")


@every_transport
def test_whom_the_application_asks_back_comes_back(server: Server, transport: str) -> None:
    with connect(url_of(server), transport) as connection:
        server.post("/channel/close", client_id=connection.client, code=4000, reason="again")
        server.publish("after")
        assert data_of(connection, 1) == ["after"]
        assert connection.ask("echo", 1) == 1


@pytest.mark.parametrize("transport", ["auto", *TRANSPORTS])
def test_who_is_refused_gets_status_and_reason(server: Server, transport: str) -> None:
    with pytest.raises(Refused, match="402: members only") as refused:
        connect(url_of(server, "?refuse=402"), transport)
    assert refused.value.body == b'{"error":{"code":"refused","message":"members only"}}\n'


def test_the_callers_cookie_tells_who_it_is(server: Server) -> None:
    with connect(url_of(server), headers={"Cookie": server.login("ann")}) as connection:
        assert connection.client is not None
        assert server.journal(1, kind="open", client=connection.client)[0]["user"] == "ann"


def test_it_begins_where_it_is_told(server: Server) -> None:
    positions = [server.publish(number) for number in range(5)]
    with connect(url_of(server), after=positions[2]) as connection:
        assert data_of(connection, 2) == [3, 4]
    with connect(url_of(server), last=3) as connection:
        assert data_of(connection, 3) == [2, 3, 4]


def test_the_key_makes_it_the_same_client(server: Server) -> None:
    key = new_key()
    one = connect(url_of(server), "stream", key=key)
    assert one.ask("rename", "ann") == {"was": None, "name": "ann"}
    with connect(url_of(server), "poll", key=key) as other:
        assert other.client == one.client
        assert other.ask("rename", "bob") == {"was": "ann", "name": "bob"}
    with pytest.raises(StopIteration):
        next(one)
    one.close()


def test_a_hole_in_history_is_told(server: Server) -> None:
    with connect(url_of(server), after="deadbeef-7") as connection:
        assert connection.receive(LIMIT_SECONDS)[:2] == ("reset", {"reason": "epoch"})
        server.publish("on it goes")
        assert data_of(connection, 1) == ["on it goes"]


def test_who_hears_nothing_still_gets_replies(server: Server) -> None:
    with connect(url_of(server), receive=False) as connection:
        server.publish("to nobody")
        assert connection.ask("echo", 1) == 1
        with pytest.raises(TimeoutError, match="no message"):
            connection.receive(0)


def test_what_is_too_large_fails_at_once(server: Server) -> None:
    with connect(url_of(server)) as connection, pytest.raises(Failed, match="65536") as failed:
        connection.send("x" * 65536)
    assert failed.value.code == "size"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"url": "example.org/comet"}, "expected a URL like https://example.org/comet"),
        ({"url": "http://h/", "transport": "pigeon"}, "expected auto, websocket, stream, sse, poll"),
        ({"url": "http://h/", "after": "yesterday"}, "expected a position like 'ab3c4c35-7'"),
        ({"url": "http://h/", "key": "short"}, "expected 22 to 86 characters of base64url, got 5 characters"),
    ],
)
def test_a_wrong_argument_is_explained(arguments: dict[str, str], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        connect(**arguments)  # type: ignore[arg-type]


def test_where_nobody_listens_it_says_so_in_time() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/comet"
        failure_of(url, told=r"/comet is not reachable: Connection refused \(websocket\)")
        silent.listen()
        with pytest.raises(Unreachable, match="no answer in time"):
            connect(url, timeout=0.1)


def test_who_gave_up_before_it_was_open_leaves_nobody_behind(server: Server) -> None:
    """Its request has reached the server, which still asks the application whether it wants this client."""
    key = new_key()
    client = client_id(key, None)
    with pytest.raises(Unreachable):
        connect(url_of(server, f"?gate={key}"), "stream", key=key, timeout=0.5)
    assert server.journal(1, kind="open", client=client)
    server.post(f"/gate/{key}")
    assert server.journal(1, kind="close", client=client)[0]["reason"] == "left"


def test_another_path_of_the_application_is_no_channel(server: Server) -> None:
    with pytest.raises(Refused, match="404: nothing is at /comet/x; the channel is at /comet"):
        connect(url_of(server, "/x"))
    unreachable = failure_of(f"http://127.0.0.1:{server.port}/", told="expected JSON, got")
    assert isinstance(unreachable, Unreachable)
    assert unreachable.tried["websocket"].startswith("HTTP 400: ")


# Changing the connection


def test_who_hops_under_a_flood_loses_doubles_and_swaps_none(server: Server) -> None:
    count, transports = 8000, itertools.cycle(TRANSPORTS)
    with connect(url_of(server), "poll") as connection:
        first = server.get("/position")
        server.post("/flood", count=count, every=10, rest=2)
        seen, carriers = [], set()
        for heard in itertools.islice(connection, count):
            seen.append([str(heard.position), heard.data])
            carriers.add(connection.transport)
            if len(seen) % 100 == 0:
                connection.use(next(transports))
        assert [data for _, data in seen] == list(range(1, count + 1))
        history = server.get(f"/history/{count}")
        assert seen == history and history[0][0] == f"{first.split('-')[0]}-{int(first.split('-')[1]) + 1}"
        assert carriers >= set(TRANSPORTS)
        assert connection.client is not None and server.life_of(connection.client) == ["open"]


def test_who_changes_its_mind_before_the_hop_leaves_no_connection_behind(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connect(url_of(server), "stream") as connection:
        with monkeypatch.context() as busy:
            busy.setattr(StreamLink, "interrupt", lambda link: None)  # who receives has not looked up yet
            connection.use("sse")
            until(lambda: connection._next is not None)
            first = connection._next
            assert isinstance(first, EventLink)
            connection.use("websocket")
            until(lambda: connection._next is not first)
        until(lambda: first._asker._connection is None)
        server.publish("on it goes")
        assert data_of(connection, 1) == ["on it goes"]


def test_a_reply_follows_its_client_to_another_transport(server: Server) -> None:
    gate = new_key()
    with ThreadPoolExecutor(1) as pool, connect(url_of(server), "websocket") as connection:
        reply = pool.submit(connection.ask, "wait", gate)
        assert connection.client is not None
        server.journal(1, kind="begin", client=connection.client)
        connection.use("poll")
        until(lambda: connection.transport == "poll")
        assert not reply.done()
        server.post(f"/gate/{gate}")
        assert reply.result(LIMIT_SECONDS) == "done"
        assert len(server.journal(kind="begin", client=connection.client)) == 1


@every_transport
def test_asks_and_hearing_go_on_beside_each_other(server: Server, transport: str) -> None:
    count, hops = 300, 5
    with connect(url_of(server), transport) as connection, ThreadPoolExecutor(4) as pool:
        replies = [pool.submit(connection.ask, "echo", number) for number in range(count)]
        for _ in range(hops):
            connection.use("websocket" if connection.transport != "websocket" else "stream")
        assert [reply.result(LIMIT_SECONDS) for reply in replies] == list(range(count))


def test_a_caller_that_does_not_hear_holds_the_connection_back_and_misses_nothing(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "INBOX_MESSAGES", 100)
    monkeypatch.setattr(keeping, "LIFE_SECONDS", 0.01)
    count = 5000
    with connect(url_of(server)) as connection:
        server.post("/flood", count=count, every=50, rest=1)
        server.until("/position", lambda at: server.get("/history/1")[0][1] == count)
        assert len(connection._inbox) < 100 + 300
        assert data_of(connection, count) == list(range(1, count + 1))


# The server goes and comes


@pytest.mark.parametrize(
    "transport", ["websocket", "poll", *(pytest.param(name, marks=pytest.mark.full) for name in ("stream", "sse"))]
)
def test_a_killed_server_is_found_again_and_the_reset_is_told(transport: str) -> None:
    with restarting() as place, connect(place.url, transport) as connection:
        place.server.publish("before")
        assert data_of(connection, 1) == ["before"]
        place.restart()
        assert connection.receive(LIMIT_SECONDS)[:2] == ("reset", {"reason": "epoch"})
        place.server.publish("after")
        assert data_of(connection, 1) == ["after"]


@pytest.mark.parametrize(
    "transport", ["stream", *(pytest.param(name, marks=pytest.mark.full) for name in ("websocket", "poll"))]
)
def test_what_was_asked_of_a_server_that_died_is_asked_again(transport: str) -> None:
    with restarting() as place, ThreadPoolExecutor(1) as pool, connect(place.url, transport) as connection:
        assert connection.ask("echo", 1) == 1
        reply = pool.submit(connection.ask, "wait", "gate")
        place.server.journal(1, kind="begin")
        server = place.restart()
        server.journal(1, kind="begin")
        server.post("/gate/gate")
        assert reply.result(LIMIT_SECONDS) == "done"
        assert connection.ask("echo", 2) == 2


def test_what_is_said_while_away_is_kept_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "MAX_MESSAGES", 50)
    with restarting() as place, connect(place.url) as connection:
        place.kill()
        until(lambda: connection.transport is None)
        for number in range(50):
            connection.send(number, event="note")
        with pytest.raises(Failed, match=r"50 messages .* wait") as full:
            connection.send("one more")
        assert full.value.code == "full"
        server = place.start()
        assert [line["data"] for line in server.journal(50, kind="end")] == list(range(50))
        assert connection.flush(LIMIT_SECONDS)


def test_a_server_that_stops_asks_its_clients_back() -> None:
    with restarting() as place, connect(place.url) as connection:
        place.kill(number=signal.SIGTERM)
        place.start()
        assert connection.receive(LIMIT_SECONDS).event == "reset"


def test_a_silent_server_is_given_up_after_its_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is stopped says nothing at all, and its kernel goes on answering."""
    monkeypatch.setattr("cometware.remote.links.MARGIN_SECONDS", 0.2)
    with restarting({"heartbeat_seconds": 0.5, "pong_seconds": 5}) as place, connect(place.url) as connection:
        pid = place.server.pid
        os.kill(pid, signal.SIGSTOP)
        try:
            until(lambda: connection.transport is None)
        finally:
            os.kill(pid, signal.SIGCONT)
        place.server.publish("awake")
        assert data_of(connection, 1) == ["awake"]


# With and without gevent

PROGRAM = """\
import sys
url, how = sys.argv[1:]
if how == "patched":
    from gevent import monkey; monkey.patch_all()
elif how == "missing":
    sys.modules["gevent"] = None
elif how == "beside":
    import gevent
import threading, cometware
for transport in ("websocket", "stream", "sse", "poll"):
    with cometware.connect(url, transport) as connection:
        said = [threading.Thread(target=connection.send, args=(n,)) for n in range(20)]
        for thread in said: thread.start()
        heard = sorted(next(connection).data["data"] for _ in said)
        assert heard == list(range(20)), heard
        assert connection.ask("echo", b"1") == b"1"
        connection.use("poll" if transport != "poll" else "websocket")
        assert connection.ask("echo", 2) == 2
if how != "missing":
    import gevent
    greenlets = how == "patched"
    assert (type(connection._threads[0]._started).__module__ != "threading") or not greenlets
print("done")
"""


@pytest.mark.parametrize("how", ["plain", "missing", "beside", "patched"])
def test_it_works_whatever_gevent_does_to_the_process(server: Server, how: str) -> None:
    command = [sys.executable, "-W", "error", "-c", PROGRAM, url_of(server), how]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert (done.stdout, done.stderr) == ("done\n", "")
