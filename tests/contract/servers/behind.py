"""The application behind a middleware that replaces `start_response` and `wsgi.input`, and hides what it replaces."""

from __future__ import annotations

import io
from itertools import count
from typing import Any

from tests.live.app import app as inner

_answers: dict[int, Any] = {}
_numbers = count()


class Answer:
    """Knows the number of its answer, and nothing else."""

    __slots__ = ("number",)

    def __init__(self, start_response: Any) -> None:
        self.number = next(_numbers)
        _answers[self.number] = start_response

    def __call__(self, *head: Any) -> Any:
        return _answers.pop(self.number)(*head)


def app(environ: dict[str, Any], start_response: Any) -> Any:
    length = int(environ.get("CONTENT_LENGTH") or 0)
    environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(length))
    return inner(environ, Answer(start_response))
