"""Two workers with a log in memory each, and a proxy that sends each request to either: it cannot work, but must not spin."""

from __future__ import annotations

import json
import time

from tests.cluster.workers import cluster
from tests.live.clients import new_key
from tests.live.server import LIMIT_SECONDS


def test_a_client_that_loses_its_history_at_each_poll_is_asked_to_wait_ever_longer() -> None:
    with cluster("memory:") as server:
        waits: list[float] = []
        deadline = time.monotonic() + LIMIT_SECONDS
        after = ""
        key = {"Comet-Key": new_key()}
        while len(waits) < 4:  # a patient client would wait; this one asks at once
            assert time.monotonic() < deadline, waits
            status, headers, body = server.request("GET", f"/comet?wait=0{after}", headers=key)
            assert status == 200
            waits += [shape["reconnect"]["wait_seconds"] for shape in json.loads(body) if "reconnect" in shape]
            after = "&after=" + headers["Link"].partition("after=")[2].partition(">")[0]
        assert max(waits) >= 2
