"""A program that publishes where nobody can hear is told so, once, and told what would reach the server."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.live.server import LIMIT_SECONDS, PATIENT, ROOT, serve

SAID = "nobody can hear what was published here: the channel 'comet' is at 'memory:'"
COMMAND = "from cometware import Channel; channel = Channel({url!r}); channel.publish(1); channel.publish(2)"
OF_AN_APP = "from tests.live.app import channel; channel.publish(1); channel.publish(2)"
CHILD = """
from gevent import monkey; monkey.patch_all()
import os
from tests.live.app import app, channel
app.test_client().get("/")
channel.publish("heard")
pid = os.fork()
if pid:
    os.waitpid(pid, 0)
else:
    channel.publish("unheard")
"""


def errors(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_SECONDS)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.parametrize("program", [COMMAND.format(url="memory:"), OF_AN_APP, CHILD], ids=["command", "of an app", "child"])
def test_a_command_that_nobody_hears_is_told_once(program: str) -> None:
    said = errors(program)
    assert said.count(SAID) == 1
    assert "Channel('sqlite:" in said and "Channel('redis:" in said and "<path>/publish" in said


def test_what_others_can_read_is_no_matter(tmp_path: object) -> None:
    assert errors(COMMAND.format(url=f"sqlite:///{tmp_path}/channel.db")) == ""


def test_a_server_may_publish_before_anybody_comes() -> None:
    with serve(PATIENT) as server:
        server.publish("hello")
        assert server.get("/history/1")[0][1] == "hello"
        assert "nobody can hear" not in server.errors
