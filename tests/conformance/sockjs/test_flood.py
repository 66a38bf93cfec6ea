"""What a client may have waiting for its handlers, however many requests it sends at once."""

from __future__ import annotations

from tests.conformance.sockjs.session import fresh, opened, post, post_bytes
from tests.live.raw import Line, masked, open_websocket
from tests.live.server import serve


def test_who_sends_beside_what_still_waits_is_told_that_it_is_too_much() -> None:
    with serve({"max_waiting_messages": 10}, application="tests.conformance.sockjs.services:app") as server:
        session, other = fresh("/slow"), fresh("/slow")
        opened(server.port, session)
        opened(server.port, other)
        with Line(server.port) as line:
            line.send(post_bytes(session + "/xhr_send", b'["x"' + b',"x"' * 9 + b"]"))
            assert post(server.port, session + "/xhr").body == b'a["begun"]\n'  # the others wait
            answer = post(server.port, session + "/xhr_send", b'["y","y"]')
            told = b"9 messages of this client wait already; Limits.max_waiting_messages allows 10\n"
            assert (answer.status, answer.body) == (429, told)
            form = "application/x-www-form-urlencoded"
            assert post(server.port, session + "/jsonp_send", b"d=%5B%22y%22,1%5D", content_type=form).status == 500
            assert post(server.port, session + "/jsonp_send", b"d=%5B%22y%22,%22y%22%5D", content_type=form).status == 429
            assert post(server.port, other + "/xhr_send", b'["go"]').status == 204
            assert line.answer().status == 204
        assert post(server.port, session + "/xhr_send", b'["z"]').status == 204


def test_more_messages_than_one_body_may_hold_are_refused_whole() -> None:
    many = b"11 messages in one; Limits.max_waiting_messages allows 10"
    form = "application/x-www-form-urlencoded"
    with serve({"max_waiting_messages": 10}, application="tests.conformance.sockjs.services:app") as server:
        session = fresh()
        opened(server.port, session)
        answer = post(server.port, session + "/xhr_send", b'["x"' + b',"x"' * 10 + b"]")
        assert (answer.status, answer.body) == (413, many)
        answer = post(server.port, session + "/jsonp_send", b"d=[" + b'"x",' * 10 + b'"x"]', content_type=form)
        assert (answer.status, answer.body) == (413, many)
        assert post(server.port, session + "/xhr_send", b'["ten"' + b',"x"' * 9 + b"]").status == 204
        assert post(server.port, session + "/xhr").body == b'a["ten"' + b',"x"' * 9 + b"]\n"
        with open_websocket(server.port, f"{fresh()}/websocket") as line:
            assert line.frame() == (1, b"o")
            line.send(masked(1, b"[" + b'"x",' * 10 + b'"x"]'))
            assert line.frame() == (1, b'c[1009,"' + many + b'"]')
