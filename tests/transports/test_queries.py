"""A query is read as ever, and an Accept means what it meant: only at a price that no stranger can drive up."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from cometware.core.negotiation import ACCEPTED
from cometware.endpoint import answers
from cometware.endpoint.answers import is_repeated, query_of
from cometware.endpoint.serve import facts

texts = st.lists(st.sampled_from(["a", "b", "=", "&", "%41", "%", "+", "%ff", "é", "sid", ";", "%3D", "%26", " "])).map(
    "".join
)


@given(texts)
@example("a&a=1&&=&a=2&%61=3&b=x+y%20z")
def test_a_query_is_read_as_the_standard_library_reads_it(query: str) -> None:
    pairs = parse_qsl(query, keep_blank_values=True)
    assert query_of({"QUERY_STRING": query}) == dict(reversed(pairs))
    for name in ("a", "sid", ""):
        assert is_repeated({"QUERY_STRING": query}, name) == ([found for found, _ in pairs].count(name) > 1)


def test_a_query_is_read_once_for_each_request(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def unquoted(text: str) -> str:
        read.append(text)
        return text

    monkeypatch.setattr(answers, "_unquoted", unquoted)
    environ = {"QUERY_STRING": "&".join(f"only-here-{number}" for number in range(4000))}
    for _ in range(10):
        query_of(environ)
        is_repeated(environ, "only-here-1")
    assert len(read) == 8000


def accepted(header: str) -> str:
    environ: dict[str, Any] = {"REQUEST_METHOD": "GET", "HTTP_ACCEPT": header}
    return facts(environ).accept


ranges = st.sampled_from([*ACCEPTED, "text/*", "application/*", "*/*", "image/png", "TEXT/HTML", "text/plain", "a"])
items = st.tuples(ranges, st.sampled_from(["", ";q=0.5", ";q=0", ";q=1", "; q=0.9", ";v=1", ";v=b3;q=0.7"])).map("".join)


@given(st.lists(items, max_size=10).map(", ".join))
def test_an_accept_is_weighed_as_werkzeug_weighs_it(header: str) -> None:
    accept = parse_accept_header(header, MIMEAccept)
    assert accepted(header) == (accept.best_match(ACCEPTED) or ACCEPTED[0])


def test_of_an_accept_without_an_end_no_more_is_weighed_than_there_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    weighed: list[int] = []

    def parse(header: str, kind: type[MIMEAccept]) -> MIMEAccept:
        weighed.append(header.count(",") + 1)
        return parse_accept_header(header, kind)

    monkeypatch.setattr("cometware.endpoint.serve.parse_accept_header", parse)
    assert accepted("a/b," * 50 + "text/html;q=0.123," * 50) == "text/html"
    assert max(weighed) <= 16
