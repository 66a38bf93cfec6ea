"""How to get to a channel: its URL, the proxy of the environment, TLS, the caller's headers. No state of a client."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import socket
import ssl
import threading
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import SplitResult, unquote, urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

from cometware.core.masking import masked_error, masked_url

_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}


class Refusal(Exception):
    """The server answered with another status than the one that was wanted."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        super().__init__(status)
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type") or "text/plain"

    @property
    def error(self) -> dict[str, Any]:
        """The channel's own error; empty, if somebody else answered."""
        return error_of(self.body)

    @property
    def retry_seconds(self) -> float:
        return seconds(self.headers.get("retry-after"))

    def __str__(self) -> str:
        message = self.error.get("message")
        if message is None and 300 <= self.status < 400:
            message = f"it points to {self.headers.get('location')}: use that URL"
        if message is None:
            message = shorten(self.body.decode("utf-8", "replace"))
        return f"HTTP {self.status}: {message}" if message else f"HTTP {self.status}"


class Answer(NamedTuple):
    """A whole HTTP answer; the names of its headers are in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def error_of(body: bytes) -> dict[str, Any]:
    """Read the channel's own error from a body; empty, if it has none."""
    try:
        error = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        return {}
    return error if isinstance(error, dict) else {}


def lowered(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers}


def seconds(text: str | None) -> float:
    """Read `Retry-After` (RFC 9110 §10.2.3): seconds, at most an hour; a date counts as nothing."""
    return min(float(text), 3600.0) if text and text.isascii() and text.isdigit() else 0.0


