from __future__ import annotations

import logging

import pytest

from cometware.core.logger import logger

KEY = "c2VjcmV0LXNlY3JldC1zZWNyZXQ"


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    return caplog


def test_a_line_of_the_log_is_one_line_and_shows_no_bearer(lines: pytest.LogCaptureFixture) -> None:
    logger.warning("got %s from %r", "a\r\nERROR forged\x1b[2J\x9b\u2028\u202e\udcff é", f"/comet?%6bey={KEY}")
    assert lines.text == "WARNING got a\\r\\nERROR forged\\x1b[2J\\x9b\\u2028\\u202e\\udcff é from '/comet?%6bey=…'\n"


def test_a_long_line_is_cut(lines: pytest.LogCaptureFixture) -> None:
    logger.warning("%s", "x" * 100_000)
    assert len(lines.text) < 5000


def fail(text: str) -> None:
    raise ValueError(text)


def test_a_traceback_keeps_its_lines_and_the_text_of_an_exception_forges_none(lines: pytest.LogCaptureFixture) -> None:
    try:
        try:
            fail(f"first\nTraceback (most recent call last):\n  File x\nERROR forged {KEY}")
        except ValueError as error:
            raise KeyError(f"redis://:secret@host/0?a=1&key={KEY}") from error
    except KeyError:
        logger.exception("error in %s", "x\ny")
    told = lines.text.splitlines()
    assert told[0] == "ERROR error in x\\ny"
    assert told[1] == "Traceback (most recent call last):"
    assert '    fail(f"first' in lines.text
    assert f"ValueError: first\\nTraceback (most recent call last):\\n  File x\\nERROR forged {KEY}" in told
    assert "The above exception was the direct cause of the following exception:" in told
    assert told[-1] == "KeyError: 'redis://:***@host/0?a=1&key=…'"
    assert [line for line in told if line.startswith("ERROR")] == [told[0]]


def test_the_text_of_an_exception_is_cut(lines: pytest.LogCaptureFixture) -> None:
    try:
        fail("x" * 1_000_000)
    except ValueError:
        logger.exception("error")
    assert len(lines.text) < 6000
