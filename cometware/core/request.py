"""The head of an HTTP/1.1 request, by RFC 9112 to the letter: what could be read in two ways is not read at all.

Technique: the request line is matched by its grammar, since llhttp is lenient there, and knows no methods but its own; the
fields are llhttp's. How the body is framed is decided here, once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import httptools

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
"""A character of a token (RFC 9110 §5.6.2)."""
_METHOD_BYTES = 32
_REQUEST_LINE = re.compile(rb"(%b{1,%d}) ([\x21\x22\x24-\x7e\x80-\xff]+) HTTP/1\.([01])(?=\r\n)" % (TOKEN, _METHOD_BYTES))
_VERSIONS = {b"0": "HTTP/1.0", b"1": "HTTP/1.1"}
_STRAY = re.compile(rb"(?<!\r)\n|\r(?!\n)|\0")
"""What ends a line for some, and not for others."""
_HOST = re.compile(r"(?:\[[0-9A-Fa-fv:.]+\]|[0-9A-Za-z\-._~%!$&'()*+,;=]*)(?::[0-9]{0,5})?\Z")
_ABSOLUTE = re.compile(r"https?://([^/?]*)(.*)\Z", re.DOTALL)
_LENGTH_DIGITS = 18
_NAMES = 256
"""Names of fields that are remembered."""


class BadHead(Exception):
    """This is no request that could be answered; `status` says how it is refused."""

    def __init__(self, why: str, status: str = "400 Bad Request") -> None:
        super().__init__(why)
        self.why = why
        self.status = status


class Head(NamedTuple):
    """`fields` have their names as in a WSGI environ, but for those that no environ takes (with `_`): they are left out.

    `target` is as it came; `path` and `query` are its parts, escaped as they came. `length` is that of the body; None, if
    there is none or it comes in chunks.
    """

    method: str
    target: str
    path: str
    query: str
    version: str
    fields: Sequence[tuple[str, str]]
    length: int | None
    chunked: bool
    keep_alive: bool
    expects_continue: bool
    is_websocket: bool


class _Fields:
    """Takes the fields from llhttp."""

    __slots__ = ("found",)

    def __init__(self) -> None:
        self.found: list[tuple[bytes, bytes]] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.found.append((name, value))


def check_beginning(data: bytes, start: int) -> None:
    """See whether these first bytes can become a head at all: whoever sends one that cannot need not be waited for.

    What is before `start` was seen before.

    Raises:
        BadHead: They cannot.
    """
    end = len(data) - 1 if data.endswith(b"\r") else len(data)
    stray = _STRAY.search(data, max(0, start - 1), end)
    if stray is not None:
        raise BadHead(f"a line of a head ends with CR LF, and has neither of them alone; got {stray[0]!r}")
    if data.find(b"\r\n") >= max(0, start - 1):
        _request_line(data)


def parse(data: bytes, max_fields: int) -> Head:
    """Read one head, its empty line included.

    Raises:
        BadHead: It is none by RFC 9112, or can be read in two ways.
    """
    count = data.count(b"\n") - 2
    if count > max_fields:
        why = f"a head of {count} fields; Handler.max_head_fields allows {max_fields}"
        raise BadHead(why, "431 Request Header Fields Too Large")
    line = _request_line(data)
    method, target, minor = line.groups()
    fields = _Fields()
    try:
        httptools.HttpRequestParser(fields).feed_data(b"GET / HTTP/1.1" + data[line.end() :])
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError as error:
        raise BadHead(f"the head's fields: {error}") from None
    return _head(method.decode(), target.decode("latin-1"), _VERSIONS[minor], fields.found)


def _request_line(data: bytes) -> re.Match[bytes]:
    found = _REQUEST_LINE.match(data)
    if found is None:
        raise BadHead("the request line: expected a method, a target and HTTP/1.1 or 1.0, with one space between them")
    return found


def _head(method: str, target: str, version: str, found: list[tuple[bytes, bytes]]) -> Head:
    fields: list[tuple[str, str]] = []
    hosts: list[str] = []
    length = None
    chunked = False
    connection = upgrade = expect = ""
    for name, value in found:
        key, text = _key(name), value.decode("latin-1").strip(" \t")
        if key == "CONTENT_LENGTH":
            length = _length(text)
        elif key == "HTTP_TRANSFER_ENCODING":
            if chunked or text.lower() != "chunked" or version == "HTTP/1.0":
                raise BadHead("Transfer-Encoding: expected chunked, once, and not by HTTP/1.0")
            chunked = True
        elif key == "HTTP_HOST":
            hosts.append(text)
        elif key == "HTTP_CONNECTION":
            connection += "," + text
        elif key == "HTTP_UPGRADE":
            upgrade = text.lower()
        elif key == "HTTP_EXPECT":
            expect = text.lower()
        if key:
            fields.append((key, text))
    if chunked and length is not None:
        raise BadHead("got both Content-Length and Transfer-Encoding")
    path = target
    if not target.startswith("/"):
        path, authority = _other_form(method, target)
        if authority is not None:
            fields = [field for field in fields if field[0] != "HTTP_HOST"] + [("HTTP_HOST", authority)]
            hosts = [authority, *hosts[1:]]
    _check_hosts(hosts, version)
    path, _, query = path.partition("?")
    options = _options(connection)
    keep_alive = "close" not in options if version == "HTTP/1.1" else "keep-alive" in options
    is_websocket = method == "GET" and upgrade == "websocket"
    if is_websocket and (chunked or length):
        raise BadHead("a WebSocket's handshake has no body")
    if method == "HEAD" and (chunked or length):
        raise BadHead("a HEAD request has no body")
    expects = expect == "100-continue" and version == "HTTP/1.1"
    return Head(method, target, path, query, version, fields, length, chunked, keep_alive, expects, is_websocket)


@lru_cache(_NAMES)
def _key(name: bytes) -> str:
    """Return the name of a field in a WSGI environ; nothing for one that could pass for another's."""
    if b"_" in name:
        if name.replace(b"_", b"-").lower() in (b"content-length", b"transfer-encoding"):
            raise BadHead("a field that a proxy could take for the body's length")
        return ""
    key = name.decode().replace("-", "_").upper()
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else "HTTP_" + key


