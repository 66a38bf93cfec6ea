"""Somebody with cookies who reads an application's pages and sends their forms, as a browser does."""

from __future__ import annotations

import re
from http.cookies import SimpleCookie
from urllib.parse import urlencode

from tests.live.server import Server

_TOKEN = re.compile(r'name="(csrfmiddlewaretoken|csrf_token|csrf)" value="([^"]+)"')


class Visitor:
    """`cookie` is what a browser would send, `where` the path that the last answer leads to."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._cookies: dict[str, str] = {}
        self._tokens: dict[str, str] = {}
        self.status = 0
        self.where = ""
        self.text = ""

    @property
    def cookie(self) -> str:
        return "; ".join(f"{name}={value}" for name, value in self._cookies.items())

    def get(self, path: str) -> Visitor:
        return self._request("GET", path, None)

    def post(self, path: str, **form: str) -> Visitor:
        """Send a form with the token of the last page that had one."""
        return self._request("POST", path, urlencode(self._tokens | form).encode())

    def _request(self, method: str, path: str, body: bytes | None) -> Visitor:
        headers = {"Content-Type": "application/x-www-form-urlencoded"} if body is not None else {}
        if self._cookies:
            headers["Cookie"] = self.cookie
        self.status, answer, content = self._server.request(method, path, body, headers)
        for line in answer.get_all("Set-Cookie", []):
            for name, morsel in SimpleCookie(line).items():
                self._cookies[name] = morsel.value
                if morsel["max-age"] == "0" or morsel["expires"].startswith("Thu, 01 Jan 1970"):
                    del self._cookies[name]
        self.where, self.text = answer.get("Location", ""), content.decode()
        self._tokens = dict(_TOKEN.findall(self.text)) or self._tokens
        return self
