"""The site under test, `website_app.py` behind `cometware serve`: it can be stopped and started again on the same port."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from foreground import free_port

from tests.live.server import PATIENT, STOP_SECONDS

LIMITS = PATIENT | {"heartbeat_seconds": 20}
HERE = Path(__file__).resolve().parent
PATIENT_TIMES = {"race": 60_000, "silent": 60_000, "giveUp": 90_000, "margin": 60_000, "check": 60_000}
"""`Cometware.times` under which a transport that is only slow is not left for another."""
LOADING = {"race": 300}
"""How often script tags ask while a page is loading."""


class Site:
    """`port` stays the same over restarts."""

    def __init__(self, limits: dict[str, Any] | None = None, origins: str = "") -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._environment = os.environ | {"LIMITS": json.dumps(LIMITS | (limits or {})), "ORIGINS": origins}
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Site:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
        errors = self.errors
        self._errors.close()
        assert "Traceback" not in errors, errors

    def start(self) -> None:
        command = [sys.executable, "-m", "cometware", "serve", "website_app:app", "--bind", f"127.0.0.1:{self.port}"]
        self._process = subprocess.Popen(
            command, cwd=HERE, env=self._environment, stdout=subprocess.PIPE, stderr=self._errors, text=True
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert re.search(r"http://127\.0\.0\.1:\d+", line), (line, self.errors)

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def errors(self) -> str:
        self._errors.seek(0)
        return self._errors.read()

    def get(self, path: str, **query: Any) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.request("GET", f"{path}?{urlencode(query)}" if query else path)
            response = connection.getresponse()
            body = response.read()
            assert response.status in (200, 204), (response.status, body)
            return json.loads(body) if response.headers.get_content_type() == "application/json" else body
        finally:
            connection.close()

    def page(self, times: dict[str, Any] | None = None, **query: Any) -> str:
        """Return the address of a page with these settings; what is no text is written as JSON.

        Its client is patient (`PATIENT_TIMES`), but for what `times` says.
        """
        scripts = query.get("options", {}).get("transports") == ["jsonp"]
        query["times"] = PATIENT_TIMES | (LOADING if scripts else {}) | (times or {})
        texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in query.items()}
        return f"{self.url}/page?{urlencode(texts)}"
