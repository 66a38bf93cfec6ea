"""What one client does to itself is no other's trouble: hostile packets, and how much a session may hold."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.engineio.sessions import Polls, Socket
from tests.conformance.socketio.test_socketio import connected, opened
from tests.live.server import PATIENT, Server, serve


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    limits = PATIENT | {"max_message_bytes": 100_000}
    too_deep = "ValueError: a message's data must be JSON or bytes"
    with serve(limits, application="tests.foreign.app:app", excused=too_deep) as server:
        yield server


def test_a_script_is_no_way_to_poll_for_who_did_not_begin_with_one(server: Server) -> None:
    """Its bytes would not fit into a script, in the middle of a round for everybody."""
    session = Polls(server.port, 3)
    answer = session.poll("&j=0")
    assert (answer.status, answer.json["code"]) == (400, 3)
    with connected(server.port) as socket, session.hold() as held:
        socket.send('451-["message",{"_placeholder":true,"num":0}]', b"\1\2\3")
        answer = held.answer()
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.body.endswith(b"\x01\x04\xff\x04\x01\x02\x03")
        assert socket.read() == '451-["message",{"_placeholder":true,"num":0}]'
        assert socket.read() == b"\1\2\3"


def test_data_that_is_nested_deeply_is_no_trouble_of_others(server: Server) -> None:
    """It is answered and published by handlers, and may be too deep for who writes it: then nothing of a round is lost."""
    depth = 600
    for inner in ("", '{"$bytes":1}', '{"$x":1}', '{"$bytes":1},2'):
        nested = "[" * depth + inner + "]" * depth
        with connected(server.port) as one, connected(server.port) as other:
            one.send(f'420["echo",{nested}]', f'42["others",{nested}]', f'42["others",{nested},{nested}]')
            one.send('421["echo","done"]')
            while one.read() != '431["done"]':
                pass
            server.publish("still here")
            while other.read() != '42["message","still here"]':
                pass
    assert "error in writing" not in server.errors and "error in the dispatcher" not in server.errors


def test_an_attachment_has_one_place(server: Server) -> None:
    """Else a few bytes in many places would be many bytes as soon as somebody writes them."""
    with connected(server.port) as socket:
        socket.send('451-0["echo",{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]', b"\1\2\3")
        assert socket.line.close_code() == 1002


def test_attachments_are_no_larger_in_all_than_a_message_may_be(server: Server) -> None:
    places = ",".join([f'{{"_placeholder":true,"num":{number}}}' for number in range(5)])
    with connected(server.port) as socket:
        socket.send(f'455-["echo",{places}]', *[b"x" * 99_000] * 5)
        assert socket.line.close_code() == 1009
    session = Polls(server.port)
    session.post("40")
    assert session.get().startswith("40{")
    session.post(f'455-["echo",{places}]')
    statuses = [session.post("b" + "A" * 99_000).status for _ in range(6)]
    assert statuses[0] == 200 and 400 in statuses


def test_a_namespace_is_joined_again_with_what_the_first_request_brought(server: Server) -> None:
    with Socket(server.port, "EIO=4&transport=websocket", cookie="user=ann") as socket:
        socket.read()
        socket.send("40", '40/admin,{"word":"sesame"}')
        assert {str(socket.read())[:9], str(socket.read())[:9]} == {'40{"sid":', "40/admin,"}
        socket.send("41", "40", '420["who"]')
        assert str(socket.read()).startswith('40{"sid":')
        assert '"user":"ann"' in str(socket.read())


def test_a_session_that_provokes_answers_and_fetches_none_ends(server: Server) -> None:
    session = Polls(server.port)
    session.post("40")
    assert session.get().startswith("40{")
    for _ in range(3):
        assert session.post("\x1e".join(["40/nowhere"] * 400)).status == 200
    assert session.poll().status == 400
    with opened(server.port):
        pass
