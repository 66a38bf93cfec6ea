"""The Django site in docs/hooks.md, as a reader types it. (Its Flask site is run by `tests/test_docs.py`.)"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.live.clients import EventStream, WebSocket
from tests.live.server import PATIENT, ROOT, serve

_FILE = re.compile(r"^```python file=(\S+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def test_the_django_site_of_the_page_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mysite").mkdir()
    (tmp_path / "mysite/__init__.py").touch()
    for name, source in _FILE.findall((ROOT / "docs/hooks.md").read_text()):
        (tmp_path / name).write_text(source.replace('"mysite.db"', repr(str(tmp_path / "mysite.db"))))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    migrate = [sys.executable, "-m", "django", "migrate", "--settings", "mysite.settings", "-v0"]
    subprocess.run(migrate, check=True, cwd=tmp_path, timeout=240)
    with serve(PATIENT, application="mysite.wsgi:application") as server:
        status, _, body = server.request("GET", "/comet?as=member")
        assert (status, json.loads(body)) == (401, {"why": "log in first"})
        with EventStream(server) as listener, WebSocket(server) as speaker:
            speaker.send("hello", n=1)
            assert listener.data(1) == [{"from": "guest", "text": "hello"}]
            speaker.leave()
            assert listener.data(1) == [{"left": ""}]
        assert server.request("POST", "/realtime/open", b"{}")[0] == 404
