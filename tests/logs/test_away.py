"""A channel that is asked for while its store cannot be reached, in front of an app."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
from gevent import monkey; monkey.patch_all()
import json, os, sys, urllib.error, urllib.request
import gevent
from gevent.pywsgi import WSGIServer
from cometware import Channel, Cometware, Handler, Limits

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ordinary"]

folder = sys.argv[1] + "/later"
channel = Channel(f"sqlite:///{folder}/channel.db", limits=Limits(store_seconds=0.5))
server = WSGIServer(("127.0.0.1", 0), Cometware(app, channel), handler_class=Handler, log=None)
server.start()

def get(path):
    try:
        answer = urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}{path}", timeout=20)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        return answer.status, answer.headers["Retry-After"], answer.read()

POLL = "/comet?transport=poll&wait=0"
with gevent.Timeout(30):
    asked = [gevent.spawn(get, path) for path in (POLL, "/", POLL, "/comet?transport=sse&wait=0")]
    poll, ordinary, another, stream = [one.get() for one in asked]
    assert ordinary == (200, None, b"ordinary"), ordinary
    assert poll == another == stream, (poll, another, stream)
    status, wait, body = poll
    assert (status, wait) == (503, "2"), poll
    assert json.loads(body) == {
        "error": {"code": "log", "message": "the channel's store is not available; come back in a moment"}
    }
    os.mkdir(folder)
    while get(POLL)[0] == 503:
        pass
    first, second = [json.loads(get(POLL)[2])[0]["open"] for _ in range(2)]
    assert first["position"] == second["position"] == str(channel.position)
    assert len(channel.presence()) >= 2
"""


def test_requests_are_told_to_come_back_until_the_store_is_there(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("there is no directory") == 1
    assert done.stderr.count("is back") == 1
