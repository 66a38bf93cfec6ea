from __future__ import annotations

from collections.abc import Iterator

import pytest

from cometware.transports import report as module
from cometware.transports.report import begin_anew, listeners, report, tell


@pytest.fixture(autouse=True)
def anew() -> Iterator[None]:
    begin_anew()
    yield
    begin_anew()


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(module.time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def fail(error: type[Exception]) -> None:
    try:
        raise error("on purpose")
    except error:
        report("the handler")


def fail_elsewhere() -> None:
    try:
        raise KeyError("on purpose")
    except KeyError:
        report("another handler")


def test_a_traceback_is_told_once_and_then_counted(caplog: pytest.LogCaptureFixture, clock: Clock) -> None:
    for _ in range(40_000):
        fail(KeyError)
    assert caplog.text.count("Traceback") == 1
    clock.now += 61
    fail(KeyError)
    assert caplog.text.count("Traceback") == 2
    assert "error in the handler (and 39999 more like it since this was last told)" in caplog.text


def test_another_exception_and_another_place_are_told(caplog: pytest.LogCaptureFixture, clock: Clock) -> None:
    fail(KeyError)
    fail(ValueError)
    fail_elsewhere()
    assert caplog.text.count("Traceback") == 3


def test_who_listens_hears_of_each(clock: Clock) -> None:
    heard: list[BaseException] = []
    listeners.append(heard.append)
    try:
        fail(KeyError)
        fail(KeyError)
    finally:
        listeners.remove(heard.append)
    assert [type(error) for error in heard] == [KeyError, KeyError]


def test_what_strangers_bring_about_is_told_once_and_then_counted(caplog: pytest.LogCaptureFixture, clock: Clock) -> None:
    for number in range(1000):
        tell("refused", f"403 for {number % 2}")
    clock.now += 61
    tell("refused", "403 for 0")
    assert [record.getMessage() for record in caplog.records] == [
        "403 for 0",
        "403 for 1",
        "403 for 1 (and 499 more like it since this was last told)",
        "403 for 0 (and 499 more like it since this was last told)",
    ]
