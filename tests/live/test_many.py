"""A body holds no more messages than may wait for their handlers; what does not fit just now comes again later."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from cometware import connect
from cometware.remote import poster
from tests.conformance.engineio.sessions import Polls
from tests.live.clients import WebSocket, new_key
from tests.live.raw import Answer, Line, ask, request
from tests.live.server import PATIENT, Server, serve

MOST = 10
LIMITS = PATIENT | {"max_waiting_messages": MOST, "poll_seconds": 60}
MANY = f"{MOST + 1} messages in one; Limits.max_waiting_messages allows {MOST}"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(LIMITS) as server:
        yield server


def messages(*data: Any, event: str = "note", first: int | None = None) -> str:
    shapes = [{"event": event, "data": one} for one in data]
    return json.dumps([shape | ({} if first is None else {"n": first + index}) for index, shape in enumerate(shapes)])


def post(server: Server, body: str, key: str = "", content_type: str = "application/json") -> Answer:
    headers = {"Comet-Key": key} if key else {}
    return ask(server.port, request("POST", "/comet?v=1", body.encode(), content_type=content_type, **headers))


def noted(server: Server, name: str) -> list[str]:
    return [line["data"] for line in server.journal(kind="begin") if str(line["data"]).startswith(name)]


@pytest.mark.parametrize("key", ["", "k" * 24], ids=["without a key", "with a key"])
def test_a_post_of_too_many_is_refused_whole_with_the_limit(server: Server, key: str) -> None:
    name = f"post{len(key)} "
    answer = post(server, messages(*[name] * (MOST + 1)), key)
    error = answer.json["error"]
    assert (answer.status, error["code"], error["limit"], error["count"]) == (413, "many", MOST, MOST + 1)
    assert error["message"] == MANY
    form = "d=" + messages(*[name] * (MOST + 1))
    assert post(server, form, key, "application/x-www-form-urlencoded").status == 413
    assert noted(server, name) == []
    assert post(server, messages(*[name] * MOST), key).json == {"accepted": MOST if not key else 0}
    assert noted(server, name) == [name] * MOST


def test_also_shapes_that_are_no_messages_count(server: Server) -> None:
    assert post(server, json.dumps([{"ping": 1}] * (MOST + 1)), new_key()).status == 413
    assert post(server, json.dumps([1] * (MOST + 1)), new_key()).json["error"]["code"] == "many"


def test_a_frame_of_too_many_is_refused_whole_and_the_connection_stays(server: Server) -> None:
    with WebSocket(server) as client:
        client.send_shape(json.loads(messages(*["frame "] * (MOST + 1), first=1)))
        assert client.answer()["error"] == {"code": "many", "message": MANY, "limit": MOST, "count": MOST + 1}
        client.send_shape(json.loads(messages(*["frame "] * MOST, first=1)))
        assert client.answer() == {"accepted": MOST}
    assert noted(server, "frame") == ["frame "] * MOST


def test_what_does_not_fit_beside_what_waits_is_refused_whole_and_may_come_again(server: Server) -> None:
    with WebSocket(server) as client:
        client.send_shape(json.loads(messages("gate-busy", event="wait", first=1)))
        server.journal(1, kind="begin", data="gate-busy")
        client.send_shape(json.loads(messages(*[f"busy {n}" for n in range(6)], first=2)))
        client.send_shape(json.loads(messages(*[f"busy {n}" for n in range(6, 12)], first=8)))
        error = client.answer()["error"]
        assert (error["code"], error["accepted"]) == ("busy", 0)
        later = messages(*[f"busy {n}" for n in range(6, 12)], first=8)
        answer = post(server, later, client.key)
        assert (answer.status, answer.json["error"]["code"], answer.json["error"]["accepted"]) == (429, "busy", 0)
        server.post("/gate/gate-busy")
        assert client.answer() == {"accepted": 7}
        assert post(server, later, client.key).json == {"accepted": 13}
        assert post(server, later, client.key).json == {"accepted": 13}  # a repeat needs no room
    assert noted(server, "busy") == [f"busy {n}" for n in range(12)]


@pytest.mark.parametrize(
    ("version", "separated"),
    [(4, lambda packets: "\x1e".join(packets)), (3, lambda packets: "".join([f"{len(p)}:{p}" for p in packets]))],
)
def test_a_payload_of_engine_io_is_refused_whole_too_and_the_session_stays(
    server: Server, version: int, separated: Any
) -> None:
    name = f"payload{version} "
    session = Polls(server.port, version)
    if version == 4:
        session.post("40")
        session.get()
    packets = [f'42["note","{name}"]'] * (MOST + 1)
    answer = session.post(separated(packets))
    assert (answer.status, answer.json["message"]) == (413, MANY)
    assert session.post(separated(packets[1:])).status == 200
    server.journal(MOST, kind="end", data=name)
    assert noted(server, name) == [name] * MOST


def test_packets_that_are_no_messages_are_bounded_too(server: Server) -> None:
    session = Polls(server.port, 4)
    assert session.post("\x1e".join(["3"] * 110)).status == 200
    assert session.post("\x1e".join(["3"] * 130)).status == 413


def test_the_attachments_of_a_payload_are_no_messages(server: Server) -> None:
    session = Polls(server.port, 4)
    session.post("40")
    session.get()
    places = ",".join([f'{{"_placeholder":true,"num":{index}}}' for index in range(4)])
    packets = [f'454-0["echo",{places}]', "bAQ==", "bAg==", "bAw==", "bBA=="] * MOST
    assert session.post("\x1e".join(packets)).status == 200


def test_a_payload_that_does_not_fit_waits_until_it_does(server: Server) -> None:
    session = Polls(server.port, 4)
    session.post("40")
    session.get()
    notes = [f'42["note","room {n}"]' for n in range(12)]
    assert session.post("\x1e".join(['42["wait","gate-room"]', *notes[:6]])).status == 200
    server.journal(1, kind="begin", data="gate-room")
    with Line(server.port) as line:
        body = "\x1e".join(notes[6:]).encode()
        line.send(request("POST", f"/comet/socket.io/?{session.query}", body, content_type="text/plain"))
        server.post("/gate/gate-room")
        assert line.answer().status == 200
    server.journal(1, kind="end", data="room 11")
    assert noted(server, "room") == [f"room {n}" for n in range(12)]


@pytest.mark.parametrize("transport", ["websocket", "stream", "poll"])
def test_the_client_in_python_stays_under_it(server: Server, transport: str) -> None:
    name = f"python {transport} "
    with connect(f"http://127.0.0.1:{server.port}/comet", transport=transport) as connection:
        for number in range(5 * MOST):
            connection.send(f"{name}{number}", event="note")
        assert connection.flush(60)
    assert noted(server, name) == [f"{name}{number}" for number in range(5 * MOST)]


def test_the_client_in_python_sends_again_what_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first POST waits for a handler that takes long; what it sends again does not fit beside that."""
    monkeypatch.setattr(poster, "COMPLAIN_FAILURES", 2)
    with serve(PATIENT | {"max_waiting_messages": 5, "answer_seconds": 0.2}) as server:
        with connect(f"http://127.0.0.1:{server.port}/comet", transport="poll") as connection:
            connection.send("gate-python", event="wait")
            for number in range(20):
                connection.send(f"again {number}", event="note")
            error = next(heard for heard in connection if heard.event == "error")
            assert "messages of this client wait already" in error.data["message"]
            server.post("/gate/gate-python")
            assert connection.flush(60)
        assert noted(server, "again") == [f"again {number}" for number in range(20)]
