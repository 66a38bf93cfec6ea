"""A peer's Close, or its mistake, waits for what it said before: the answers come first, and then the socket ends."""

from __future__ import annotations

import json

import pytest

from tests.live.raw import Line, masked, open_websocket, shape
from tests.live.server import PATIENT, Server

LIMITS = PATIENT
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
GOODBYE = masked(CLOSE, b"\x0b\xb8bye")


def said(event: str, data: object, n: int = 1) -> bytes:
    return masked(TEXT, json.dumps({"n": n, "event": event, "data": data, "reply": True}).encode())


def opened(server: Server) -> Line:
    line = open_websocket(server.port, "/comet?v=1")
    shape(line, "open")
    return line


ENDS = {
    "a close": (GOODBYE, b"\x0b\xb8bye"),
    "a close without a code": (masked(CLOSE, b""), b""),
    "a close between two fragments": (masked(TEXT, b"{", fin=False) + GOODBYE, b"\x0b\xb8bye"),
    "an unknown opcode": (masked(3, b""), b"\x03\xea"),
    "no mask": (b"\x81\x01{", b"\x03\xea"),
    "a lonely continuation": (masked(0, b"x"), b"\x03\xea"),
    "no UTF-8": (masked(TEXT, b"\xff"), b"\x03\xef"),
    "no UTF-8 in the first fragment": (masked(TEXT, b"ok\xff", fin=False), b"\x03\xef"),
    "no UTF-8 across two fragments": (masked(TEXT, b"\xe2", fin=False) + masked(0, b"x", fin=False), b"\x03\xef"),
}


@pytest.mark.parametrize("end", ENDS)
def test_answers_come_before_the_end(server: Server, end: str) -> None:
    """All in one packet, so that the end is there before any handler ran; what follows it is not looked at."""
    last, code = ENDS[end]
    with opened(server) as line:
        line.send(said("echo", "one") + said("echo", "two", 2) + last + said("echo", "three", 3) + masked(PING, b"?"))
        told = []
        while (frame := line.frame())[0] == TEXT:
            told.append(json.loads(frame[1]))
        assert [entry["data"] for entry in told if "reply" in entry] == ["one", "two"]
        assert frame[0] == CLOSE
        assert frame[1] == code if code[2:] or not code else frame[1].startswith(code)
        line.finish()
        assert line.read_to_end() == b""


def test_characters_may_be_cut_by_fragments(server: Server) -> None:
    payload = json.dumps({"n": 1, "event": "echo", "data": "€😀", "reply": True}, ensure_ascii=False).encode()
    with opened(server) as line:
        line.send(masked(TEXT, payload[:1], fin=False))
        line.send(b"".join(masked(0, bytes([byte]), fin=False) for byte in payload[1:]) + masked(0, b""))
        assert shape(line, "reply") == 1


def test_a_handler_that_takes_long_is_waited_for_a_second(server: Server) -> None:
    with opened(server) as line:
        line.send(said("wait", "goodbye") + GOODBYE)
        assert line.frame() == (CLOSE, b"\x0b\xb8bye")
    server.post("/gate/goodbye")
    server.journal(1, kind="end", data="goodbye")


def test_mail_that_is_there_comes_before_the_end_too(server: Server) -> None:
    with open_websocket(server.port) as line:
        line.send(b"".join(masked(TEXT, b"%d" % number) for number in range(40)) + GOODBYE)
        told = [json.loads(line.frame()[1])["data"] for _ in range(40)]
        assert told == [str(number) for number in range(40)]
        assert line.frame() == (CLOSE, b"\x0b\xb8bye")
