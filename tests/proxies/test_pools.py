"""A proxy sends the requests of many visitors over few connections: each hears its own mail, and nobody else's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack

import pytest
from proxies import apache_default, haproxy_default, nginx_pool

from tests.conformance.engineio.sessions import PATH, Polls
from tests.live.clients import new_key
from tests.live.raw import Line, ask, request
from tests.live.server import PATIENT, Server, serve

TURNS = 60
POOLS = {"nginx": nginx_pool, "haproxy": haproxy_default, "apache": apache_default}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(PATIENT | {"poll_seconds": 1}) as server:
        yield server


@pytest.fixture(scope="module", params=POOLS)
def port(request: pytest.FixtureRequest, server: Server) -> Iterator[int]:
    proxy: AbstractContextManager[int] = POOLS[request.param](server.port)
    with proxy as port:
        yield port


@pytest.mark.parametrize("more", ["", "&after=7", "&t=a"])
def test_two_socketio_sessions_behind_one_pool(port: int, more: str) -> None:
    sessions = [Polls(port, more=more) for _ in range(2)]
    for session in sessions:
        session.post("40")
        assert session.get().startswith("40")
    with ExitStack() as lines:
        visitors = [lines.enter_context(Line(port)) for _ in sessions]
        heard: list[list[int]] = [[], []]
        for turn in range(TURNS):
            for line, session in zip(visitors, sessions, strict=True):
                line.send(request(target=f"{PATH}?{session.query}"))
            for session in sessions:
                session.post(f'421["echo",{turn}]')
            for line, found in zip(visitors, heard, strict=True):
                packets = line.answer().body.decode().split("\x1e")
                found += [json.loads(packet[3:])[0] for packet in packets if packet.startswith("43")]
    assert heard == [list(range(TURNS))] * 2


@pytest.mark.parametrize("query", ["?key={k}&after={p}", "?after={p}&key={k}"])
def test_two_native_clients_behind_one_pool_and_a_stranger(server: Server, port: int, query: str) -> None:
    keys = [new_key(), new_key()]
    greetings = [ask(port, request(target=f"/comet?key={key}")).json[0]["open"] for key in keys]
    positions = [greeting["position"] for greeting in greetings]
    with ExitStack() as lines:
        visitors = [lines.enter_context(Line(port)) for _ in keys]
        for turn in range(TURNS):
            for line, key, position in zip(visitors, keys, positions, strict=True):
                line.send(request(target="/comet" + query.format(k=key, p=position)))
            for greeting in greetings:
                server.publish([greeting["client"], turn], to=f"client:{greeting['client']}")
            for index, line in enumerate(visitors):
                (entry,) = line.answer().json
                assert entry["data"] == [greetings[index]["client"], turn]
                positions[index] = entry["id"]
            keyless = ask(port, request(target=f"/comet?wait=0&after={positions[0]}"))
            assert keyless.json[0]["open"]["client"] not in [greeting["client"] for greeting in greetings]
