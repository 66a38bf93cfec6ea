"""Every way to name a Redis, each with a Redis of that kind."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cometware import Channel, Limits
from cometware.stores.redis import place_of
from tests.proxies.foreground import free_port
from tests.redis_server import SECONDS, RedisServer
from tests.stores.store_contract import unavailable

LIMITS = Limits(store_seconds=SECONDS)


_channels: list[Channel] = []


@pytest.fixture
def started() -> Iterator[list[RedisServer]]:
    """The servers of a test. Before they end, its channels do: none of them must go on trying to reach what is gone."""
    servers: list[RedisServer] = []
    yield servers
    while _channels:
        _channels.pop().log.close()
    for server in servers:
        server.kill()


def at(url: str, name: str = "comet") -> Channel:
    _channels.append(Channel(url, name=name, limits=LIMITS))
    return _channels[-1]


def works(url: str) -> Channel:
    channel = at(url)
    position = channel.publish({"order": 7})
    assert at(url).recent() == [{"order": 7}]
    assert channel.position == position
    return channel


def test_a_unix_socket(tmp_path: Path, started: list[RedisServer]) -> None:
    started.append(RedisServer(tmp_path, "--unixsocket", str(tmp_path / "redis.sock")))
    works(f"unix://{tmp_path}/redis.sock?db=3")
    assert started[0].client(db=3).xlen("cometware:{comet}:log") == 2


def test_a_password_which_no_error_tells(tmp_path: Path, started: list[RedisServer]) -> None:
    started.append(RedisServer(tmp_path))
    started[0].client().config_set("requirepass", "s3cret")
    works(f"redis://:s3cret@127.0.0.1:{started[0].port}/0")
    wrong = Channel(f"redis://:wr0ng@127.0.0.1:{started[0].port}/0", limits=Limits(store_seconds=0.2))
    error = str(unavailable(lambda: wrong.publish(1)))
    assert "invalid username-password pair" in error
    assert "wr0ng" not in error
    assert f"redis://:***@127.0.0.1:{started[0].port}/0 is not available" in error


def test_tls(tmp_path: Path, started: list[RedisServer]) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True, capture_output=True, timeout=240,
    )  # fmt: skip
    plain = RedisServer(tmp_path)
    started.append(plain)
    for name, value in {
        "tls-cert-file": str(certificate), "tls-key-file": str(key), "tls-ca-cert-file": str(certificate),
        "tls-auth-clients": "no",
    }.items():  # fmt: skip
        plain.client().config_set(name, value)
    port = free_port()
    plain.client().config_set("tls-port", port)
    works(f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={certificate}")


def test_a_cluster(tmp_path: Path, started: list[RedisServer]) -> None:
    buses = free_port(), free_port()
    for name, slots, bus in (("a", (0, 8191), buses[0]), ("b", (8192, 16383), buses[1])):
        server = RedisServer(tmp_path / name, "--cluster-enabled", "yes", "--cluster-port", str(bus))
        started.append(server)
        server.client().execute_command("CLUSTER", "ADDSLOTSRANGE", *slots)
    one, other = started
    one.client().execute_command("CLUSTER", "MEET", "127.0.0.1", other.port, buses[1])
    deadline = time.monotonic() + SECONDS
    while any(server.client().cluster("info")["cluster_state"] != "ok" for server in started):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    url = f"redis+cluster://127.0.0.1:{one.port},127.0.0.1:{other.port}"
    works(url)
    names = [f"channel{number}" for number in range(6)]  # on both nodes
    for name in names:
        channel = at(url, name)
        channel.publish(name, once="1")
        assert channel.recent() == [name]
    kept = [len(list(server.client().scan_iter("*:log"))) for server in started]
    assert sum(kept) == 7
    assert min(kept) > 0


def watch(tmp_path: Path, master: RedisServer, down_after_ms: int = 60_000) -> RedisServer:
    """Start a Sentinel that knows a master as `shop`."""
    config = tmp_path / "sentinel.conf"
    config.write_text(
        f"sentinel monitor shop 127.0.0.1 {master.port} 1\n"
        f"sentinel down-after-milliseconds shop {down_after_ms}\n"
        "sentinel failover-timeout shop 2000\n"
    )
    return RedisServer.sentinel(tmp_path, config)


def test_a_sentinel_leads_to_the_master(tmp_path: Path, started: list[RedisServer]) -> None:
    started.append(RedisServer(tmp_path / "master"))
    started.append(watch(tmp_path, started[0]))
    works(f"redis+sentinel://127.0.0.1:{started[1].port}/shop/1")
    assert started[0].client(db=1).xlen("cometware:{comet}:log") == 2


@pytest.mark.full
def test_after_a_fail_over_the_sentinel_leads_to_the_new_master(tmp_path: Path, started: list[RedisServer]) -> None:
    old = RedisServer(tmp_path / "old")
    new = RedisServer(tmp_path / "new", "--replicaof", "127.0.0.1", str(old.port), "--repl-diskless-sync-delay", "0")
    sentinel = watch(tmp_path, old, down_after_ms=300)
    started += [old, new, sentinel]
    channel = works(f"redis+sentinel://127.0.0.1:{sentinel.port}/shop/0")
    before = channel.position
    assert old.client().wait(1, SECONDS * 1000) == 1
    deadline = time.monotonic() + SECONDS
    while not sentinel.client().sentinel_slaves("shop"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    old.kill()
    after = channel.publish("on the new master", once="key")
    assert after == before._replace(offset=before.offset + 1)
    assert new.client().xlen("cometware:{comet}:log") == 3
    assert channel.recent()[-1] == "on the new master"


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://host",
        "redis+sentinel://host/service/0/more",
        "redis+sentinel://host/service/zero",
        "redis+cluster://",
        "redis+cluster://host/1",
        "redis+cluster://host?max=1",
        "redis+cluster://host:port",
        "redis+other://host",
        "redis://host:port/0",
    ],
)
def test_a_url_that_cannot_be_meant_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match=r"Channel\('redis"):
        Channel(url)


@pytest.mark.parametrize("name", ["", "}", "}shop"])
def test_a_name_that_is_no_hash_tag_is_refused_at_once(name: str) -> None:
    with pytest.raises(ValueError, match=r"Channel\(name='.*'\): expected a name"):
        Channel("redis://host/0", name=name)


def test_several_hosts_with_a_login() -> None:
    place = place_of("rediss+sentinel://ann:p%40ss@one,two:1234/shop/2?sentinel_password=other&ssl_cert_reqs=none")
    assert place.hosts == [("one", 26379), ("two", 1234)]
    assert (place.service, place.settings["db"]) == ("shop", 2)
    assert (place.settings["username"], place.settings["password"], place.settings["ssl"]) == ("ann", "p@ss", True)
    assert place.sentinel_settings["password"] == "other"


def test_an_unknown_scheme_is_told_with_those_that_are_known() -> None:
    with pytest.raises(ValueError, match=r"unknown scheme 'mysql', expected one of memory:, sqlite:, redis:, rediss:, unix:"):
        Channel("mysql://host/0")


def test_without_the_package_redis_it_is_told_how_to_get_it() -> None:
    program = (
        "import sys; sys.modules['redis'] = None\n"
        "from cometware import Channel\n"
        "try: Channel('redis://host/0')\n"
        "except ImportError as error: assert \"pip install 'cometware[redis]'\" in str(error)\n"
        "else: raise AssertionError\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=240)