def shorten(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 200 else line[:200] + "…"


class Route:
    """The way to a URL. Query parameters that the URL has stay in it.

    Raises:
        ValueError: The URL is none of http, https, ws or wss; or the environment names a proxy that speaks no HTTP.
    """

    def __init__(self, url: str, headers: Mapping[str, str], tls: ssl.SSLContext | None) -> None:
        self.url = masked_url(url)
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise ValueError(f"connect({self.url!r}): {masked_error(str(error), url)}") from None
        if parts.scheme not in _SCHEMES or not parts.hostname:
            raise ValueError(f"connect({self.url!r}): expected a URL like https://example.org/comet")
        self.headers = dict(headers)
        self._parts = parts._replace(scheme=_SCHEMES[parts.scheme], fragment="")
        self._secure = self._parts.scheme == "https"
        self._tls = tls or (ssl.create_default_context() if self._secure else None)
        self._host = parts.hostname
        self._port = port or (443 if self._secure else 80)
        self._proxy = _proxy_for(self._parts.scheme, self._host)

    def query(self, **parameters: object) -> str:
        """Return the request's target path with these parameters behind those that the URL has; None leaves one out."""
        own = urlencode({name: value for name, value in parameters.items() if value is not None})
        query = "&".join(part for part in (self._parts.query, own) if part)
        return (self._parts.path or "/") + ("?" + query if query else "")

    def websocket_url(self, target: str) -> str:
        return f"{'wss' if self._secure else 'ws'}://{self._parts.netloc.rpartition('@')[2]}{target}"

    def connection(self, timeout: float) -> http.client.HTTPConnection:
        """Return a connection for requests, not yet open."""
        return self._connection(timeout, tunnel=self._secure)

    def socket(self, timeout: float) -> socket.socket:
        """Connect, through a tunnel if there is a proxy, and return the socket: for what is not HTTP.

        Raises:
            OSError: It cannot be reached, or TLS does not trust it.
        """
        connection = self._connection(timeout, tunnel=True)
        with as_os_errors():
            connection.connect()
        sock: socket.socket = connection.sock
        return sock

    def target(self, path: str) -> str:
        """Return what the request line names: a proxy needs the whole URL (RFC 9112 §3.2.2)."""
        if self._proxy is None or self._secure:
            return path
        return f"http://{self._parts.netloc.rpartition('@')[2]}{path}"

    def proxy_headers(self) -> dict[str, str]:
        return _proxy_authorization(self._proxy) if self._proxy is not None and not self._secure else {}

    def _connection(self, timeout: float, *, tunnel: bool) -> http.client.HTTPConnection:
        host, port = self._host, self._port
        if self._proxy is not None:
            host, port = self._proxy.hostname or "", self._proxy.port or 80
        connection: http.client.HTTPConnection
        if self._secure:
            connection = http.client.HTTPSConnection(host, port, timeout=timeout, context=self._tls)
        else:
            connection = http.client.HTTPConnection(host, port, timeout=timeout)
        if self._proxy is not None and tunnel:
            connection.set_tunnel(self._host, self._port, _proxy_authorization(self._proxy))
        return connection


def _proxy_for(scheme: str, host: str) -> SplitResult | None:
    proxies = getproxies()
    url = proxies.get(scheme) or proxies.get("all")
    if not url or proxy_bypass(host):
        return None
    proxy = urlsplit(url if "://" in url else "http://" + url)
    if proxy.scheme != "http":
        raise ValueError(f"the environment's {scheme}_proxy is {masked_url(url)!r}: expected a proxy like http://host:port")
    return proxy


def _proxy_authorization(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    text = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": "Basic " + base64.b64encode(text.encode()).decode()}


class Asker:
    """One HTTP connection that is kept alive, for one request after the other. `interrupt` may come from any thread.

    What is asked must be harmless twice: a server may close a connection that waits just when a request is sent on it.
    """

    def __init__(self, route: Route, headers: Mapping[str, str]) -> None:
        self._route = route
        self._headers = dict(headers) | route.proxy_headers()
        self._connection: http.client.HTTPConnection | None = None
        self._sock: socket.socket | None = None
        self._response: http.client.HTTPResponse | None = None
        self._interrupted = False
        self._busy = threading.Lock()

    def begin(self, method: str, path: str, timeout: float, body: bytes | None = None) -> http.client.HTTPResponse:
        """Send a request and return its answer as soon as its head is there.

        Raises:
            OSError: The connection failed, or nothing came for `timeout` seconds.
        """
        used = self._connection
        if used is not None:
            try:
                return self._exchange(used, method, path, timeout, body)
            except TimeoutError:
                raise
            except OSError:
                if self._interrupted:
                    raise
                self.close()
        with as_os_errors():
            self._connection = self._route.connection(timeout)
            self._connection.connect()
        self._sock = self._connection.sock
        return self._exchange(self._connection, method, path, timeout, body)

    def _exchange(
        self, connection: http.client.HTTPConnection, method: str, path: str, timeout: float, body: bytes | None
    ) -> http.client.HTTPResponse:
        if self._interrupted:
            raise ConnectionAbortedError("interrupted")
        with as_os_errors():
            self.patience(timeout)
            connection.request(method, self._route.target(path), body, self._headers)
            self._response = connection.getresponse()
            return self._response

    def ask(self, method: str, path: str, timeout: float, body: bytes | None = None) -> Answer:
        """Send a request and return its whole answer."""
        try:
            with self._busy, as_os_errors():
                response = self.begin(method, path, timeout, body)
                return Answer(response.status, lowered(response.getheaders()), response.read())
        finally:
            if self._interrupted:
                self.end()

    def patience(self, timeout: float) -> None:
        """How many seconds one read may take from now on."""
        if self._sock is not None:
            self._sock.settimeout(timeout)

    def interrupt(self) -> None:
        """Make whoever waits here fail."""
        self._interrupted = True
        shut(self._sock)

    def end(self) -> None:
        """Interrupt, and close as soon as nobody waits here: from any thread."""
        self.interrupt()
        if self._busy.acquire(blocking=False):
            self.close()
            self._busy.release()

    def close(self) -> None:
        if self._response is not None:
            self._response.close()  # the last one on its connection owns the socket
        if self._connection is not None:
            self._connection.close()
        self._response = self._connection = self._sock = None


def shut(sock: socket.socket | None) -> None:
    """End both directions of a socket: a thread that reads from it sees its end, which `close` would not tell it."""
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def as_os_errors() -> Any:
    """Let everything that a connection can do wrong be an OSError."""
    try:
        yield
    except http.client.HTTPException as error:
        if isinstance(error, OSError):
            raise
        raise ConnectionError(f"no HTTP answer: {error!r}") from error
    except (AttributeError, ValueError) as error:  # http.client, when its socket is closed from elsewhere
        raise ConnectionAbortedError(str(error)) from error
