"""What a client reads from the heads of answers."""

from __future__ import annotations

import pytest

from cometware.remote.route import seconds

HEADERS = {
    "2": 2.0,
    "0": 0.0,
    "9" * 400: 3600.0,
    "-1": 0.0,
    "1.5": 0.0,
    "\u00b2": 0.0,
    "": 0.0,
    "Fri, 31 Dec 1999 23:59:59 GMT": 0.0,
}


@pytest.mark.parametrize("text", [*HEADERS, None])
def test_a_pause_is_whole_seconds_and_never_for_ever(text: str | None) -> None:
    assert seconds(text) == (HEADERS[text] if text is not None else 0.0)
