"""Proxies between a browser and a server, and what each of them does to a real-time connection.

Each is a few lines of configuration for the real program, or one of our own that misbehaves in one way
(`hostile.py`). `PROXIES` says what each can carry, and `test_proxies.py` holds it to that.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from foreground import find_program, listening

from tests.live.certificate import write_certificate

HOSTILE = Path(__file__).with_name("hostile.py")
APACHE_MODULES = Path("/usr/lib/apache2/modules")

StartProxy = Callable[[int], AbstractContextManager[int]]


@dataclass(frozen=True)
class Proxy:
    """What a proxy does.

    websocket: it passes; it is refused (an answer other than 101 comes); or nothing ever comes.
    stream: when the events of a response without an end arrive: each at once, each when the next one follows
        (a compressor keeps a few bytes), or all when the response has ended.
    stream_asking: the same for a response with `X-Accel-Buffering: no` and `Cache-Control: no-transform`.
    """

    start: StartProxy
    websocket: Literal["passes", "refused", "silence"]
    stream: Literal["at once", "one behind", "late"]
    stream_asking: Literal["at once", "one behind", "late"]
    tls: bool = False

    @property
    def scheme(self) -> str:
        return "https" if self.tls else "http"


# --- nginx -----------------------------------------------------------------------------------------------


def _nginx(
    upstream: int, location: str = "", *, listen: str = "", server: str = "", http: str = "", address: str = ""
) -> AbstractContextManager[int]:
    def arguments(port: int, folder: Path) -> Sequence[str | Path]:
        if listen:
            write_certificate(folder)
        (folder / "nginx.conf").write_text(f"""
            daemon off;
            master_process off;
            error_log stderr warn;
            pid nginx.pid;
            events {{ worker_connections 4096; }}
            http {{
                access_log off;
                client_body_temp_path body;
                proxy_temp_path proxy;
                fastcgi_temp_path fastcgi;
                scgi_temp_path scgi;
                uwsgi_temp_path uwsgi;
                {http}
                map $http_upgrade $connection_upgrade {{ default upgrade; "" close; }}
                server {{
                    listen 127.0.0.1:{port} {listen};
                    {server}
                    location / {{
                        proxy_pass http://{address or f"127.0.0.1:{upstream}"};
                        {location}
                    }}
                }}
            }}
        """)
        return [find_program("nginx"), "-p", folder, "-c", folder / "nginx.conf", "-e", "stderr"]

    return listening(arguments)


NGINX_UPGRADE = """
    proxy_http_version 1.1;
    proxy_set_header Host $http_host;
    proxy_set_header Upgrade $http_upgrade;
"""
NGINX_WELL = NGINX_UPGRADE + "proxy_set_header Connection $connection_upgrade; proxy_buffering off;"


def nginx_default(upstream: int) -> AbstractContextManager[int]:
    """nginx with nothing but `proxy_pass`: drops the Upgrade, holds a stream back unless asked not to."""
    return _nginx(upstream)


def nginx_buffers(upstream: int) -> AbstractContextManager[int]:
    """nginx that holds a stream back whatever the server says."""
    return _nginx(upstream, "proxy_ignore_headers X-Accel-Buffering;")


def nginx_well(upstream: int) -> AbstractContextManager[int]:
    """nginx as its documentation advises for WebSocket and streams."""
    return _nginx(upstream, NGINX_WELL)


def nginx_pool(upstream: int) -> AbstractContextManager[int]:
    """nginx with the guide's lines: it keeps its connections to the server, for whoever asks next."""
    pool = f"upstream app {{ server 127.0.0.1:{upstream}; keepalive 64; }}"
    return _nginx(upstream, NGINX_UPGRADE + "proxy_set_header Connection '';", http=pool, address="app")


def nginx_always_upgrade(upstream: int) -> AbstractContextManager[int]:
    """nginx as many tutorials have it: says `Connection: upgrade` on every request, also on a POST.

    It buffers, but over HTTP/1.1 it hands on a buffer at the end of every chunk.
    """
    return _nginx(upstream, NGINX_UPGRADE + "proxy_set_header Connection upgrade;")


def nginx_tls(upstream: int) -> AbstractContextManager[int]:
    """nginx configured well, with TLS and HTTP/2 in front."""
    certificate = "ssl_certificate certificate.pem; ssl_certificate_key key.pem;"
    return _nginx(upstream, NGINX_WELL, listen="ssl http2", server=certificate)


# --- HAProxy ---------------------------------------------------------------------------------------------


def _haproxy(upstream: int, *lines: str, bind: str = "") -> AbstractContextManager[int]:
    def arguments(port: int, folder: Path) -> Sequence[str | Path]:
        if bind:
            write_certificate(folder)
        configuration = [
            "global",
            "    maxconn 4096",
            "defaults",
            "    mode http",
            "    timeout connect 60s",
            "    timeout client 60s",
            "    timeout server 60s",
            "    timeout tunnel 1h",
            "listen proxy",
            f"    bind 127.0.0.1:{port} {bind.format(folder=folder)}",
            f"    server origin 127.0.0.1:{upstream}",
            *(f"    {line}" for line in lines),
        ]
        (folder / "haproxy.cfg").write_text("\n".join(configuration) + "\n")
        return [find_program("haproxy"), "-db", "-f", folder / "haproxy.cfg"]

    return listening(arguments)


