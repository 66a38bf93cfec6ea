"""A small server for proving proxies and browsers, as a program: `origin.py PORT`.

    GET  /hello                 the word hello
    *    /echo                  the body, or over WebSocket every message
    GET  /stream/KEY            an event stream of EVENTS events; each but the first waits for a step
    GET  /stream/KEY?asking     the same, which asks proxies to leave it as it is
    POST /step/KEY              lets the stream go on by one event; the event after the last is the end
    GET  /page/KEY              a page that reports what engine runs it
    *    /report/KEY?ua=…       takes the report
    GET  /reports/KEY           waits for the report and returns it, or null after ?patience_seconds=

What happens when is decided by the test, never by a clock.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from foreground import listening

EVENTS = 4
PATIENCE_SECONDS = 90.0
HTML = "text/html; charset=utf-8"

# It runs in every engine, from Internet Explorer 6 on.
PAGE = """<!DOCTYPE html>
<html><head><title>Report</title></head><body><script>
function has(name) { try { return typeof window[name] !== 'undefined'; } catch (e) { return false; } }
function request() {
    try { return new XMLHttpRequest(); } catch (e) { return new ActiveXObject('Microsoft.XMLHTTP'); }
}
var names = ['WebSocket', 'EventSource', 'fetch', 'Promise', 'ReadableStream', 'AbortController',
             'XMLHttpRequest', 'XDomainRequest', 'BroadcastChannel', 'JSON', 'addEventListener',
             'Uint8Array'];
var features = [];
for (var i = 0; i < names.length; i++) if (has(names[i])) features.push(names[i]);
var query = '?features=' + features.join(',') + '&ua=' + encodeURIComponent(navigator.userAgent);
var address = '/report/%(key)s' + query, xhr = null;
try { xhr = request(); } catch (e) {}
if (xhr) {
    xhr.open('POST', address, true);
    xhr.setRequestHeader('Content-Type', 'text/plain');
    xhr.send('report');
} else {
    document.body.appendChild(document.createElement('script')).src = address;
}
</script></body></html>
"""


def origin() -> AbstractContextManager[int]:
    """Run the server in a process of its own for the length of the block; the value is the port."""
    return listening(lambda port, folder: [sys.executable, Path(__file__), str(port)])


class Origin:
    """The application; it needs the greenlets of gevent, so it lives in its own process."""

    def __init__(self) -> None:
        from gevent.event import AsyncResult
        from gevent.lock import Semaphore

        self._steps: dict[str, Any] = defaultdict(lambda: Semaphore(0))
        self._reports: dict[str, Any] = defaultdict(AsyncResult)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        _, action, *rest = environ["PATH_INFO"].split("/")
        key = rest[0] if rest else ""
        query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
        if "wsgi.websocket" in environ:
            return self._echo_messages(environ["wsgi.websocket"])
        if action == "stream":
            headers = [("Content-Type", "text/event-stream"), ("Cache-Control", "no-cache")]
            if "asking" in query:
                headers = [
                    ("Content-Type", "text/event-stream"),
                    ("Cache-Control", "no-cache, no-transform"),
                    ("X-Accel-Buffering", "no"),
                ]
            start_response("200 OK", headers)
            return self._stream(key)
        if action == "step":
            self._steps[key].release()
            return self._answer(start_response, "ok")
        if action == "page":
            return self._answer(start_response, PAGE % {"key": key}, HTML)
        if action == "report":
            body_of(environ)
            self._reports[key].set({name: values[0] for name, values in query.items()})
            return self._answer(start_response, "", "text/javascript")
        if action == "reports":
            patience_seconds = float(query.get("patience_seconds", [PATIENCE_SECONDS])[0])
            return self._report(key, patience_seconds, start_response)
        if action == "echo":
            return self._answer(start_response, body_of(environ).decode())
        if action == "hello":
            return self._answer(start_response, "hello")
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"not found"]

    def _answer(self, start_response: Callable[..., Any], text: str, kind: str = "text/plain") -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", kind), ("Cache-Control", "no-store")])
        return [text.encode()]

    def _report(self, key: str, patience_seconds: float, start_response: Callable[..., Any]) -> Iterable[bytes]:
        import json

        from gevent import Timeout

        try:
            report = self._reports[key].get(timeout=patience_seconds)
        except Timeout:
            report = None
        return self._answer(start_response, json.dumps(report), "application/json")

    def _stream(self, key: str) -> Iterator[bytes]:
        for number in range(EVENTS):
            if number:
                self._steps[key].acquire(timeout=PATIENCE_SECONDS)
            yield b"data: %d\n\n" % number
        self._steps[key].acquire(timeout=PATIENCE_SECONDS)

    def _echo_messages(self, websocket: Any) -> Iterable[bytes]:
        while (message := websocket.receive()) is not None:
            websocket.send(message)
        return []


def body_of(environ: dict[str, Any]) -> bytes:
    """Read exactly what the request announces: pywsgi lets us read beyond it after `Connection: upgrade`."""
    body: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    return body


def main(port: int) -> None:
    from gevent.pywsgi import WSGIServer
    from geventwebsocket.handler import WebSocketHandler

    WSGIServer(("127.0.0.1", port), Origin(), handler_class=WebSocketHandler, log=None).serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]))