@lru_cache(_NAMES)
def _options(connection: str) -> frozenset[str]:
    return frozenset(option.strip(" \t") for option in connection.lower().split(","))


def _length(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _LENGTH_DIGITS):
        raise BadHead(f"Content-Length: expected up to {_LENGTH_DIGITS} digits")
    return int(text)


def _other_form(method: str, target: str) -> tuple[str, str | None]:
    """Take a target that is no path: a whole URL, whose host is the one that counts, or `*` (RFC 9112 §3.2)."""
    if method == "OPTIONS" and target == "*":
        return target, None
    found = _ABSOLUTE.match(target)
    if found is None or method == "CONNECT":
        status = "501 Not Implemented" if method == "CONNECT" else "400 Bad Request"
        raise BadHead("the target: expected a path that begins with /, or a whole URL", status)
    path = found[2]
    return path if path.startswith("/") else "/" + path, found[1]


def _check_hosts(hosts: Sequence[str], version: str) -> None:
    """RFC 9112 §3.2: an HTTP/1.1 request has one Host, and no request two."""
    if len(hosts) != 1 and not (version == "HTTP/1.0" and not hosts):
        raise BadHead(f"Host: expected one, got {len(hosts)}")
    if hosts and _HOST.match(hosts[0]) is None:
        raise BadHead("Host: expected a name or an address, and perhaps a port")


Environ = dict[str, Any]


def add_fields(environ: Environ, fields: Sequence[tuple[str, str]]) -> None:
    """Put the fields into a WSGI environ; of several with one name, the values are joined (RFC 9110 §5.3)."""
    for key, value in fields:
        if key not in environ:
            environ[key] = value
        elif key == "HTTP_COOKIE":
            environ[key] += "; " + value
        elif key.startswith("HTTP_"):
            environ[key] += "," + value
