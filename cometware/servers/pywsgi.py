"""Our own handler for `gevent.pywsgi.WSGIServer`: the channel parks its connections, everything else is as it was.

It derives from gevent-websocket's handler, so that a legacy application keeps its `environ["wsgi.websocket"]`; but 101 is
said at its first use, and until then the application may still answer 401 or 404.
"""

from __future__ import annotations

import contextlib
import io
import re
import socket
from _socket import socket as RawSocket
from typing import Any

import gevent
import gevent.socket
from gevent.pywsgi import Input, WSGIHandler
from geventwebsocket.handler import Client, WebSocketHandler
from geventwebsocket.websocket import Stream, WebSocket

from cometware.core.masking import masked
from cometware.servers.base import Parking, Taken
from cometware.transports.websocket import handshake, websocket_headers

_REQUEST_TIMEOUT = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


_WEBSOCKET_KEY = re.compile(r"[A-Za-z0-9+/]{22}==\Z")
_LINGER_SECONDS = 2.0
"""How long a refused body is read on after its answer."""


class Handler(Parking, WebSocketHandler):  # type: ignore[misc]
    """Serve with `WSGIServer(address, app, handler_class=cometware.Handler)`.

    `head_seconds` is how long a request's head may take to arrive once it has begun, `keep_alive_seconds` how long a
    connection may wait for its next request. `raw_head` is the request as it came, where it is known.
    """

    name = "pywsgi"

    head_seconds = 20.0
    keep_alive_seconds = 75.0

    taken = False
    result: Any
    wsgi_input: Input

    def __init__(self, sock: Any, address: Any, server: Any, rfile: Any = None) -> None:
        super().__init__(sock, address, server, rfile)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    # A request's head may not take for ever

    def handle_one_request(self) -> Any:
        try:
            return super().handle_one_request()
        except _TooSlow:
            return "408", _REQUEST_TIMEOUT
        finally:
            self.raw_head = None

    def read_requestline(self) -> str:
        begun = b""
        with gevent.Timeout(self.keep_alive_seconds, False):
            begun = self.rfile.peek(1)
        if not begun:
            return ""
        with gevent.Timeout(self.head_seconds, _TooSlow):
            return str(super().read_requestline())

    def read_request(self, raw_requestline: str) -> Any:
        with gevent.Timeout(self.head_seconds, _TooSlow):
            return super().read_request(raw_requestline)

    def _handle_client_error(self, ex: Exception) -> Any:
        if isinstance(ex, _TooSlow):
            raise ex
        if not isinstance(ex, ValueError):
            ex = ValueError(*ex.args)  # whatever it is, a stranger's bytes brought it about: no traceback for them
        return super()._handle_client_error(ex)

    def _connection_upgrade_requested(self) -> bool:
        """Many proxies say `Connection: upgrade` on every request; only a WebSocket's has no body to be read."""
        return bool(self.command == "GET" and self.headers.get("Upgrade", "").lower() == "websocket")

    # What the middleware finds in the environ

    def get_environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environ()
        environ["cometware.server"] = self
        return environ

    def take(self, environ: dict[str, Any]) -> Taken:
        """Detach the socket; what the server still does with it then meets nothing."""
        self.socket.setblocking(False)
        early = self.rfile.read1(65536) or b""
        sock = RawSocket(fileno=self.socket.detach())
        self.rfile.close()
        self.wsgi_input = Input(self.rfile, 0)  # of a request's body, nothing is left to be discarded
        self.taken = True
        return Taken(sock, early, _Resumption(type(self), self.server, self.client_address))

    def start_response(self, status: str, headers: Any, exc_info: Any = None) -> Any:
        websocket = self.environ.get("wsgi.websocket")
        if isinstance(websocket, DeferredWebSocket) and websocket.started:
            return lambda data: None
        return WSGIHandler.start_response(self, status, headers, exc_info)

    def finalize_headers(self) -> None:
        super().finalize_headers()
        ends = self.close_connection and self.request_version == "HTTP/1.1"
        if ends and not any(name.lower() == b"connection" for name, _ in self.response_headers):
            self.response_headers.append((b"Connection", b"close"))

    def format_request(self) -> str:
        """Write the line of the access log, but no bearer: whoever reads a client's key is that client."""
        return masked(str(super().format_request()))

    def log_request(self) -> None:
        if not self.taken:
            WSGIHandler.log_request(self)

    # A body that nobody wants may not take for ever either

    def run_application(self) -> None:
        self._run_application()
        if self.close_connection and not self.taken:
            self._linger()

    def _linger(self) -> None:
        """Leave what is unread of the body, but read it for a while: a reset would take the answer from the client
        (RFC 9112 §9.6)."""
        body = self.wsgi_input
        if body.chunk_length != 0 if body.chunked_input else body.position < (body.content_length or 0):
            with contextlib.suppress(OSError), gevent.Timeout(_LINGER_SECONDS, False):
                self.socket.shutdown(socket.SHUT_WR)
                while self.rfile.read1(65536):
                    pass
            self.wsgi_input = Input(self.rfile, 0)

    # The WebSocket endpoints that the wrapped application has of its own

    def _run_application(self) -> None:
        upgrade = self.environ.get("HTTP_UPGRADE", "").lower() == "websocket"
        if not upgrade or self.environ["REQUEST_METHOD"] != "GET":
            WSGIHandler.run_application(self)
            return
        websocket = self._offer()
        if websocket is None:
            WSGIHandler.run_application(self)
            return
        try:
            WSGIHandler.run_application(self)
        finally:
            self._end(websocket)

    def _offer(self) -> DeferredWebSocket | None:
        environ = self.environ
        offered = environ.get("HTTP_SEC_WEBSOCKET_PROTOCOL", "")
        application: Any = getattr(self.application, "app", self.application)  # what the middleware wraps
        allowed = []
        if hasattr(application, "app_protocol"):
            allowed = [application.app_protocol(environ["PATH_INFO"]) or ""]
        if not _is_handshake(environ):
            return None
        websocket = DeferredWebSocket(environ, Stream(self), self, allowed if offered else [])
        environ["wsgi.websocket"] = websocket
        environ["wsgi.websocket_version"] = environ["HTTP_SEC_WEBSOCKET_VERSION"]
        return websocket

    def accept_websocket(self, status: str, headers: list[tuple[str, str]]) -> None:
        """Say 101, now that the application uses its WebSocket."""
        WSGIHandler.start_response(self, status, headers)
        self.provided_date = True
        self.provided_content_length = False
        self.close_connection = True
        self._write_with_headers(b"")
        clients = self.server.__dict__.setdefault("clients", {})
        clients[self.client_address] = Client(self.client_address, self.environ["wsgi.websocket"])

    def process_result(self) -> None:
        websocket = self.environ.get("wsgi.websocket")
        if not isinstance(websocket, DeferredWebSocket):
            WSGIHandler.process_result(self)
            return
        for data in self.result:
            if data and not websocket.started:
                self.write(data)
        if not websocket.started:
            self.result = ()
            WSGIHandler.process_result(self)

    def _end(self, websocket: DeferredWebSocket) -> None:
        self.environ["wsgi.websocket"] = None
        if websocket.started:
            getattr(self.server, "clients", {}).pop(self.client_address, None)
            if not websocket.closed:
                websocket.close()
            self.response_use_chunked = False
        websocket.closed = True


