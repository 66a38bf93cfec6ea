"""A site's own pages behind proxies that keep Host, change it, and end TLS; and what a stranger cannot gain by a header."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
from proxies import NGINX_UPGRADE, StartProxy, _apache, _haproxy, _nginx, haproxy_tls, nginx_tls

from tests.live.server import serve

BELIEVERS = ["inside", "outside", "django"]
ALL = [*BELIEVERS, "blind", "plain"]


def apache(options: str) -> StartProxy:
    return lambda port: _apache(port, f"upgrade=websocket\n{options}")


def nginx(lines: str) -> StartProxy:
    return lambda port: _nginx(port, lines)


def haproxy(*lines: str) -> StartProxy:
    return lambda port: _haproxy(port, *lines)


TELLS = "proxy_set_header X-Forwarded-Host $http_host;"
BEHIND: dict[str, tuple[StartProxy, list[str]]] = {
    "nginx keeps Host": (nginx(NGINX_UPGRADE), ALL),
    "nginx ends TLS": (nginx_tls, ALL),
    "nginx changes Host and tells": (nginx(TELLS), BELIEVERS),
    "HAProxy keeps Host": (haproxy(), ALL),
    "HAProxy ends TLS": (haproxy_tls, ALL),
    "HAProxy changes Host and tells": (
        haproxy("http-request set-header X-Forwarded-Host %[req.hdr(host)]", "http-request set-header Host backend:8000"),
        BELIEVERS,
    ),
    "Apache keeps Host": (apache("ProxyPreserveHost On"), ALL),
    "Apache changes Host and tells, as it does by itself": (apache(""), BELIEVERS),
}
"""By which proxies which applications know their own pages."""

Asking = Callable[..., tuple[int, bytes]]


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serve(application="tests.live.proxied:app") as server:
        yield server.port


def asking(port: int, *, tls: bool) -> Asking:
    def ask(name: str, origin: str, method: str = "GET", **headers: str) -> tuple[int, bytes]:
        context = ssl._create_unverified_context()
        kind = http.client.HTTPSConnection if tls else http.client.HTTPConnection
        more = {"context": context} if tls else {}
        connection = kind("127.0.0.1", port, timeout=60, **more)  # type: ignore[arg-type]
        fields = {"Host": "shop.example", "Origin": origin, "Cookie": "a=b"}
        fields |= {field.replace("_", "-"): value for field, value in headers.items()}
        body = b"hello" if method == "POST" else None
        try:
            connection.request(method, f"/{name}/comet" + ("" if body else "?wait=0"), body, fields)
            with connection.getresponse() as response:
                return response.status, response.read()
        finally:
            connection.close()

    return ask


@pytest.fixture(scope="module", params=BEHIND)
def proxied(request: pytest.FixtureRequest, port: int) -> Iterator[tuple[Asking, list[str], bool]]:
    """A proxy: how to ask by it, who knows his pages behind it, and whether it tells what `Host` was."""
    start, knowing = BEHIND[request.param]
    running: AbstractContextManager[int] = start(port)
    with running as front:
        yield asking(front, tls="TLS" in request.param), knowing, "tells" in request.param


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("name", ALL)
def test_a_site_knows_its_own_pages_by_what_its_application_believes(
    proxied: tuple[Asking, list[str], bool], name: str, method: str
) -> None:
    ask, knowing, _ = proxied
    status, body = ask(name, "https://shop.example", method)
    if name in knowing:
        assert status == 200, body
    else:
        assert (status, json.loads(body)["error"]["code"]) == (403, "origin")
        assert "X-Forwarded-Host" in json.loads(body)["error"]["message"]
    assert ask(name, "https://shop.example", method, Sec_Fetch_Site="same-origin")[0] == 200


@pytest.mark.parametrize(
    "forged", [{}, {"X_Forwarded_Host": "evil.example"}, {"X_Forwarded_Host": "evil.example, shop.example"}]
)
@pytest.mark.parametrize("name", ALL)
def test_no_foreign_page_gets_in_by_a_header_that_a_stranger_can_write(
    proxied: tuple[Asking, list[str], bool], name: str, forged: dict[str, str]
) -> None:
    """No page can write it; but where an application believes it, the proxy must, whatever came."""
    ask, _, tells = proxied
    if tells or name not in BELIEVERS or not forged:
        status, body = ask(name, "https://evil.example", **forged)
        assert status in (400, 403), body
