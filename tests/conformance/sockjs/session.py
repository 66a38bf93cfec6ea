"""What the clauses share: a fresh session's URL, its requests, and what every answer of a session bears."""

from __future__ import annotations

import uuid

from tests.live.raw import Answer, Line, ask, head

NO_CACHE = "no-store, no-cache, no-transform, must-revalidate, max-age=0"
XHR_TYPE = "application/javascript; charset=UTF-8"
PRELUDE = b"h" * 2048 + b"\n"


def fresh(service: str = "/echo", server: str = "000") -> str:
    """Return the base of a session that nobody has opened."""
    return f"{service}/{server}/{uuid.uuid4()}"


def fields(headers: dict[str, str]) -> dict[str, str]:
    return {"Host": "127.0.0.1"} | {name.replace("_", "-").title(): value for name, value in headers.items()}


def get(port: int, target: str, **headers: str) -> Answer:
    return ask(port, head("GET", target, fields(headers)))


def options(port: int, target: str, **headers: str) -> Answer:
    return ask(port, head("OPTIONS", target, fields(headers)))


def post_bytes(target: str, body: bytes = b"", **headers: str) -> bytes:
    return head("POST", target, fields(headers) | {"Content-Length": str(len(body))}) + body


def post(port: int, target: str, body: bytes = b"", **headers: str) -> Answer:
    return ask(port, post_bytes(target, body, **headers))


def stream(port: int, target: str, method: str = "POST", **headers: str) -> tuple[Answer, Line]:
    """Begin a response that does not end; return its head, and the line on which its chunks come."""
    line = Line(port)
    line.send(post_bytes(target, **headers) if method == "POST" else head(method, target, fields(headers)))
    return line.head(), line


def opened(port: int, session: str) -> None:
    """Open a session by a poll."""
    answer = post(port, session + "/xhr")
    assert (answer.status, answer.body) == (200, b"o\n"), answer


def check_cors(answer: Answer, origin: str | None) -> None:
    assert answer.headers["access-control-allow-origin"] == (origin or "*")
    assert answer.headers.get("access-control-allow-credentials") == (None if origin is None else "true")


def check_uncached(answer: Answer) -> None:
    assert answer.headers["cache-control"] == NO_CACHE
    assert "expires" not in answer.headers
    assert "last-modified" not in answer.headers
