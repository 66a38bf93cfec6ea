"""A copied `sid` is of no use: whose session has a user is theirs alone, by polls, POSTs and WebSockets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.engineio.sessions import PATH, Polls, get
from tests.live.raw import UPGRADE, Answer, Line, ask, head, request
from tests.live.server import PATIENT, Server, serve

STRANGERS: dict[str, dict[str, str]] = {
    "nobody": {},
    "another user": {"cookie": "user=bob"},
    "another user with more cookies": {"cookie": "x=1; user=bob"},
    "nobody by another browser": {"user_agent": "other"},
}
REFUSED = (403, b'{"code":4,"message":"this session is another user\'s; begin a new one"}')


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(PATIENT, application="tests.conformance.socketio.owned:app") as server:
        yield server


def asked(server: Server) -> int:
    """How often was the application asked who somebody is?"""
    return int(ask(server.port, request("GET", "/asked")).body)


def anns(server: Server, version: int) -> Polls:
    """A session of Ann's, in its namespace."""
    session = Polls(server.port, version, cookie="user=ann")
    if version == 4:
        assert session.post("40").status == 200
        assert session.get().startswith("40")
    return session


def written(packet: str, version: int) -> str:
    return packet if version == 4 else f"{len(packet)}:{packet}"


def told(answer: Answer) -> tuple[int, bytes]:
    return answer.status, answer.body


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("who", STRANGERS)
def test_nobody_else_polls_posts_or_upgrades_a_users_session(server: Server, version: int, who: str) -> None:
    session, headers = anns(server, version), STRANGERS[who]
    assert told(get(server.port, session.query + "&t=x", **headers)) == REFUSED
    body = written('42["echo","of a stranger"]', version).encode()
    assert told(ask(server.port, request("POST", f"{PATH}?{session.query}", body, **headers))) == REFUSED
    target = f"{PATH}?{session.query.replace('polling', 'websocket')}"
    fields = {"Host": "x"} | UPGRADE | {name.replace("_", "-"): value for name, value in headers.items()}
    assert told(ask(server.port, head("GET", target, fields))) == REFUSED
    assert session.post(written('42["echo","of ann"]', version)).status == 200
    assert '["echo","of ann"]' in session.get()
    with session.probe() as socket:
        socket.send("2probe")
        assert socket.read() == "3probe"


def test_a_stranger_on_a_parked_connection_is_refused_too(server: Server) -> None:
    session = anns(server, 4)
    with Line(server.port) as line:
        line.send(request("GET", f"{PATH}?{session.query}&t=1", cookie="user=ann"))
        session.post('42["echo",1]')
        assert line.answer().status == 200
        line.send(request("GET", f"{PATH}?{session.query}&t=2"))
        assert line.answer().status == 403


def test_before_its_first_namespace_a_session_is_of_who_began_it(server: Server) -> None:
    session = Polls(server.port, 4, cookie="user=ann")
    assert told(ask(server.port, request("POST", f"{PATH}?{session.query}", b"40"))) == REFUSED
    assert session.post("40").status == 200


def test_a_session_of_nobody_stays_the_one_of_who_logs_in(server: Server) -> None:
    session = Polls(server.port, 4)
    session.post("40")
    session.get()
    session.headers = {"cookie": "user=ann"}
    assert session.post('42["echo",1]').status == 200


def test_the_application_is_asked_again_only_for_other_credentials(server: Server) -> None:
    session = anns(server, 4)
    before = asked(server)
    for number in range(5):
        session.post(f'42["echo",{number}]')
        session.get()
    get(server.port, session.query, cookie="user=ann", accept="text/html", x_request_id="1", referer="http://x/")
    assert asked(server) == before
    session.headers = {"cookie": "user=ann; theme=dark"}
    for number in range(5):
        session.post(f'42["echo",{number}]')
        session.get()
    assert asked(server) == before + 1


def test_who_is_known_by_what_the_namespace_was_shown_stays_known(server: Server) -> None:
    session = Polls(server.port, 4)
    session.post('40{"token":"ann"}')
    session.get()
    session.headers = {"cookie": "theme=dark"}
    session.post('42["echo",1]')
    assert '["echo",1]' in session.get()


def test_it_is_told_in_the_log_without_the_id(server: Server) -> None:
    session = anns(server, 4)
    get(server.port, session.query)
    assert "403 session" in server.errors
    assert session.sid not in server.errors
