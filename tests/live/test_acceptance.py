"""The commands that the README promises, as they stand, against what `make run` serves."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.server import ROOT, STOP_SECONDS
from tests.live.test_shell import line_of, running


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """The channel of the example, served by the recipe of `make run` at another port, with a scratch database."""
    alone = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    command = ["make", "--no-print-directory", "-n", "run"]
    make = subprocess.run(command, cwd=ROOT, env=alone, capture_output=True, text=True, check=True)
    recipe = make.stdout.splitlines()[-1]
    assert recipe.endswith(" --bind 127.0.0.1:8000")
    with subprocess.Popen(
        ["/bin/sh", "-c", recipe.removesuffix("8000") + "0"],
        cwd=ROOT,
        env=os.environ | {"ORDERS_DB": str(tmp_path / "orders.db")},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            found = re.search(r"http://127\.0\.0\.1:\d+", line_of(process))
            assert found is not None
            yield found[0] + "/comet"
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(STOP_SECONDS)


def sh(command: str) -> str:
    return subprocess.run(command, shell=True, capture_output=True, text=True, check=True, timeout=240).stdout


def test_curl_follows_the_events_and_everybody_sees_what_curl_says(url: str) -> None:
    with running("/bin/sh", "-c", f"exec curl -sN -H 'Accept: text/event-stream' {url}") as listener:
        lines = [line_of(listener) for _ in range(7)]
        assert lines[0] == "retry: 2000"
        assert re.fullmatch(r"id: \w+-\d+", lines[1])
        assert lines[2:4] == ["", "event: presence"]
        assert re.fullmatch(r"id: \w+-\d+", lines[4])
        assert lines[5:] == ['data: {"names":[],"more":0,"guests":1}', ""]

        assert json.loads(sh(f"curl -sd hello {url}")) == {"accepted": 1}

        assert re.fullmatch(r"id: \w+-\d+", line_of(listener))
        message = json.loads(line_of(listener).removeprefix("data: "))
        assert (message["from"], message["text"]) == ("guest", "hello")


def test_the_first_poll_is_the_greeting_and_links_to_the_next(url: str) -> None:
    head, _, body = sh(f"curl -si '{url}?wait=5'").replace("\r", "").partition("\n\n")

    assert head.startswith("HTTP/1.1 200 OK\n")
    greeting, *_ = json.loads(body)
    assert greeting["open"]["server"]["transports"] == ["websocket", "sse", "stream", "poll"]
    link = re.search(r'^Link: <(\?[^>]*&wait=5&after=[\w-]+)>; rel="next"$', head, re.MULTILINE)
    assert link is not None
    sh(f"curl -sd hello {url}")
    entries = json.loads(sh(f"curl -s '{url}{link[1]}'"))
    assert [entry["data"]["text"] for entry in entries if entry["event"] == "message"] == ["hello"]
