"""Today's Chromium, with patience: nothing that a test waits for fails because the machine is busy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, expect, sync_playwright

from tests.proxies.foreground import MissingProgram, find_program

PATIENCE_MS = 90_000


@contextmanager
def chromium(*flags: str) -> Iterator[Browser]:
    """Run one for the length of the block.

    While it runs, its event loop counts as running in this thread: these tests cannot call `asyncio.run`. That
    is why it does not live for the whole session.
    """
    expect.set_options(timeout=PATIENCE_MS)
    try:
        program = find_program("chromium-headless-shell")  # the same without windows: a new page costs a quarter
    except MissingProgram:
        program = find_program("chromium")
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=program, args=[*flags, "--no-sandbox"]) as browser,
    ):
        browser.on("context", lambda context: context.set_default_timeout(PATIENCE_MS))
        yield browser
