"""Requests that one parser reads in one way and another in another, or that are none: by RFC 9112, each must be refused.

In each stands a second request, for `/smuggled`, where one of the two readings would find it.
"""

from __future__ import annotations

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
_GET = b"GET /text HTTP/1.1\r\nHost: h\r\n"
_POST = b"POST /upload HTTP/1.1\r\nHost: h\r\n"
_LENGTH = b"Content-Length: %d\r\n" % len(SMUGGLED)


def field(line: bytes) -> bytes:
    """Write a GET with this line among its fields."""
    return _GET + line + b"\r\nX-After: 1\r\n\r\n" + SMUGGLED


def framed(lines: bytes) -> bytes:
    """Write a POST whose body, if these lines are believed, is the smuggled request; if not, that is the next one."""
    return _POST + lines + b"\r\n" + SMUGGLED


def chunked(body: bytes, lines: bytes = b"Transfer-Encoding: chunked\r\n") -> bytes:
    return _POST + lines + b"\r\n" + body


_HEADS: dict[str, bytes] = {
    # §3: the request line
    "HTTP/0.9": b"GET /text\r\n\r\n" + SMUGGLED,
    "HTTP/0.9 without its empty line": b"GET /text\r\n",
    "two spaces before the target": b"GET  /text HTTP/1.1\r\nHost: h\r\n\r\n",
    "two spaces behind the target": b"GET /text  HTTP/1.1\r\nHost: h\r\n\r\n",
    "a tab in the request line": b"GET\t/text\tHTTP/1.1\r\nHost: h\r\n\r\n",
    "a space before the method": b" GET /text HTTP/1.1\r\nHost: h\r\n\r\n",
    "a space behind the version": b"GET /text HTTP/1.1 \r\nHost: h\r\n\r\n",
    "a space in the target": b"GET /te xt HTTP/1.1\r\nHost: h\r\n\r\n",
    "a form feed in the request line": b"GET\x0c/text HTTP/1.1\r\nHost: h\r\n\r\n",
    "no version": b"GET /text HTTP/\r\nHost: h\r\n\r\n",
    "version 0.9": b"GET /text HTTP/0.9\r\nHost: h\r\n\r\n",
    "version 1.2": b"GET /text HTTP/1.2\r\nHost: h\r\n\r\n",
    "version 2.0": b"GET /text HTTP/2.0\r\nHost: h\r\n\r\n",
    "version 1.10": b"GET /text HTTP/1.10\r\nHost: h\r\n\r\n",
    "version 01.1": b"GET /text HTTP/01.1\r\nHost: h\r\n\r\n",
    "version 1,1": b"GET /text HTTP/1,1\r\nHost: h\r\n\r\n",
    "a version in small letters": b"GET /text http/1.1\r\nHost: h\r\n\r\n",
    "another protocol": b"GET /text RTSP/1.0\r\nHost: h\r\n\r\n",
    "another protocol at the end": b"GET /text HTTPS/1.1\r\nHost: h\r\n\r\n",
    "HTTP/2's preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a method with a bracket": b"GE(T /text HTTP/1.1\r\nHost: h\r\n\r\n",
    "a method with a colon": b"GET: /text HTTP/1.1\r\nHost: h\r\n\r\n",
    "a method with a slash": b"G/T /text HTTP/1.1\r\nHost: h\r\n\r\n",
    "a method with a high byte": b"G\xc9T /text HTTP/1.1\r\nHost: h\r\n\r\n",
    "a method without an end": b"G" * 40 + b" /text HTTP/1.1\r\nHost: h\r\n\r\n",
    "no method": b"/text HTTP/1.1\r\nHost: h\r\n\r\n",
    "a target with a fragment": b"GET /text#x HTTP/1.1\r\nHost: h\r\n\r\n",
    "a target with NUL": b"GET /te\0xt HTTP/1.1\r\nHost: h\r\n\r\n",
    "a target with CR": b"GET /te\rxt HTTP/1.1\r\nHost: h\r\n\r\n",
    "a target with an escape": b"GET /te\x1bxt HTTP/1.1\r\nHost: h\r\n\r\n",
    "a target with DEL": b"GET /te\x7fxt HTTP/1.1\r\nHost: h\r\n\r\n",
    "a target without its slash": b"GET text HTTP/1.1\r\nHost: h\r\n\r\n",
    "a star where none may be": b"GET * HTTP/1.1\r\nHost: h\r\n\r\n",
    "a URL of another scheme": b"GET ftp://h/text HTTP/1.1\r\nHost: h\r\n\r\n",
    "a URL with a user": b"GET http://user@h/text HTTP/1.1\r\nHost: h\r\n\r\n",
    "an authority that is none": b"GET http://h\\/text HTTP/1.1\r\nHost: h\r\n\r\n",
    "CONNECT": b"CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n" + SMUGGLED,
    "two empty lines before": b"\r\n\r\n" + _GET + b"\r\n",
    # §2.2: lines
    "LF alone behind the request line": b"GET /text HTTP/1.1\nHost: h\r\n\r\n",
    "LF alone everywhere": b"GET /text HTTP/1.1\nHost: h\n\n" + SMUGGLED,
    "LF alone behind a field": _GET + b"X: 1\nY: 2\r\n\r\n",
    "LF alone as the empty line": _GET + b"\n" + SMUGGLED,
    "LF before CR LF": _GET + b"X: 1\n\r\n" + SMUGGLED,
    "CR alone behind the request line": b"GET /text HTTP/1.1\rHost: h\r\n\r\n",
    "CR alone behind a field": _GET + b"X: 1\rY: 2\r\n\r\n",
    "CR alone everywhere": b"GET /text HTTP/1.1\rHost: h\r\r",
    "CR CR LF": _GET + b"X: 1\r\r\n\r\n",
    "CR alone before the empty line": _GET + b"X: 1\r\n\r\r\n\r\n",
    "NUL in a field": field(b"X: a\0b"),
    "NUL in a name": field(b"X\0: a"),
    "NUL before the request": b"\0" + _GET + b"\r\n",
    # §5: fields
    "a space before the colon": field(b"X : 1"),
    "a tab before the colon": field(b"X\t: 1"),
    "a space in a name": field(b"X Y: 1"),
    "a space before a name": field(b" X: 1"),
    "a folded line": field(b"X: 1\r\n 2"),
    "a line folded with a tab": field(b"X: 1\r\n\t2"),
    "a folded first line": b"GET /text HTTP/1.1\r\n Host: h\r\n\r\n",
    "a line of one space": field(b"X: 1\r\n "),
    "a line without a colon": field(b"X"),
    "a field without a name": field(b": 1"),
    "a name with a bracket": field(b"X(: 1"),
    "a name with a slash": field(b"X/Y: 1"),
    "a name in quotes": field(b'"X": 1'),
    "a name with a high byte": field(b"X\xe9: 1"),
    "a name with a control character": field(b"X\x01: 1"),
    "a value with a control character": field(b"X: a\x01b"),
    "a value with an escape": field(b"X: a\x1b[2Jb"),
    "a value with DEL": field(b"X: a\x7fb"),
    "a value with a vertical tab": field(b"X: a\x0bb"),
    # §3.2: Host
    "no Host": b"GET /text HTTP/1.1\r\nX: 1\r\n\r\n",
    "two Hosts": field(b"Host: h2"),
    "two equal Hosts": field(b"Host: h"),
    "two Hosts in HTTP/1.0": b"GET /text HTTP/1.0\r\nHost: h\r\nHost: g\r\n\r\n",
    "a Host with a space": b"GET /text HTTP/1.1\r\nHost: h g\r\n\r\n",
    "a Host with a path": b"GET /text HTTP/1.1\r\nHost: h/x\r\n\r\n",
    "a Host with a user": b"GET /text HTTP/1.1\r\nHost: u@h\r\n\r\n",
    "a Host with two ports": b"GET /text HTTP/1.1\r\nHost: h:1:2\r\n\r\n",
    "a Host with a port that is none": b"GET /text HTTP/1.1\r\nHost: h:x\r\n\r\n",
    "a Host with a high byte": b"GET /text HTTP/1.1\r\nHost: h\xe9\r\n\r\n",
    "Hosts in a list": b"GET /text HTTP/1.1\r\nHost: h, g\r\n\r\n",
    # §6: how long the body is
    "a space behind Content-Length": framed(_LENGTH.replace(b":", b" :")),
    "a space behind Transfer-Encoding": chunked(b"0\r\n\r\n" + SMUGGLED, b"Transfer-Encoding : chunked\r\n" + _LENGTH),
    "two lengths that differ": framed(_LENGTH + b"Content-Length: 0\r\n"),
    "two lengths that do not differ": framed(_LENGTH + _LENGTH),
    "lengths in a list": framed(_LENGTH.replace(b"\r\n", b", 0\r\n")),
    "equal lengths in a list": framed(b"Content-Length: 4, 4\r\n"),
    "a length of 4_4": framed(b"Content-Length: 4_4\r\n"),
    "a length with a plus": framed(b"Content-Length: +4\r\n"),
    "a length with a minus": framed(b"Content-Length: -4\r\n"),
    "a length in hexadecimal": framed(b"Content-Length: 0x4\r\n"),
    "a length with a point": framed(b"Content-Length: 4.0\r\n"),
    "a length with an exponent": framed(b"Content-Length: 4e0\r\n"),
    "a length with a space": framed(b"Content-Length: 4 4\r\n"),
    "a length in quotes": framed(b'Content-Length: "4"\r\n'),
    "a length in other digits": framed(b"Content-Length: \xd9\xa4\r\n"),
    "an empty length": framed(b"Content-Length:\r\n"),
    "a length without an end": framed(b"Content-Length: " + b"9" * 25 + b"\r\n"),
    "a length behind a fold": framed(b"Content-Length:\r\n 4\r\n"),
    "a length whose name has _": framed(b"Content_Length: 4\r\n"),
    "both lengths": chunked(b"0\r\n\r\n" + SMUGGLED, b"Transfer-Encoding: chunked\r\n" + _LENGTH),
    "both lengths, the other way round": chunked(b"0\r\n\r\n" + SMUGGLED, _LENGTH + b"Transfer-Encoding: chunked\r\n"),
    "both lengths in HTTP/1.0": b"POST /upload HTTP/1.0\r\nTransfer-Encoding: chunked\r\n" + _LENGTH + b"\r\n0\r\n\r\n",
    "chunked in HTTP/1.0": b"POST /upload HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "chunked twice": framed(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
    "chunked twice in a list": framed(b"Transfer-Encoding: chunked, chunked\r\n"),
    "chunked and identity": framed(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"),
    "identity": framed(b"Transfer-Encoding: identity\r\n"),
    "gzip": framed(b"Transfer-Encoding: gzip\r\n"),
    "gzip and chunked": framed(b"Transfer-Encoding: gzip, chunked\r\n"),
    "chunked and gzip": framed(b"Transfer-Encoding: chunked, gzip\r\n"),
    "xchunked": framed(b"Transfer-Encoding: xchunked\r\n"),
    "chunked with a parameter": framed(b"Transfer-Encoding: chunked;q=1\r\n"),
    "chunked in quotes": framed(b'Transfer-Encoding: "chunked"\r\n'),
    "chunked with a vertical tab": framed(b"Transfer-Encoding: \x0bchunked\r\n"),
    "chunked with a comma": framed(b"Transfer-Encoding: , chunked\r\n"),
    "chunked by a name with _": framed(b"Transfer_Encoding: chunked\r\n"),
    "an empty coding": framed(b"Transfer-Encoding:\r\n"),
    "chunked behind a fold": framed(b"Transfer-Encoding:\r\n chunked\r\n"),
    "a HEAD with a body": b"HEAD /text HTTP/1.1\r\nHost: h\r\n" + _LENGTH + b"\r\n" + SMUGGLED,
    "a WebSocket with a body": _GET + b"Upgrade: websocket\r\nConnection: Upgrade\r\n" + _LENGTH + b"\r\n" + SMUGGLED,
    "a WebSocket in chunks": (
        _GET + b"Upgrade: websocket\r\nConnection: Upgrade\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED
    ),
}

_BODIES: dict[str, bytes] = {
    # §7.1: chunks; the head is good, and the application has begun
    "a size that is none": b"x\r\n",
    "an empty size": b"\r\nabc\r\n0\r\n\r\n",
    "a size with a plus": b"+3\r\nabc\r\n0\r\n\r\n",
    "a size with a minus": b"-3\r\nabc\r\n0\r\n\r\n",
    "a size with 0x": b"0x3\r\nabc\r\n0\r\n\r\n",
    "a size with _": b"0_3\r\nabc\r\n0\r\n\r\n",
    "a size with a space before": b" 3\r\nabc\r\n0\r\n\r\n",
    "a size with a space behind": b"3 \r\nabc\r\n0\r\n\r\n",
    "a size with a tab behind": b"3\t\r\nabc\r\n0\r\n\r\n",
    "a size that overflows": b"10000000000000003\r\nabc\r\n0\r\n\r\n",
    "a size with LF alone": b"3\nabc\r\n0\r\n\r\n",
    "a size with CR alone": b"3\rabc\r\n0\r\n\r\n",
    "a size with CR CR LF": b"3\r\r\nabc\r\n0\r\n\r\n",
    "a chunk that is longer": b"3\r\nabcd\r\n0\r\n\r\n",
    "a chunk that is shorter": b"3\r\nab\r\n0\r\n\r\n" + SMUGGLED,
    "a chunk that ends with LF": b"3\r\nabc\n0\r\n\r\n",
    "a chunk that ends with CR": b"3\r\nabc\r0\r\n\r\n",
    "a chunk without an end": b"3\r\nabc0\r\n\r\n",
    "an extension with LF alone": b"3;a\nabc\r\n0\r\n\r\n",
    "an extension with CR": b"3;a\rb\r\nabc\r\n0\r\n\r\n",
    "an extension with NUL": b"3;a=\0\r\nabc\r\n0\r\n\r\n",
    "an extension without a name": b"3;=1\r\nabc\r\n0\r\n\r\n",
    "an extension with a space": b"3 ;a\r\nabc\r\n0\r\n\r\n",
    "an extension with an open quote": b'3;a="x\r\nabc\r\n0\r\n\r\n',
    "an extension without an end": b"3;a=" + b"x" * 5000,
    "too many extensions": b"".join(b"1;a=%b\r\nx\r\n" % (b"y" * 900) for _ in range(30)) + b"0\r\n\r\n",
    "a last chunk with LF": b"3\r\nabc\r\n0\n\n" + SMUGGLED,
    "a trailer with a space before the colon": b"0\r\nX : 1\r\n\r\n",
    "a trailer without a colon": b"0\r\nX\r\n\r\n",
    "a folded trailer": b"0\r\nX: 1\r\n 2\r\n\r\n",
    "a trailer with LF alone": b"0\r\nX: 1\n\r\n" + SMUGGLED,
    "a trailer with NUL": b"0\r\nX: \0\r\n\r\n",
    "a trailer that is a length": b"0\r\nContent-Length: 3\r\n\r\n",
    "a trailer that is a coding": b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "a trailer without an end": b"0\r\nX: " + b"x" * 5000,
    "too many trailers": b"0\r\n" + b"X: 1\r\n" * 4000 + b"\r\n",
}

HEADS = _HEADS
BODIES = {name: chunked(body + SMUGGLED) for name, body in _BODIES.items()}
DOUBTFUL = {**HEADS, **BODIES}
