"""What a session says at a worker where its responses are not."""

from __future__ import annotations

import time
from pathlib import Path

from tests.conformance.sockjs.session import fresh, post, stream
from tests.live.server import LIMIT_SECONDS, serve


def test_who_only_speaks_at_another_worker_takes_no_room_there_for_ever(tmp_path: Path) -> None:
    application, environ = "tests.conformance.sockjs.services:app", {"CHANNEL": f"sqlite:///{tmp_path}/channel.db"}
    limits = {"max_clients": 1, "session_seconds": 0.5}
    with (
        serve(limits, application=application, environ=environ) as home,
        serve(limits, application=application, environ=environ) as other,
    ):
        session = fresh()
        _, responses = stream(home.port, session + "/xhr_streaming")
        with responses:
            assert post(other.port, session + "/xhr_send", b"[]").status == 204
            deadline = time.monotonic() + LIMIT_SECONDS
            while True:
                head, line = stream(other.port, fresh() + "/xhr_streaming")
                with line:
                    if head.status == 200:
                        answer = post(other.port, session + "/xhr_send", b'["x"]')
                        break
                assert head.status == 503
                assert time.monotonic() < deadline
            assert answer.status == 503
            assert b"max_clients" in answer.body
