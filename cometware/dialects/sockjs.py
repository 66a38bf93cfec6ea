"""SockJS, protocol 0.3.3: one letter says what a frame is, and every message is a string.

Rule: what is written is ASCII, so that no proxy and no old browser can change it; a frame never has a line break in it.
"""

from __future__ import annotations

import hashlib
import html
import json
import re
from collections.abc import Iterable

from cometware.core.data import parse
from cometware.core.entry import Entry, Position
from cometware.core.events import Close, Event, Received
from cometware.core.forms import field
from cometware.core.framing import Frame, data_url
from cometware.core.text import shown
from cometware.dialects.base import ANY_NUMBER, Greeting, Silent, check_number
from cometware.errors import BadFrame

_string = json.JSONEncoder(ensure_ascii=True).encode

BROKEN = "Broken JSON encoding."
MISSING = "Payload expected."
"""What a sender is told, word for word."""

GREETING = b"Welcome to SockJS!\n"
PRELUDE = b"h" * 2048 + b"\n"
"""What xhr_streaming begins with: old browsers show nothing of a response before it has so many bytes."""
ANOTHER_OPEN = Close(2010, "Another connection still open")
INTERRUPTED = Close(1002, "Connection interrupted")

_CALLBACK = re.compile(r"[a-zA-Z0-9_.-]{1,256}\Z")
_PAGE = re.compile(r"/iframe[0-9.a-z_-]*\.html\Z")
_SESSION = re.compile(r"/(?P<server>[^/.]+)/(?P<session>[^/.]+)/(?P<transport>[a-z_]+)/?\Z")


class SockJS(Silent):
    """Stateless. The name of an event and the answer to a message have no word in SockJS: the data alone is shown."""

    name = "sockjs"

    def entries(self, entries: Iterable[Entry]) -> list[Frame]:
        messages = [_message(entry) for entry in entries if not entry.message.kind]
        return [Frame(f"a[{','.join(messages)}]")] if messages else []

    def greeting(self, greeting: Greeting) -> list[Frame]:
        return [Frame("o")]

    def heartbeat(self, position: Position) -> list[Frame]:
        return [Frame("h")]

    def close(self, close: Close) -> list[Frame]:
        return [Frame(f"c[{close.code},{_string(close.reason)}]")]

    def receive(self, body: str | bytes, most: int = ANY_NUMBER) -> list[Event]:
        """Understand a WebSocket's frame: an array of strings, or one; an empty one is allowed and says nothing."""
        return list(received(body, most)) if body else []


SOCKJS = SockJS()


def received(body: str | bytes, most: int = ANY_NUMBER) -> list[Received]:
    """Understand what a client sends: a JSON array of `most` strings, or (over WebSocket) one string.

    Raises:
        BadFrame: It is something else; the message is what SockJS says then. Or it holds more (`many`).
    """
    if not body:
        raise BadFrame("payload", MISSING)
    try:
        shape = parse(body if isinstance(body, str) else body.decode())
    except (ValueError, RecursionError):
        raise BadFrame("json", BROKEN) from None
    texts = [shape] if isinstance(shape, str) else shape
    if isinstance(texts, list):
        check_number(len(texts), most)
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise BadFrame("payload", MISSING)
    return [Received("message", text) for text in texts]


def posted(body: bytes, content_type: str, most: int = ANY_NUMBER) -> list[Received]:
    """Understand the body of jsonp_send: the form field `d`, or with any other type the JSON itself.

    Raises:
        BadFrame: As `received`.
    """
    if content_type != "application/x-www-form-urlencoded":
        return received(body, most)
    try:
        value = field(body.decode(), "d", "strict")
    except ValueError:
        raise BadFrame("json", BROKEN) from None
    return received(value or "", most)


def _message(entry: Entry) -> str:
    """Write an entry's data as one JSON string: text as it is, bytes as a `data:` URL, anything else as JSON."""
    text = entry.message.json
    if text.startswith('"'):
        return text if text.isascii() else _string(entry.data)
    if text.startswith('{"$bytes"'):
        data = entry.data
        return _string(data_url(data) if isinstance(data, bytes) else text)
    return _string(text)


# How frames are written on each transport


def event_stream(frames: Iterable[Frame]) -> bytes:
    """Write for eventsource. The client decodes what it gets as a part of a URL, so that a bare `%` would break it."""
    return "".join([f"data: {_text(frame).replace('%', '%25')}\r\n\r\n" for frame in frames]).encode("ascii")


def script_blocks(frames: Iterable[Frame]) -> bytes:
    """Write for htmlfile: each frame is a script. A message's `</script>` would end it, its `<!--<script` hide its end."""
    return "".join([f"<script>\np({_literal(_text(frame))});\n</script>\r\n" for frame in frames]).encode("ascii")


def script(callback: str, body: bytes) -> bytes:
    """Write a poll's answer, with its line break, for jsonp."""
    return f"/**/{callback}({_string(body.decode('ascii').rstrip())});\r\n".encode("ascii")


def _text(frame: Frame) -> str:
    assert isinstance(frame.body, str)
    return frame.body


def _literal(text: str) -> str:
    return _string(text).replace("<", "\\u003c")


# What a request is for


def callback(text: str) -> str:
    """Check the name of the function that a script calls.

    Raises:
        BadFrame: It is none; the message is what SockJS says then.
    """
    if not text:
        raise BadFrame("callback", '"callback" parameter required')
    if not _CALLBACK.match(text):
        raise BadFrame("callback", 'invalid "callback" parameter')
    return text


def is_page(path: str) -> bool:
    """Is this the path of the iframe's page, of any version?"""
    return _PAGE.match(path) is not None


def session(path: str) -> tuple[str, str] | None:
    """Return the session and the transport that a path names; the server's part says nothing to us."""
    found = _SESSION.match(path)
    return (found["session"], found["transport"]) if found is not None else None


def key_of(session: str) -> str:
    """Return the key of a session: the same in every worker, and none that a client of another dialect could show."""
    return f"sockjs {hashlib.sha256(session.encode('utf-8', 'surrogatepass')).hexdigest()}"


def info(*, websocket: bool, cookie: bool, entropy: int) -> bytes:
    """Tell what the server can do; `entropy` is a random number for those who have none, below 2**32."""
    return json.dumps(
        {"websocket": websocket, "origins": ["*:*"], "cookie_needed": cookie, "entropy": entropy}, separators=(",", ":")
    ).encode()


def iframe_page(script_url: str) -> bytes:
    """Write the page that carries a client of another origin: it loads the same version of the client."""
    return f"""<!DOCTYPE html>
<html>
<head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
  <script src="{html.escape(script_url)}"></script>
  <script>
    document.domain = document.domain;
    SockJS.bootstrap_iframe();
  </script>
</head>
<body>
  <h2>Don't panic!</h2>
  <p>This is a SockJS hidden iframe. It's used for cross domain magic.</p>
</body>
</html>""".encode()


def htmlfile_page(callback: str) -> bytes:
    """Write what an htmlfile begins with: over 1024 bytes, or Internet Explorer shows nothing."""
    page = f"""<!doctype html>
<html><head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
</head><body><h2>Don't panic!</h2>
  <script>
    document.domain = document.domain;
    var c = parent.{callback};
    c.start();
    function p(d) {{c.message(d);}};
    window.onload = function() {{c.stop();}};
  </script>"""
    return f"{page:<1025}\r\n\r\n".encode()


def explained(path: str) -> str:
    """Say of a path that it is none of SockJS's."""
    return f"404 Error: Page not found: {shown(path)}\n"
