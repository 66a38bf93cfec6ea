"""Unmodified socket.io-client 2, 3 and 4 in a page of a real Chromium, by each transport; version 2 by scripts, too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.chromium import chromium as run_chromium
from tests.foreign.test_socketio import HOSTILE
from tests.live.server import PATIENT, Server, serve

WAYS: dict[str, dict[str, Any]] = {
    "websocket": {"transports": ["websocket"]},
    "polling": {"transports": ["polling"]},
    "upgrade": {"transports": ["polling", "websocket"]},
    "jsonp": {"transports": ["polling"], "forceJSONP": True},
}
CLIENTS = [(2, "jsonp"), *((version, way) for version in (4, 2, 3) for way in ("polling", "websocket", "upgrade"))]
USUAL = [(2, "jsonp"), (2, "polling"), (4, "upgrade"), (4, "polling")]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(PATIENT, application="tests.foreign.app:app") as server:
        yield server


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with run_chromium() as browser:
        yield browser


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context()
    problems: list[str] = []
    page = context.new_page()
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("response", lambda answer: problems.append(answer.url) if answer.status >= 400 else None)
    yield page
    context.close()
    assert [problem for problem in problems if "favicon" not in problem and "404" not in problem] == []


CONNECT = """options => new Promise((resolve, reject) => {
  window.heard = [];
  window.socket = io({path: "/comet/socket.io", forceNew: true, reconnection: false, timeout: 120000, ...options});
  for (const event of ["connect_error", "error"]) socket.on(event, error => reject(String(error && error.message || error)));
  socket.on("message", (...args) => heard.push(args));
  socket.on("connect", () => resolve(socket.id));
})"""
ASK = """([name, ...args]) => new Promise(resolve => socket.emit(name, ...args, (...answer) => resolve(answer)))"""
BYTES = """async () => {
  const answer = await new Promise(resolve => socket.emit("echo", new Uint8Array([0, 255, 10]).buffer, resolve));
  return [answer instanceof ArrayBuffer, ...new Uint8Array(answer)];
}"""


@pytest.mark.parametrize(
    ("version", "way"),
    [pytest.param(*client, marks=() if client in USUAL else pytest.mark.full) for client in CLIENTS],
)
def test_a_page_speaks_by_every_transport(version: int, way: str, server: Server, page: Page) -> None:
    page.goto(f"http://127.0.0.1:{server.port}/page/{version}")
    page.evaluate(CONNECT, WAYS[way])
    assert page.evaluate(ASK, ["echo", HOSTILE, {"x": [1, None]}]) == [HOSTILE, {"x": [1, None]}]
    assert page.evaluate(ASK, ["echo", HOSTILE * 200]) == [HOSTILE * 200]
    assert page.evaluate(BYTES) == [True, 0, 255, 10]
    server.publish(HOSTILE)
    page.wait_for_function("heard.length == 1")
    assert page.evaluate("heard[0]") == [HOSTILE]
    if way == "upgrade":
        page.wait_for_function("socket.io.engine.transport.name == 'websocket'")
    expected = "poll" if way in ("polling", "jsonp") else "websocket"
    assert page.evaluate(ASK, ["who"])[0]["transport"] == expected
    assert (page.locator("script").count() > 1) == (way == "jsonp")
    page.evaluate("socket.close()")