def _is_handshake(environ: dict[str, Any]) -> bool:
    """Would `handshake` agree? Asked of every upgrade, of which few are for the application itself."""
    return (
        environ.get("SERVER_PROTOCOL") == "HTTP/1.1"
        and "upgrade" in environ.get("HTTP_CONNECTION", "").lower()
        and environ.get("HTTP_SEC_WEBSOCKET_VERSION") == "13"
        and _WEBSOCKET_KEY.match(environ.get("HTTP_SEC_WEBSOCKET_KEY", "")) is not None
    )


class _TooSlow(Exception):
    """A request did not arrive in time."""


class DeferredWebSocket(WebSocket):  # type: ignore[misc]
    """gevent-websocket's object, whose 101 is said at its first use, and whose close says its code."""

    __slots__ = ("_close_code", "_subprotocols", "started")

    def __init__(
        self,
        environ: dict[str, Any],
        stream: Stream,
        handler: Handler,
        subprotocols: list[str],
    ) -> None:
        self.started = False
        self._subprotocols = subprotocols
        self._close_code = 1000
        super().__init__(environ, stream, handler)

    def __del__(self) -> None:
        if self.started:
            super().__del__()

    def _start(self) -> None:
        if not self.started and not self.closed:
            self.started = True
            path, headers = self.environ["PATH_INFO"], websocket_headers(self.environ)
            self.handler.accept_websocket(*handshake(path, headers, self._subprotocols, native=False))

    def receive(self) -> Any:
        self._start()
        return super().receive()

    def read_message(self) -> Any:
        self._start()
        return super().read_message()

    def send_frame(self, message: Any, opcode: int) -> None:
        self._start()
        if opcode == self.OPCODE_CLOSE:
            message = self._close_code.to_bytes(2, "big") + message
        super().send_frame(message, opcode)

    def close(self, code: int = 1000, message: str | bytes | None = "") -> None:
        self._close_code = code
        super().close(code, message if isinstance(message, str) else bytes(message or b"").decode("utf-8", "replace"))


class _Resumption:
    """Lets the server serve a connection again, in a fresh handler and a greenlet of its own."""

    __slots__ = ("address", "handler_class", "scope", "server")

    def __init__(self, handler_class: type[Handler], server: Any, address: Any) -> None:
        self.handler_class = handler_class
        self.server = server
        self.address = address
        host = address[0] if isinstance(address, tuple) else ""
        self.scope = f"{id(server)} {host}".encode()

    def __call__(self, sock: RawSocket, data: bytes) -> None:
        gevent.spawn(self._serve, sock, data)

    def _serve(self, raw: RawSocket, data: bytes) -> None:
        sock = gevent.socket.socket(fileno=raw.detach())
        sock.setblocking(True)
        rfile = io.BufferedReader(_Resumed(sock, data))
        handler = self.handler_class(sock, self.address, self.server, rfile)
        handler.raw_head = data
        handler.handle()


class _Resumed(io.RawIOBase):
    """Reads the bytes that were read before, then the socket."""

    def __init__(self, sock: Any, data: bytes) -> None:
        self._sock = sock
        self._data = data

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._data:
            size = min(len(buffer), len(self._data))
            buffer[:size] = self._data[:size]
            self._data = self._data[size:]
            return size
        try:
            return int(self._sock.recv_into(buffer))
        except BlockingIOError:
            return None
