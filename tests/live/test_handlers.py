"""Handlers: one message after the other for each client, all clients beside each other, and publishers in any thread."""

from __future__ import annotations

from collections import defaultdict
from contextlib import ExitStack

import pytest

from tests.live.clients import TRANSPORTS, Client, EventStream, LongPoll, Stream, WebSocket, new_key
from tests.live.server import PATIENT, Server

LIMITS = PATIENT | {"order_seconds": 60, "max_handlers": 20}


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_clients_messages_are_handled_in_order_one_at_a_time(server: Server, transport: type[Client]) -> None:
    with transport(server) as client:
        for number in range(1, 101):
            client.send(number, event="note", n=number)
        client.acknowledged(100) if isinstance(client, WebSocket) else [client.answer() for _ in range(100)]
        lines = server.journal(200, client=client.id)[1:]
        assert [(line["kind"], line["data"]) for line in lines] == [
            (kind, number) for number in range(1, 101) for kind in ("begin", "end")
        ]


def test_messages_by_post_and_websocket_of_one_client_are_one_sequence(server: Server) -> None:
    with WebSocket(server) as one, one.hop(EventStream) as two:
        for number in range(1, 41):
            (one, two)[number % 2].send(number, event="note", n=number)
        begun = server.journal(40, client=one.id, kind="begin")
        assert [line["data"] for line in begun] == list(range(1, 41))


def test_a_handler_that_waits_delays_nobody_else(server: Server) -> None:
    gate = new_key()
    with ExitStack() as stack:
        slow = stack.enter_context(WebSocket(server))
        slow.send(gate, event="wait", n=1, reply=True)
        server.journal(1, client=slow.id, kind="begin")
        for transport in TRANSPORTS:
            other = stack.enter_context(transport(server))
            for number in range(1, 6):
                assert other.ask("echo", number, number) == number
        assert server.get("/") == "the application as it was"
        server.publish("news")
        assert slow.data(1) == ["news"]
        assert server.journal(client=slow.id, kind="end") == []
        server.post(f"/gate/{gate}")
        assert slow.data(1) == ["done"]


def test_a_handler_that_sleeps_two_seconds_delays_nobody_else(server: Server) -> None:
    with WebSocket(server) as slow, WebSocket(server) as other:
        slow.send(2, event="sleep", n=1)
        server.journal(1, client=slow.id, kind="begin")
        for number in range(1, 11):
            assert other.ask("echo", number, number) == number
        assert server.journal(client=slow.id, kind="end") == []
        server.journal(1, client=slow.id, kind="end")


def test_many_clients_wait_beside_each_other(server: Server) -> None:
    gate = new_key()
    with ExitStack() as stack:
        clients = [stack.enter_context(WebSocket(server)) for _ in range(15)]
        for client in clients:
            client.send(gate, event="wait", n=1, reply=True)
        server.journal(15, kind="begin", data=gate)
        server.post(f"/gate/{gate}")
        assert [client.data(1) for client in clients] == [["done"]] * 15


def test_a_client_that_is_full_of_waiting_messages_is_read_again_later(server: Server) -> None:
    gate, count = new_key(), 2000
    with WebSocket(server) as client:
        client.send(gate, event="wait", n=1)
        server.journal(1, client=client.id, kind="begin")
        for number in range(2, count + 1):
            client.send(number, event="note", n=number)
        server.post(f"/gate/{gate}")
        begun = server.journal(count, client=client.id, kind="begin")
        assert [line["data"] for line in begun] == [gate, *range(2, count + 1)]


def test_on_close_comes_behind_the_last_message(server: Server) -> None:
    gate = new_key()
    with WebSocket(server) as client:
        client.send(gate, event="wait", n=1)
        client.send("last", event="note", n=2)
        server.journal(1, client=client.id, kind="begin")
        client.leave()
        client.drop()
        server.post(f"/gate/{gate}")
        server.journal(1, client=client.id, kind="close")
        assert server.life_of(client.id) == ["open", "begin", "end", "begin", "end", "close"]


@pytest.mark.parametrize("kind", ["pool", "native"])
def test_native_threads_publish_safely(server: Server, kind: str) -> None:
    threads, count = 8, 500
    with WebSocket(server) as one, Stream(server) as two, LongPoll(server) as three:
        server.post(f"/threads/{kind}", threads=threads, count=count)
        heard = [client.data(threads * count) for client in (one, two, three)]
        assert heard[0] == heard[1] == heard[2]
        by_thread: dict[int, list[int]] = defaultdict(list)
        for thread, number in heard[0]:
            by_thread[thread].append(number)
        assert by_thread == {thread: list(range(count)) for thread in range(threads)}


def test_a_single_message_of_a_native_thread_wakes_the_server_at_once(server: Server) -> None:
    with WebSocket(server) as client:
        for _ in range(20):
            server.post("/threads/native", threads=1, count=1)
            assert client.data(1) == [[0, 0]]
