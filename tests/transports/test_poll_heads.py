"""A differential test: a head that is known without parsing means what a full parse makes of it."""

from __future__ import annotations

import os
import random
from collections import Counter
from io import BytesIO
from types import SimpleNamespace
from typing import Any, NamedTuple
from urllib.parse import parse_qsl
from wsgiref.simple_server import WSGIRequestHandler

from hypothesis import given, settings
from hypothesis import strategies as st

from cometware.core.entry import Position
from cometware.core.heads import CACHE_BUSTER, POSITION, Changing
from cometware.core.negotiation import NotNegotiable, negotiate
from cometware.endpoint.serve import facts
from cometware.transports.poll import Polls

HEADS = int(os.environ.get("FUZZ_HEADS", "100000"))
A_TIME = 500
BROWSER = b" HTTP/1.1\r\nHost: site:8000\r\nUser-Agent: Mozilla/5.0\r\nAccept: application/json\r\nCookie: session=ann\r\n\r\n"
KEYS = [b"k" * 24, b"l" * 24, b"m" * 24]
NATIVE = [b"/comet?key=%b&after=x7-12", b"/comet?after=x7-12&key=%b", b"/comet?wait=20&after=x7-12&key=%b&a=b"]
FOREIGN = [
    b"/comet/socket.io/?EIO=4&transport=polling&t=Pq1-.&sid=%b",
    b"/comet/socket.io/?EIO=4&transport=polling&sid=%b",
    b"/comet/socket.io/?EIO=4&after=7&transport=polling&t=Pq1&sid=%b",
    b"/comet/sockjs/000/%b/xhr?t=5",
    b"/comet/sockjs/000/%b&t=1/xhr",
]
PIECES = [
    *[b"&", b"?", b"#", b" ", b"=", b"+", b"%26", b"%3d", b";", b"/", b"-", b"9", b":", b"GET "],
    *[b"\r\n", b"\r\n\r\n", b"\r", b"\n", b"\0", b"\t", b"\xe4", b" HTTP/1.1\r\nX: ", b" HTTP/1.0"],
    *[b"after=", b"&after=x7-13", b"%61fter=x7-13&", b"t=", b"&t=6", b"%74=6&", b"key=", b"&sid=s", b"x7-13", *KEYS],
    *[b"\r\nLast-Event-ID: x7-3", b"\r\nComet-Key: " + KEYS[2], b"\r\nCookie: session=bob", b"\r\n folded"],
    *[b"\r\nContent-Length: 4", b"\r\nTransfer-Encoding: chunked", b"\r\nConnection: close"],
]


class Owner:
    plan: bytes | None = None


class Known(NamedTuple):
    """What a head taught: the head itself."""

    owner: Owner
    head: bytes
    changing: Changing
    until_tick: int = 1
    is_good: bool = True

    def hold(self, poll: Any, text: bytes) -> bool:
        raise AssertionError("nothing is held here")


class GiveBack(NamedTuple):
    scope: bytes

    def __call__(self, sock: Any, data: bytes) -> None:
        raise AssertionError("nothing is served here")


LINE = GiveBack(b"server address")


class Reader(WSGIRequestHandler):
    """The standard library's parser: as lenient as they come."""

    def __init__(self) -> None:
        self.client_address = ("127.0.0.1", 1)
        self.server: Any = SimpleNamespace(base_environ={})

    def environ(self, data: bytes) -> dict[str, Any] | None:
        """Parse a head; None if it is none."""
        self.rfile = BytesIO(data)
        self.raw_requestline = self.rfile.readline(65537)
        self.requestline, self.request_version, self.command = "", "", ""
        if not self.parse_request():
            return None
        environ = self.get_environ()
        environ["behind it"] = self.rfile.read()
        environ["all headers"] = tuple(self.headers.items())
        return environ

    def send_error(self, *_: Any) -> None:
        """Nobody is there to be told."""


READER = Reader()


def meaning(head: bytes, changing: Changing) -> tuple[Any, Any]:
    """Parse a head wholly. Return all that it says but for the value that may change, and what that value is."""
    environ = READER.environ(head)
    if environ is None:
        return None, None
    query = parse_qsl(environ.pop("QUERY_STRING"), keep_blank_values=True)
    says = (environ, [(name, "" if name == changing.name else value) for name, value in query])
    if changing is not POSITION:
        return says, b""
    try:
        asked = negotiate(facts(environ | {"QUERY_STRING": head.split(b" ")[1].partition(b"?")[2].decode("latin-1")}))
    except NotNegotiable:
        return None, None
    return (*says, asked.key, asked.wait_seconds, asked.callback, asked.transport, asked.native), asked.position


def learnt() -> tuple[Polls, list[bytes]]:
    """Return a worker's plans after some clients have polled, and what their heads were."""
    polls, heads = Polls(enabled=True, size=1000), []
    for changing, method, targets in (
        (POSITION, b"GET", NATIVE),
        (CACHE_BUSTER, b"GET", FOREIGN),
        (CACHE_BUSTER, b"POST", FOREIGN),
    ):
        for target in targets:
            for key in KEYS:
                head = method + b" " + target % key + BROWSER
                polls.learn(head, LINE, Known(Owner(), head, changing))
                assert polls.find(head, LINE, 0) is not None
                heads.append(head)
    return polls, heads


def mutated(chance: random.Random, head: bytes) -> bytes:
    """Change a head in one to three places, often where it matters."""
    for _ in range(chance.choice((1, 1, 2, 3))):
        if b"\r" not in head[1:]:
            break
        at = chance.randrange(len(head)) if chance.random() < 0.4 else chance.randrange(head.index(b"\r", 1))
        kind = chance.randrange(7)
        if kind == 0:
            head = head[:at] + chance.choice(PIECES) + head[at:]
        elif kind == 1:
            head = head[:at] + head[at + chance.choice((1, 1, 2, 8)) :]
        elif kind == 2:
            head = head[:at] + bytes([chance.randrange(256)]) + head[at + 1 :]
        elif kind == 3:
            head = head.replace(chance.choice(KEYS), chance.choice(KEYS), 1)
        elif kind == 4:
            head = head.replace(b"x7-12", b"x7-%d" % chance.randrange(10**6)).replace(
                b"t=Pq1", b"t=%d" % chance.randrange(999)
            )
        elif kind == 5:
            line, _, rest = head.partition(b" HTTP")
            path, _, query = line.partition(b"?")
            parts = query.split(b"&")
            chance.shuffle(parts)
            head = path + b"?" + b"&".join(parts) + b" HTTP" + rest
        else:
            head = head + chance.choice((b"", b"x", head))
    return head


@settings(max_examples=max(1, HEADS // A_TIME))
@given(st.integers(0, 2**32))
def check(found: Counter[str], seed: int) -> None:
    chance, (polls, heads) = random.Random(seed), LEARNT
    for _ in range(A_TIME):
        head = mutated(chance, chance.choice(heads))
        match = polls.find(head, LINE, 0)
        if match is None:
            found["parsed"] += 1
            continue
        found["known"] += 1
        plan, text = match
        assert isinstance(plan, Known)
        says, position = meaning(head, plan.changing)
        taught, _ = meaning(plan.head, plan.changing)
        assert says is not None and says == taught, (head, plan.head)
        if plan.changing is POSITION:
            assert position == Position.parse(text.decode()) is not None, head
        assert polls.find(head, GiveBack(b"server another"), 0) is None


LEARNT = learnt()


def test_a_known_head_means_what_a_full_parse_says() -> None:
    found: Counter[str] = Counter()
    check(found)
    assert min(found["known"], found["parsed"]) > HEADS // 20, found