def haproxy_default(upstream: int) -> AbstractContextManager[int]:
    """HAProxy in HTTP mode: every small chunk waits a fifth of a second."""
    return _haproxy(upstream)


def haproxy_compression(upstream: int) -> AbstractContextManager[int]:
    """HAProxy that compresses whatever is text and may be transformed."""
    return _haproxy(
        upstream,
        "compression algo gzip",
        "compression type text/html text/plain text/event-stream application/javascript application/json",
    )


def haproxy_tls(upstream: int) -> AbstractContextManager[int]:
    """HAProxy with TLS and HTTP/2 in front, and WebSocket over HTTP/2 (RFC 8441)."""
    return _haproxy(
        upstream,
        "option http-no-delay",
        bind="ssl crt {folder}/both.pem alpn h2,http/1.1",
    )


# --- Apache ----------------------------------------------------------------------------------------------


def _apache(upstream: int, options: str = "") -> AbstractContextManager[int]:
    def arguments(port: int, folder: Path) -> Sequence[str | Path]:
        program = find_program("apache2")
        # Apache refuses to serve as root.
        user = "User nobody\nGroup nogroup\n" if os.geteuid() == 0 else ""
        (folder / "apache.conf").write_text(f"""{user}
            ServerRoot {folder}
            DefaultRuntimeDir {folder}
            ServerName localhost
            Listen 127.0.0.1:{port}
            PidFile {folder}/apache.pid
            ErrorLog /dev/stderr
            LoadModule mpm_event_module {APACHE_MODULES}/mod_mpm_event.so
            LoadModule authz_core_module {APACHE_MODULES}/mod_authz_core.so
            LoadModule proxy_module {APACHE_MODULES}/mod_proxy.so
            LoadModule proxy_http_module {APACHE_MODULES}/mod_proxy_http.so
            ServerLimit 1
            StartServers 1
            ThreadsPerChild 64
            MaxRequestWorkers 64
            ProxyPass / http://127.0.0.1:{upstream}/ {options}
        """)
        return [program, "-D", "FOREGROUND", "-f", folder / "apache.conf"]

    return listening(arguments)


def apache_default(upstream: int) -> AbstractContextManager[int]:
    """Apache with mod_proxy_http: streams well, drops the Upgrade."""
    return _apache(upstream)


def apache_websocket(upstream: int) -> AbstractContextManager[int]:
    """Apache that hands on a WebSocket's Upgrade."""
    return _apache(upstream, "upgrade=websocket")


# --- Of our own ------------------------------------------------------------------------------------------


def _hostile(upstream: int, fault: str) -> AbstractContextManager[int]:
    return listening(lambda port, folder: [sys.executable, HOSTILE, fault, str(port), str(upstream)])


def swallows_upgrade(upstream: int) -> AbstractContextManager[int]:
    """Takes a request for Upgrade and never answers it; other requests pass."""
    return _hostile(upstream, "swallows-upgrade")


def answers_200_to_upgrade(upstream: int) -> AbstractContextManager[int]:
    """Answers a request for Upgrade with a page of its own; other requests pass."""
    return _hostile(upstream, "answers-200-to-upgrade")


def stores_and_forwards(upstream: int) -> AbstractContextManager[int]:
    """Drops the Upgrade, and hands on no byte of a response before it has the last one."""
    return _hostile(upstream, "stores-and-forwards")


def cuts_idle(upstream: int) -> AbstractContextManager[int]:
    """Closes every connection on which nothing has moved for 2 seconds."""
    return _hostile(upstream, "cuts-idle")


def resets_every_third(upstream: int) -> AbstractContextManager[int]:
    """Resets the connection of every third request: before the server sees it and after in turn."""
    return _hostile(upstream, "resets-every-third")


PROXIES: dict[str, Proxy] = {
    "nginx_default": Proxy(nginx_default, "refused", "late", "at once"),
    "nginx_buffers": Proxy(nginx_buffers, "refused", "late", "late"),
    "nginx_well": Proxy(nginx_well, "passes", "at once", "at once"),
    "nginx_always_upgrade": Proxy(nginx_always_upgrade, "passes", "at once", "at once"),
    "nginx_tls": Proxy(nginx_tls, "passes", "at once", "at once", tls=True),
    "haproxy_default": Proxy(haproxy_default, "passes", "at once", "at once"),
    "haproxy_compression": Proxy(haproxy_compression, "passes", "one behind", "at once"),
    "haproxy_tls": Proxy(haproxy_tls, "passes", "at once", "at once", tls=True),
    "apache_default": Proxy(apache_default, "refused", "at once", "at once"),
    "apache_websocket": Proxy(apache_websocket, "passes", "at once", "at once"),
    "swallows_upgrade": Proxy(swallows_upgrade, "silence", "at once", "at once"),
    "answers_200_to_upgrade": Proxy(answers_200_to_upgrade, "refused", "at once", "at once"),
    "stores_and_forwards": Proxy(stores_and_forwards, "refused", "late", "late"),
    "cuts_idle": Proxy(cuts_idle, "passes", "at once", "at once"),
    "resets_every_third": Proxy(resets_every_third, "passes", "at once", "at once"),
}


@contextmanager
def through(name: str, upstream: int) -> Iterator[str]:
    """Start the proxy of that name before `upstream`; the value is its URL without a path."""
    proxy = PROXIES[name]
    with proxy.start(upstream) as port:
        yield f"{proxy.scheme}://127.0.0.1:{port}"
