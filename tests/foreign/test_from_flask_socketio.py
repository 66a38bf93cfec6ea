"""The two programs of docs/from-flask-socketio.md do the same to the same clients."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.foreign.clients import SocketIO
from tests.live.server import ROOT, Server, serve

PAGE = (ROOT / "docs" / "from-flask-socketio.md").read_text()


def program(heading: str) -> str:
    """Return the first program below a heading of the page."""
    found = re.search(rf"^## {heading}$.*?^```python[ a-z]*\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


@pytest.fixture(scope="module", params=["before", "after"])
def chat(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp(request.param)
    environ = {"PYTHONPATH": str(folder)}
    if request.param == "after":
        (folder / "chat_after.py").write_text(program("And after"))
        with serve(application="chat_after:app", environ=environ) as server:
            yield server
    else:
        run = "\nsocketio.run(app, port=0, allow_unsafe_werkzeug=True)\n"
        (folder / "chat_before.py").write_text(program("A chat, before") + run)
        with serve(command=[sys.executable, str(folder / "chat_before.py")], environ=environ) as server:
            yield server


def enter(chat: Server, name: str, transport: str) -> SocketIO:
    return SocketIO(4, chat.port, path="/socket.io", transports=[transport], auths={"/": {"name": name}})


@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_both_programs_do_the_same(chat: Server, transport: str) -> None:
    with enter(chat, "ann", transport) as ann:
        ann.connected()
        with enter(chat, "bob", transport) as bob:
            bob_id: Any = bob.connected()["id"]
            assert ann.event("joined") == ["bob"]
            assert ann.ask("join", "lobby") == ["welcome"]
            assert bob.ask("join", "lobby") == ["welcome"]
            bob.emit("say", "lobby", "hé\u2028llo 😀")
            assert ann.event("said") == bob.event("said") == ["bob", "hé\u2028llo 😀"]
            ann.emit("say", "elsewhere", "nobody hears this")
            ann.emit("whisper", bob_id, "psst")
            assert bob.event("whispered") == [{"from": "ann", "text": "psst"}]
            ann.emit("picture", b"\x89PNG\x00")
            assert bob.event("picture") == [b"\x89PNG\x00"]
            form = {"Content-Type": "application/x-www-form-urlencoded"}
            assert chat.request("POST", "/announce", b"text=closing+soon", form)[0] == 204
            assert ann.event("announcement") == bob.event("announcement") == ["closing soon"]
            assert not [
                line for line in (*ann.kept, *bob.kept) if line["on"] == "event" and line["name"] in ("said", "picture")
            ]
            bob.command(close=True)
            assert ann.event("left") == ["bob"]


def test_both_refuse_who_does_not_tell_a_name(chat: Server) -> None:
    with SocketIO(4, chat.port, path="/socket.io", transports=["websocket"]) as stranger:
        assert stranger.wait(on="connect_error")["message"] == "tell your name"
