"""`cometware.connect` behind every proxy: it finds what works there, and misses nothing on the way."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator

import pytest
from outgoing import outgoing
from proxies import PROXIES, through

from cometware import connect
from cometware.remote import keeping, links
from tests.live.failing import failure_of
from tests.live.server import LIMIT_SECONDS, PATIENT, Server, serve

CARRIER = {
    "nginx_default": ("stream", "poll"),
    "nginx_buffers": ("poll",),
    "haproxy_compression": ("websocket",),
    "apache_default": ("stream",),
    "swallows_upgrade": ("stream",),
    "answers_200_to_upgrade": ("stream",),
    "stores_and_forwards": ("poll",),
}
"""What carries the messages in the end; WebSocket everywhere else."""
SAMPLE = {
    "nginx_tls",
    "swallows_upgrade",
    "answers_200_to_upgrade",
    "stores_and_forwards",
    "resets_every_third",
}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(PATIENT | {"poll_seconds": 1}) as server:
        yield server


def be_patient(patch: pytest.MonkeyPatch, *with_these: str) -> None:
    """What a proxy holds back is soon left for another transport; what is only slow, is not."""
    patience = {name: 30.0 if name in with_these else 1.0 for name in ("websocket", "stream")}
    patch.setattr(keeping, "PATIENCE_SECONDS", patience)
    patch.setattr(links, "TICK_SECONDS", patience["stream"])


def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.full] * (name not in SAMPLE)) for name in PROXIES])
def test_it_finds_what_works_and_misses_nothing(server: Server, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    count, carriers = 200, CARRIER.get(name, ("websocket",))
    be_patient(monkeypatch, *carriers)
    with through(name, server.port) as url, connect(url + "/comet", tls=trusting(), timeout=LIMIT_SECONDS) as comet:
        numbers = threading.Thread(target=lambda: [server.publish(number) for number in range(count)])
        numbers.start()
        heard = [comet.receive(LIMIT_SECONDS).data for _ in range(count)]
        numbers.join()
        assert heard == list(range(count))
        assert [comet.ask("echo", number) for number in range(5)] == list(range(5))
        assert comet.transport in (*carriers, None)
        assert comet.client is not None and server.life_of(comet.client)[0] == "open"


@pytest.mark.parametrize("transport", ["websocket", "stream", "sse", "poll"])
def test_each_transport_passes_a_proxy_that_ends_tls(server: Server, transport: str) -> None:
    with through("nginx_tls", server.port) as url:
        with connect(url + "/comet", transport, tls=trusting()) as comet:
            server.publish("hello")
            assert comet.receive(LIMIT_SECONDS).data == "hello"
            assert comet.ask("echo", "x" * 100_000) == "x" * 100_000
        failure_of(url + "/comet", transport, told="certificate verify failed")


# A proxy of the environment, which alone knows where channel.test is


@pytest.mark.parametrize("transport", ["websocket", "stream", "sse", "poll"])
def test_the_environments_proxy_is_taken(server: Server, transport: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with outgoing(server.port) as proxy:
        monkeypatch.setenv("http_proxy", f"http://ann:s%40cret@127.0.0.1:{proxy.port}")
        with connect("http://channel.test/comet", transport) as comet:
            server.publish("hello")
            assert comet.receive(LIMIT_SECONDS).data == "hello"
            assert comet.ask("echo", 1) == 1
        first = "CONNECT channel.test:80 HTTP/1." if transport == "websocket" else "GET http://channel.test/comet?transport="
        assert proxy.seen[0].startswith(first)
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        failure_of("http://channel.test/comet", transport, told="407")


@pytest.mark.parametrize("transport", ["websocket", "poll"])
def test_tls_goes_through_a_tunnel(server: Server, transport: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with through("nginx_tls", server.port) as url, outgoing(int(url.rpartition(":")[2])) as proxy:
        monkeypatch.setenv("https_proxy", f"http://ann:s%40cret@127.0.0.1:{proxy.port}")
        with connect("https://channel.test/comet", transport, tls=trusting()) as comet:
            assert comet.ask("echo", 1) == 1
        assert {line.split(" ")[0] for line in proxy.seen} == {"CONNECT"}


def test_a_proxy_that_speaks_no_http_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:1080")
    with pytest.raises(ValueError, match="expected a proxy like http://host:port"):
        connect("http://channel.test/comet")
