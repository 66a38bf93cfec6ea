"""Browsers for the tests: every engine by `engine`, today's Chromium with features removed by `open_page`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error, Page

# The servers and proxies of the neighbour are for these tests, too.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "proxies"))

from engines import CHROMIUM_FLAGS, ENGINES, Engine
from masks import mask_script
from origin import origin
from website import PATIENT_TIMES

from tests.chromium import chromium as run_chromium


@pytest.fixture(scope="module")
def origin_port() -> Iterator[int]:
    with origin() as port:
        yield port


@pytest.fixture(params=[pytest.param(name, marks=[pytest.mark.full] * engine.full) for name, engine in ENGINES.items()])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Every engine in turn."""
    return ENGINES[request.param]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Today's Chromium, one for all tests of a module."""
    with run_chromium(*CHROMIUM_FLAGS) as browser:
        yield browser


OpenPage = Callable[..., Page]

PATIENT_CLIENT = f"""Object.defineProperty(window, 'Cometware', {{configurable: true, set: function (client) {{
    Object.assign(client.times, {json.dumps(PATIENT_TIMES)});
    Object.defineProperty(window, 'Cometware', {{value: client, writable: true, configurable: true}});
}}}});"""
"""What makes the client of a page that is not ours patient, too."""


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[OpenPage]:
    """Open pages, each in a browser profile of its own: `open_page(url, "WebSocket", "fetch")`.

    What follows the URL are the features to remove before the page loads (see `masks.py`). A script's error
    that nobody caught fails the test.
    """
    contexts = []
    errors: list[Error] = []

    def open_one(url: str, *without: str) -> Page:
        context = chromium.new_context(ignore_https_errors=True)
        contexts.append(context)
        context.add_init_script(mask_script(*without))
        context.add_init_script(PATIENT_CLIENT)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(error))
        page.goto(url, wait_until="commit")
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert not errors


BETWEEN = {"stream", "xhr", "eventsource", "poll", "short"}
"""What runs by every transport runs by the best and the least in `make test`; by those between them in `make test-all`."""


MASKS = {"test_a_mask_removes_its_feature_and_no_other", "test_a_browser_of_old_reports_back"}
"""Tests of the tests: that a feature is gone when it is masked."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the sample short: each transport alone, all else by the best and the least."""
    for item in items:
        parameters = getattr(getattr(item, "callspec", None), "params", {})
        if item.originalname in MASKS:  # type: ignore[attr-defined]
            item.add_marker(pytest.mark.full)
        if (
            "alone" not in item.name
            and "old_browser" not in item.name
            and any(isinstance(value, str) and value in BETWEEN for value in parameters.values())
        ):
            item.add_marker(pytest.mark.full)
