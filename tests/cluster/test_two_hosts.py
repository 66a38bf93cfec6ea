"""Two hosts, a Redis on a third, and a cable that is pulled out between one of them and Redis: nothing is lost or doubled."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.cluster.hosts import Cable, Host, hosts
from tests.live.clients import TRANSPORTS, Client, Jsonp
from tests.live.server import LIMIT_SECONDS, PATIENT, Server, serve
from tests.redis_server import RedisServer

LIMITS = {**PATIENT, "store_seconds": 1}
KINDS: tuple[type[Client], ...] = (*TRANSPORTS, Jsonp)


_ESTABLISHED = "01"


def _connections(pid: int) -> list[list[str]]:
    """Return /proc's row of each TCP socket on the host of a process: third comes the far end, fourth the state."""
    rows = Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
    return [row.split() for row in rows]


class Site(NamedTuple):
    """A host with a server, and a client of each transport, that runs there too."""

    host: Host
    cable: Cable
    server: Server
    clients: list[Client]

    def hear(self, expected: list[str]) -> None:
        with self.host.inside():
            for client in self.clients:
                assert client.data(len(expected)) == expected, client.transport

    def publish(self, data: str) -> int:
        """Publish from a view, `once`; return the status of its response."""
        message = {"data": data, "once": data}
        headers = {"Content-Type": "application/json"}
        with self.host.inside():
            return self.server.request("POST", "/channel/publish", json.dumps(message).encode(), headers)[0]

    def await_silence_noticed(self) -> None:
        """Wait until the server has let go of every connection to Redis; TCP itself would hold them for 15 minutes."""
        redis = socket.inet_aton(self.cable.far)[::-1].hex().upper()
        deadline = time.monotonic() + LIMIT_SECONDS
        while held := [row for row in _connections(self.server.pid) if row[2].startswith(redis) and row[3] == _ESTABLISHED]:
            assert time.monotonic() < deadline, held
            time.sleep(0.05)

    def note(self, client: Client) -> tuple[int, dict[str, object]]:
        """Send the first numbered message of a client by POST; return the answer."""
        headers = {"Comet-Key": client.key, "Content-Type": "application/json"}
        message = json.dumps({"n": 1, "event": "note", "data": "said in the dark"}).encode()
        with self.host.inside():
            status, _, body = self.server.request("POST", "/comet", message, headers)
        return status, json.loads(body)


@pytest.fixture
def sites(tmp_path: Path) -> Iterator[list[Site]]:
    (tmp_path / "journal").mkdir()
    with ExitStack() as stack:
        middle, around = stack.enter_context(hosts(2))
        with middle.inside():
            addresses = ["127.0.0.1", *(cable.far for _, cable in around)]
            redis = RedisServer(tmp_path, "--bind", *addresses, "--protected-mode", "no", "--appendonly", "yes")
            stack.callback(redis.kill)
        made = []
        for host, cable in around:
            environ = {"CHANNEL": f"redis://{cable.far}:{redis.port}/0", "JOURNAL": str(tmp_path / "journal")}
            with host.inside():
                server = stack.enter_context(serve(LIMITS, environ=environ, excused=r"cometware\.errors\.LogUnavailable"))
                clients = [stack.enter_context(kind(server)) for kind in KINDS]
            made.append(Site(host, cable, server, clients))
        yield made


@pytest.mark.parametrize("seconds", [3.0, pytest.param(20.0, marks=pytest.mark.full)])
def test_a_host_that_is_cut_off_from_redis_and_comes_back_has_missed_and_doubled_nothing(
    seconds: float, sites: list[Site]
) -> None:
    near, cut = sites
    assert near.publish("before") == 200
    for site in sites:
        site.hear(["before"])

    cut.cable.cut()
    end = time.monotonic() + seconds
    assert cut.publish("said by who is cut off") == 500
    assert time.monotonic() < end + LIMIT_SECONDS
    speaker = cut.clients[0]
    status, _ = cut.note(speaker)
    assert status in (409, 503)
    cut.await_silence_noticed()
    missed = []
    while time.monotonic() < end:
        missed.append(f"missed {len(missed)}")
        assert near.publish(missed[-1]) == 200
        time.sleep(0.1)
    near.hear(missed)
    with cut.host.inside():
        assert cut.server.request("GET", "/")[0] == 200

    cut.cable.mend()
    deadline = time.monotonic() + 2 * LIMIT_SECONDS
    while cut.publish("said by who is cut off") != 200:
        assert time.monotonic() < deadline
    while cut.note(speaker) != (200, {"accepted": 1}):
        assert time.monotonic() < deadline
    assert near.publish("after") == 200
    cut.hear([*missed, "said by who is cut off", "after"])
    near.hear(["said by who is cut off", "after"])

    for site in sites:
        with site.host.inside():
            for client in site.clients:
                assert site.server.life_of(client.id)[0] == "open"
                assert [line["kind"] for line in site.server.journal(client=client.id)].count("open") == 1
                assert site.server.journal(client=client.id, kind="close") == []
    with near.host.inside():
        assert len(near.server.journal(kind="end", client=speaker.id)) == 1
