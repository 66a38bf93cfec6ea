"""An application of a few lines, whose answers a test gives, and which keeps what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.validate import validator

from werkzeug.test import Client

from cometware import Channel, Cometware, Limits

JSON = "application/json"
LIMIT_SECONDS = 60


class Asked:
    """One request that the application got."""

    def __init__(self, environ: dict[str, Any]) -> None:
        self.environ = environ
        self.path: str = environ["PATH_INFO"]
        self.body: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        self.at_end: bytes = environ["wsgi.input"].read(1)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Body:
    """The iterator of a response: `parts` are given, one of them may be an error to raise."""

    def __init__(self, parts: Iterable[bytes | Exception], site: Site) -> None:
        self._parts = iter(parts)
        self._site = site
        self.closed = 0

    def __iter__(self) -> Body:
        return self

    def __next__(self) -> bytes:
        part = next(self._parts)
        if isinstance(part, Exception):
            raise part
        return part

    def close(self) -> None:
        self.closed += 1
        with self._site.ended:
            self._site.ended.notify_all()


class Site:
    """A WSGI application: `answers[path]` is a status, content type and body, or a function of the request."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[Asked] = []
        self.bodies: list[Body] = []
        self.ended = threading.Condition()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Body:
        asked = Asked(environ)
        self.asked.append(asked)
        answer = self.answers.get(asked.path, (204, "", b""))
        if callable(answer):
            answer = answer(asked)
        status, kind, parts = answer
        headers = [("Content-Type", kind)] if kind else []
        start_response(f"{status} As Told", headers)
        body = Body([parts] if isinstance(parts, bytes) else parts, self)
        self.bodies.append(body)
        return body

    def paths(self, count: int) -> list[str]:
        """Wait until so many responses have come to their end, and return the paths of all requests."""
        with self.ended:
            self.ended.wait_for(lambda: sum(1 for body in self.bodies if body.closed) >= count, LIMIT_SECONDS)
        return [asked.path for asked in self.asked]


def tell(status: int, value: Any) -> tuple[int, str, bytes]:
    return status, JSON, json.dumps(value).encode()


class World:
    """A site with a channel in front, and somebody who speaks to it by POST, without a key."""

    def __init__(self, limits: Limits | None = None, wrap: Callable[[Any], Any] = validator, **options: Any) -> None:
        self.site = Site()
        self.channel = Channel(limits=limits)
        self.app = Cometware(wrap(self.site), self.channel, hooks="/realtime", **options)
        self.client = Client(self.app, use_cookies=False)

    def say(self, data: Any = "hello", **options: Any) -> Any:
        """Send one message; return the answer."""
        body = json.dumps({"data": data} | options)
        return self.client.post("/comet", data=body, content_type=JSON)
