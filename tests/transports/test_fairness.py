"""Who sends many requests at once waits behind who just came: counted in requests, with turns so short that each is over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gevent
import pytest
from gevent import socket
from gevent.pywsgi import WSGIHandler, WSGIServer

from cometware import Channel, Cometware, Handler, Limits
from cometware.transports import turns

GET = b"GET %b HTTP/1.1\r\nHost: h\r\n\r\n"
POLL = b"/comet?transport=poll&v=1&last=1&wait=0"
BEHIND = 2000
"""Requests that each stranger sends at once."""


class Site:
    """A server in this loop, that counts what its strangers had answered."""

    def __init__(self, handler: type[Any]) -> None:
        self.strangers = 0
        app = Cometware(self._app, Channel(limits=Limits(rates=None)))
        self.server = WSGIServer(("127.0.0.1", 0), self._counted(app), handler_class=handler, log=None)
        self.server.start()

    def _app(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Length", "0")])  # a body would wait for the head's acknowledgement
        return []

    def _counted(self, app: Any) -> Any:
        def counting(environ: dict[str, Any], start_response: Any) -> Any:
            self.strangers += environ["PATH_INFO"] != "/mine"
            return app(environ, start_response)

        return counting

    def connect(self) -> Any:
        return socket.create_connection(("127.0.0.1", self.server.server_port), 60)


@pytest.fixture(params=[Handler, WSGIHandler], ids=["our handler", "gevent's own"])
def site(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(turns, "TURN_SECONDS", 0.0)
    site = Site(request.param)
    yield site
    site.server.stop(timeout=0)


def read_all(sock: Any) -> None:
    try:
        while sock.recv(1 << 20):
            pass
    except OSError:
        pass


@pytest.mark.parametrize("strangers", [1, 10])
@pytest.mark.parametrize("target", [b"/", POLL])
def test_who_just_came_is_answered_between_two_requests_of_strangers(site: Site, strangers: int, target: bytes) -> None:
    mine, greenlets, socks = site.connect(), [], [site.connect() for _ in range(strangers)]
    for sock in socks:
        greenlets += [gevent.spawn(sock.sendall, GET % target * BEHIND), gevent.spawn(read_all, sock)]
    while site.strangers < strangers:
        gevent.sleep(0)
    waited = []
    for _ in range(10):
        before = site.strangers
        mine.sendall(GET % b"/mine")
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += mine.recv(65536)
        waited.append(site.strangers - before)
    assert site.strangers < strangers * BEHIND, "the strangers were still at it"
    assert min(waited) <= 8 + 3 * strangers and sum(waited) / 10 <= 20 + 6 * strangers, waited
    gevent.killall(greenlets)
    for sock in [mine, *socks]:
        sock.close()
