"""The name of a SockJS session is of no use to another user: by the same name each has a session of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.live.raw import Answer, Line, ask, request
from tests.live.server import PATIENT, Server, serve

PATH = "/comet/sockjs/000/a-name-that-was-copied"
ANN = {"cookie": "user=ann"}
STRANGERS: dict[str, dict[str, str]] = {"nobody": {}, "another user": {"cookie": "user=bob"}}


@pytest.fixture
def server() -> Iterator[Server]:
    with serve(PATIENT, application="tests.conformance.socketio.owned:app") as server:
        yield server


def post(server: Server, path: str, body: bytes = b"", **headers: str) -> Answer:
    return ask(server.port, request("POST", PATH + path, body, **headers))


@pytest.mark.parametrize("who", STRANGERS)
def test_nobody_else_hears_or_speaks_in_a_users_session(server: Server, who: str) -> None:
    headers = STRANGERS[who]
    with Line(server.port) as anns, Line(server.port) as theirs:
        assert anns.send(request("POST", PATH + "/xhr", b"", **ANN)).answer().body == b"o\n"
        anns.send(request("POST", PATH + "/xhr", b"", **ANN))  # it waits, and is known by its head from now on
        assert post(server, "/xhr_send", b'["stranger"]', **headers).status == 404
        assert theirs.send(request("POST", PATH + "/xhr", b"", **headers)).answer().body == b"o\n"
        theirs.send(request("POST", PATH + "/xhr", b"", **headers))
        assert post(server, "/xhr_send", b'["for ann"]', **ANN).status == 204
        assert anns.answer().body == b'a["for ann"]\n'
        assert post(server, "/xhr_send", b'["for them"]', **headers).status == 204
        assert theirs.answer().body == b'a["for them"]\n'
        anns.send(request("POST", PATH + "/xhr", b"", **ANN))
        assert post(server, "/xhr_send", b'["again"]', **ANN).status == 204
        assert anns.answer().body == b'a["again"]\n'
