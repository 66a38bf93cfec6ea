"""Two workers, and strangers who send them damaged requests and frames: no 500, no traceback, nothing that hangs, and others
are served all the while.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from tests.fuzz import mutations
from tests.fuzz.mutations import PUT, changed, changes, mutated
from tests.live.clients import new_key
from tests.live.raw import UPGRADE, Line, ask, head, masked, open_websocket
from tests.live.raw import request as asking
from tests.live.server import Server, serve
from tests.proxies.foreground import free_port

AT_ONCE = 6
"""Strangers beside each other in one example."""
_WRONG = re.compile(rb"HTTP/1\.[01] (?:500|502|504) |\x88[\x02-\x7d]\x03\xf3")
"""A failure of ours: as a status, or as the code 1011 of a WebSocket's close."""

SOCKETIO = b"/comet/socket.io/?EIO=%d&transport=%b"
TARGETS = [
    b"/comet",
    b"/comet?v=1&wait=0.1",
    b"/comet?transport=poll&wait=0.3&last=5&key={KEY}",
    b"/comet?after={EPOCH}-1&key={KEY}&wait=0.2",
    b"/comet?transport=sse&v=1&pad=1",
    b"/comet?transport=stream&key={KEY}",
    b"/comet?callback=hear&accepted=1&wait=0",
    b"/comet/admin?wait=0",
    b"/comet/status",
    b"/comet/publish",
    b"/comet/client.min.js",
    b"/comet/sockjs/info?t=1",
    b"/comet/sockjs/iframe-1.html",
    b"/comet/sockjs/000/{KEY}/xhr",
    b"/comet/sockjs/000/{KEY}/xhr_send",
    b"/comet/sockjs/000/{KEY}/jsonp?c=hear",
    b"/comet/sockjs/000/{KEY}/jsonp_send",
    b"/comet/sockjs/000/{KEY}/xhr_streaming",
    b"/comet/sockjs/000/{KEY}/eventsource",
    b"/comet/sockjs/000/{KEY}/htmlfile?c=hear",
    b"/comet/socket.io/?EIO=4&transport=polling",
    b"/comet/socket.io/?EIO=3&transport=polling&b64=1",
    b"/comet/socket.io/?EIO=4&transport=polling&sid={SID4}",
    b"/comet/socket.io/?EIO=3&transport=polling&sid={SID3}",
    b"/comet/socket.io/?EIO=3&transport=polling&j=0&sid={SID3}",
    b"/realtime/open",
    b"/",
]
FIELDS = [
    b"Comet-Key: {KEY}",
    b"Last-Event-ID: {EPOCH}-1",
    b"Cookie: user=ann; JSESSIONID=a",
    b"Origin: https://site.example",
    b"Accept: text/event-stream",
    b"Accept: application/x-ndjson, */*;q=0.1",
    b"Authorization: Bearer token",
    b"Content-Type: application/json",
    b"Content-Type: application/x-www-form-urlencoded",
    b"Content-Type: application/octet-stream",
    b"X-Forwarded-For: 192.0.2.1, 192.0.2.2",
    b"Connection: close",
    b"Expect: 100-continue",
]
BODIES = [
    *mutations.NATIVE,
    *mutations.SOCKJS,
    *mutations.ENGINE[4],
    *mutations.ENGINE[3],
    *mutations.BINARY,
    *mutations.PUBLISH,
    *mutations.FORMS,
]
SOCKETS = [
    b"/comet?v=1&key={KEY}",
    b"/comet",
    b"/comet/sockjs/000/{KEY}/websocket",
    b"/comet/sockjs/websocket",
    b"/comet/socket.io/?EIO=4&transport=websocket",
    b"/comet/socket.io/?EIO=3&transport=websocket",
    b"/comet/socket.io/?EIO=4&transport=websocket&sid={SID4}",
]
FRAMES = [*mutations.NATIVE, *mutations.SOCKJS, *mutations.SOCKETIO, b"2probe", b"5", b"40", b'42["echo",1]', b"\x03\xe8bye"]
WRITTEN = [
    *[b"\r\n", b"\n", b" ", b":", b"\r\nContent-Length: 3", b"\r\nTransfer-Encoding: chunked", b"\r\nHost: b", b" HTTP/1.0"],
    *[b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\r\nUpgrade: websocket\r\nConnection: upgrade", b"5\r\nhello\r\n0\r\n\r\n"],
]


class Said(NamedTuple):
    """All that a stranger sends on one connection; `{KEY}`, `{EPOCH}`, `{SID3}` and `{SID4}` stand for what is known then.

    `cut` (in ninths) is where a pause is made; who is `rude` hears no answer.
    """

    data: bytes
    cut: int = 0
    rude: bool = False


def written(method: bytes, target: bytes, fields: list[bytes], body: bytes) -> Said:
    lines = b"\r\n".join([b"Host: 127.0.0.1", *fields, b"Content-Length: %d" % len(body)])
    return Said(b"%b %b HTTP/1.1\r\n%b\r\n\r\n%b" % (method, target.replace(b" ", b""), lines, body))


def framed(target: bytes, frames: list[tuple[bytes, int, bool]]) -> Said:
    opening = head("GET", target.decode("latin-1"), {"Host": "127.0.0.1"} | UPGRADE)
    return Said(opening + b"".join([masked(opcode, payload, fin=fin) for payload, opcode, fin in frames]))


def damaged(said: Said, how: list[mutations.Change]) -> Said:
    return said._replace(data=changed(said.data, how))


def behind(one: Said, other: Said) -> Said:
    """Send the second before the first is answered."""
    return other._replace(data=one.data + other.data)


def sent_so(said: Said, cut: int, rude: bool) -> Said:
    return said._replace(cut=cut, rude=rude)


methods = st.sampled_from([b"GET", b"POST", b"POST", b"OPTIONS"])
fields = st.lists(st.sampled_from(FIELDS) | mutated(FIELDS).map(lambda field: re.sub(rb"[\r\n\0]", b"", field)), max_size=4)
requests = st.builds(written, methods, st.sampled_from(TARGETS) | mutated(TARGETS), fields, mutated(BODIES))
frames = st.tuples(mutated(FRAMES), st.sampled_from([1, 1, 1, 2, 0, 8, 9, 10, 3]), st.sampled_from([True, True, True, False]))
sockets = st.builds(framed, st.sampled_from(SOCKETS), st.lists(frames, max_size=5))
wire = st.builds(
    mutations.Change,
    st.integers(0, 1000),
    st.sampled_from([0, 0, 1, 4, 60]),
    st.sampled_from([*WRITTEN, *PUT]) | st.binary(max_size=4),
    st.sampled_from([0, 1, 1, 3]),
)
whole = requests | sockets | st.builds(behind, requests, requests | sockets)
broken = st.builds(damaged, whole, changes | st.lists(wire, max_size=3))
strangers = st.builds(sent_so, whole | broken, st.sampled_from([0, 0, 1, 4, 8]), st.sampled_from([False, False, False, True]))


SERVERS = {
    "serve": ("cometware", "serve", "--workers", "2"),
    "threads": ("cometware", "serve", "--workers", "2"),
    "gevent": ("gunicorn", "-k", "gevent", "-w", "2"),
    "gthread": ("gunicorn", "-k", "gthread", "--threads", "40", "-w", "2"),
}


@pytest.fixture(
    scope="module", params=[name if name == "serve" else pytest.param(name, marks=pytest.mark.full) for name in SERVERS]
)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    channel = f"sqlite:///{tmp_path_factory.mktemp('fuzz')}/channel.db"
    command = [sys.executable, "-m", *SERVERS[request.param], "tests.fuzz.app:app", "--bind", f"127.0.0.1:{free_port()}"]
    environ = {"CHANNEL": channel, "THREADS": "4" if request.param == "threads" else "0"}
    with serve(command=command, environ=environ) as server:
        server.transports = server.transports if request.param != "gthread" else ("sse", "stream", "poll")
        yield server


class Witness:
    """Somebody who is served while strangers do what they do; with several, both workers have one."""

    def __init__(self, port: int) -> None:
        self.line = open_websocket(port, "/comet?v=1")
        self.number = 0

    def is_served(self) -> None:
        """Ask, and wait for the answer; what strangers say comes here, too."""
        self.number += 1
        question = {"n": self.number, "event": "echo", "data": self.number, "reply": True}
        self.line.send(masked(1, json.dumps(question).encode()))
        while True:
            opcode, payload = self.line.frame()
            if opcode == 1 and json.loads(payload).get("reply") == self.number:
                return


@pytest.fixture(scope="module")
def witnesses(server: Server) -> Iterator[list[Witness]]:
    with ExitStack() as stack:
        witnesses = [Witness(server.port) for _ in range(4 if "websocket" in server.transports else 0)]
        for witness in witnesses:
            stack.enter_context(witness.line)
        yield witnesses


def known(server: Server) -> dict[bytes, bytes]:
    """Learn what a stranger may name: a position, sessions, a key."""
    sids: dict[bytes, bytes] = {b"{KEY}": new_key().encode()}
    for version in (3, 4):
        answer = ask(server.port, asking(target=f"/comet/socket.io/?EIO={version}&transport=polling"))
        found = re.search(rb'"sid":"([^"]+)"', answer.body)
        assert answer.status == 200 and found is not None, answer
        sids[b"{SID%d}" % version] = found[1]
    answer = ask(server.port, asking(target="/comet?wait=0"))
    found = re.search(rb'"position":"([^-]+)-', answer.body)
    assert answer.status == 200 and found is not None, answer
    return sids | {b"{EPOCH}": found[1]}


def sent(data: bytes, names: dict[bytes, bytes]) -> bytes:
    for name, value in names.items():
        data = data.replace(name, value)
    return data


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(said=st.lists(strangers, min_size=1, max_size=AT_ONCE))
def test_whatever_strangers_send_nothing_fails_and_others_are_served(
    server: Server, witnesses: list[Witness], said: list[Said]
) -> None:
    names, before = known(server), len(server.unexpected_errors)
    with ExitStack() as stack:
        lines = [stack.enter_context(Line(server.port)) for _ in said]
        data = [sent(stranger.data, names) for stranger in said]
        parts = [stranger.cut * len(one) // 9 for stranger, one in zip(said, data, strict=True)]
        for line, one, cut in zip(lines, data, parts, strict=True):
            with suppress(OSError):
                line.send(one[:cut])
        for line, one, cut, stranger in zip(lines, data, parts, said, strict=True):
            with suppress(OSError):  # it was refused before its end
                line.send(one[cut:])
                (line.sock.close if stranger.rude else line.finish)()
        for witness in witnesses:
            witness.is_served()
        for line, stranger in zip(lines, said, strict=True):
            if stranger.rude:
                continue
            answer = line.read_to_end()  # and not: it hangs
            assert not _WRONG.search(answer), (stranger.data, answer)
            event(answer[:12].decode("latin-1") or "nothing")
    assert ask(server.port, asking(target="/")).body == b"alive"
    assert server.unexpected_errors[before:] == []
