"""What a client may have waiting for its handlers, however many requests it sends at once."""

from __future__ import annotations

from tests.conformance.sockjs.session import fresh, opened, post, post_bytes
from tests.live.raw import Line
from tests.live.server import serve


def test_who_sends_beside_what_still_waits_is_told_that_it_is_too_much() -> None:
    with serve({"max_waiting_messages": 10}, application="tests.conformance.sockjs.services:app") as server:
        session, other = fresh("/slow"), fresh("/slow")
        opened(server.port, session)
        opened(server.port, other)
        with Line(server.port) as line:
            line.send(post_bytes(session + "/xhr_send", b'["x"' + b',"x"' * 20 + b"]"))
            assert post(server.port, session + "/xhr").body == b'a["begun"]\n'  # the others wait
            answer = post(server.port, session + "/xhr_send", b'["y"]')
            assert (answer.status, answer.body) == (429, b"10 messages of this client wait already\n")
            form = "application/x-www-form-urlencoded"
            assert post(server.port, session + "/jsonp_send", b"d=%5B%22y%22%5D", content_type=form).status == 429
            assert post(server.port, other + "/xhr_send", b'["go"]').status == 204
            assert line.answer().status == 204
        assert post(server.port, session + "/xhr_send", b'["z"]').status == 204
