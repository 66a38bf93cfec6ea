"""What the lines of docs/security.md keep away from a server, on the real proxies, with their time-outs made short."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from foreground import find_program, listening
from proxies import APACHE_MODULES

from tests.live.raw import UPGRADE, head
from tests.live.server import serve

PAGE = (Path(__file__).resolve().parents[2] / "docs/security.md").read_text()
PATIENCE_SECONDS = 60.0


SHORTER = {
    r"(timeout(?: http-request)? +)10s": r"\g<1>1s",
    "header=10-20": "header=1-2",
    "body=10,": "body=1,",
    "rate=100r/s": "rate=1r/s",
    r"http_req_rate\(10s\)": "http_req_rate(100s)",
    "gt 1000 ": "gt 200 ",
}


def lines(language: str) -> str:
    """Return a block of the page, its ten seconds made one, and its rates small enough for any machine."""
    (block,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    for pattern, short in SHORTER.items():
        block = re.sub(pattern, short, block)
    return block


def nginx(port: int, folder: Path, upstream: int) -> Sequence[str | Path]:
    block = lines("nginx").replace("listen 80", f"listen 127.0.0.1:{port}").replace("127.0.0.1:8000", f"127.0.0.1:{upstream}")
    (folder / "nginx.conf").write_text(f"""
        daemon off; master_process off; error_log stderr crit; pid nginx.pid;
        events {{ worker_connections 4096; }}
        http {{
            access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
            scgi_temp_path scgi; uwsgi_temp_path uwsgi;
            map $http_upgrade $connection_upgrade {{ default upgrade; "" ""; }}
            {block}
        }}
    """)
    return [find_program("nginx"), "-p", folder, "-c", folder / "nginx.conf", "-e", "stderr"]


def haproxy(port: int, folder: Path, upstream: int) -> Sequence[str | Path]:
    (folder / "haproxy.cfg").write_text(f"""
defaults
    mode http
    option http-no-delay
    timeout connect 60s
    timeout client 60s
    timeout server 60s
    timeout tunnel 60s

{lines("haproxy").replace("bind :80", f"bind 127.0.0.1:{port}")}
backend app
    server app1 127.0.0.1:{upstream}
""")
    return [find_program("haproxy"), "-db", "-f", folder / "haproxy.cfg"]


def apache(port: int, folder: Path, upstream: int) -> Sequence[str | Path]:
    user = "User nobody\nGroup nogroup\n" if os.geteuid() == 0 else ""
    modules = ["mpm_event", "authz_core", "proxy", "proxy_http", "reqtimeout"]
    loaded = "\n".join(f"LoadModule {name}_module {APACHE_MODULES}/mod_{name}.so" for name in modules)
    (folder / "apache.conf").write_text(f"""{user}
        ServerRoot {folder}
        DefaultRuntimeDir {folder}
        ServerName localhost
        Listen 127.0.0.1:{port}
        PidFile {folder}/apache.pid
        ErrorLog /dev/stderr
        {loaded}
        ServerLimit 1
        StartServers 1
        ThreadsPerChild 64
        MaxRequestWorkers 64
        {lines("apache")}
        ProxyPreserveHost On
        ProxyPass / http://127.0.0.1:{upstream}/ upgrade=websocket
    """)
    return [find_program("apache2"), "-D", "FOREGROUND", "-f", folder / "apache.conf"]


PROXIES = {"nginx": nginx, "haproxy": haproxy, "apache": apache}
COUNTING = ["nginx", "haproxy"]
"""Those that count by address; Apache has no module of its own for that."""


@pytest.fixture(scope="module")
def upstream() -> Iterator[int]:
    with serve() as server:
        yield server.port


@contextlib.contextmanager
def behind(name: str, upstream: int) -> Iterator[int]:
    with listening(lambda port, folder: PROXIES[name](port, folder, upstream)) as port:
        yield port


@contextlib.contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS) as sock:
        yield sock


def status(port: int, connection: http.client.HTTPConnection | None = None) -> int:
    """Ask for a short poll; 0, if the connection is refused or cut."""
    own = connection or http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    try:
        own.request("GET", "/comet?transport=poll&wait=0")
        with own.getresponse() as response:
            response.read()
            return response.status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        if connection is None:
            own.close()


def ending(sock: socket.socket) -> bytes:
    """Read until the proxy ends the connection, and return what it said."""
    said = b""
    with contextlib.suppress(ConnectionError):
        while data := sock.recv(65536):
            said += data
    return said


@pytest.mark.parametrize("name", PROXIES)
def test_an_ordinary_visitor_notices_nothing(name: str, upstream: int) -> None:
    with behind(name, upstream) as port:
        assert [status(port) for _ in range(50)] == [200] * 50


@pytest.mark.parametrize("name", COUNTING)
def test_a_flood_of_requests_is_answered_by_the_proxy(name: str, upstream: int) -> None:
    with behind(name, upstream) as port:
        answers = [status(port) for _ in range(400)]
    assert set(answers) == {200, 429}
    assert answers[:190] == [200] * 190


@pytest.mark.parametrize("name", COUNTING)
def test_more_connections_of_an_address_than_may_be_are_refused(name: str, upstream: int) -> None:
    handshake = head("GET", "/comet", {"Host": "127.0.0.1"} | UPGRADE)
    with behind(name, upstream) as port, contextlib.ExitStack() as stack:
        for _ in range(100):
            sock = stack.enter_context(connected(port))
            sock.sendall(handshake)
            assert sock.recv(12) == b"HTTP/1.1 101"
        assert status(port) in (0, 429)


@pytest.mark.parametrize("name", PROXIES)
def test_a_head_that_comes_too_slowly_ends(name: str, upstream: int) -> None:
    with behind(name, upstream) as port, connected(port) as sock:
        sock.sendall(b"GET /comet HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
        assert b" 200 " not in ending(sock)


@pytest.mark.parametrize("name", PROXIES)
def test_a_body_that_comes_too_slowly_ends(name: str, upstream: int) -> None:
    with behind(name, upstream) as port, connected(port) as sock:
        sock.sendall(b"POST /comet HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\nabc")
        began = time.monotonic()
        assert b" 200 " not in ending(sock)
        assert time.monotonic() - began < 29  # else it was the server's Limits.body_seconds
