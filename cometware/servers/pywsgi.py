"""Our own handler for `gevent.pywsgi.WSGIServer`: the channel parks its connections, and what comes in is read by the letter.

It derives from gevent-websocket's handler, so that a legacy application keeps its `environ["wsgi.websocket"]`; but 101 is
said at its first use, and until then the application may still answer 401 or 404. Heads and bodies are read by our own
modules (`core.request`, `servers.body`), strictly, in time and in turns; answers are written by gevent's.
"""

from __future__ import annotations

import contextlib
import errno
import io
import re
import socket
import time
from _socket import socket as RawSocket
from email.utils import formatdate
from http.client import HTTPMessage
from ssl import SSLError
from typing import Any
from urllib.parse import unquote

import gevent
from gevent.pywsgi import WSGIHandler
from geventwebsocket.exceptions import WebSocketError
from geventwebsocket.handler import Client, WebSocketHandler
from geventwebsocket.websocket import Stream, WebSocket

from cometware.core.events import Close
from cometware.core.masking import masked
from cometware.core.request import BadHead, Head, add_fields, parse
from cometware.core.text import shown
from cometware.limits import Limits
from cometware.response import NOSNIFF
from cometware.servers.base import Parking, Taken, take_socket
from cometware.servers.body import Body, NoBody
from cometware.servers.doors import REFUSAL, doors
from cometware.servers.incoming import Incoming
from cometware.servers.messages import Messages
from cometware.servers.tls import is_tls, wrapped
from cometware.transports.report import report, tell
from cometware.transports.websocket import handshake, websocket_headers

_CROWDED = "if it is a proxy of yours, let it say for whom it speaks: Cometware(addresses=…); see Rates.connections_at_once"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_WEBSOCKET_KEY = re.compile(r"[A-Za-z0-9+/]{22}==\Z")
_LINGER_SECONDS = 2.0
"""How long a refused body is read on after its answer."""
LOGGED_BYTES = 8192
_GONE = (errno.EPIPE, errno.ECONNRESET, errno.ECONNABORTED, errno.ETIMEDOUT, errno.ENOTCONN, errno.ESHUTDOWN)
"""What a socket says whose client has gone: nobody's fault, and no traceback."""


class Handler(Parking, WebSocketHandler):  # type: ignore[misc]
    """Serve with `WSGIServer(address, app, handler_class=cometware.Handler)`.

    `head_seconds` is how long a request's head may take to arrive once it has begun, `keep_alive_seconds` how long a
    connection may wait for its next request. A head may have `max_head_bytes` in all, `max_request_line_bytes` in its first
    line (414) and `max_head_fields` behind it (431). How long a body may take, the channel's `Limits` say.

    `raw_head` is the request as it came, where it is known.
    """

    name = "pywsgi"

    head_seconds = 20.0
    keep_alive_seconds = 75.0
    max_request_line_bytes = 8192
    max_head_bytes = 65536
    max_head_fields = 100
    ignored_socket_errors = _GONE

    taken = False
    result: Any
    rfile: Incoming
    wsgi_input: Body | NoBody = NoBody()
    """The body of the request; gevent's server discards what is left of it."""
    _head: Head | None = None
    _is_new = True
    """Is no request of this connection known yet?"""

    def __init__(self, sock: Any, address: Any, server: Any, rfile: Incoming | None = None) -> None:
        super().__init__(sock, address, server, Incoming(sock) if rfile is None else rfile)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    # One request

    def handle(self) -> None:
        if not doors.enter(self, str(self.client_address[0]) if isinstance(self.client_address, tuple) else ""):
            self._turn_away()
            return
        try:
            if is_tls(self.socket):
                self._shake_hands()
            super().handle()
        except OSError as error:
            if error.errno not in _GONE and not isinstance(error, SSLError | TimeoutError):
                raise
        finally:
            doors.leave(self)

    def _shake_hands(self) -> None:
        """Begin TLS, unless the server has waited for that.

        Raises:
            OSError: It takes too long, or is none.
        """
        try:
            with gevent.Timeout(self.head_seconds, TimeoutError):
                self.socket.do_handshake()
        except OSError:
            self.socket.close()
            raise

    def _turn_away(self) -> None:
        """There are too many of this address: not even its request is read."""
        address = self.client_address[0]
        tell("too many connections of an address", f"429: {doors.most} connections from {address}, and one more; {_CROWDED}")
        with contextlib.suppress(OSError), contextlib.closing(self.socket):
            self.socket.setblocking(False)
            self.socket.send(REFUSAL)
            self.socket.shutdown(socket.SHUT_WR)

    def handle_one_request(self) -> bool | None:
        """Answer the next request. Is there to be another one on this connection? None: it ends."""
        rfile = self.rfile
        self.requestline = ""
        try:
            if not rfile.wait(self.keep_alive_seconds):
                return None
            data = rfile.take_head(self.head_seconds, self.max_request_line_bytes, self.max_head_bytes)
            self.requestline = data[: data.find(b"\r\n")].decode("latin-1")
            self._head = head = parse(data, self.max_head_fields)
        except BadHead as bad:
            self._refuse(bad.status, bad.why)
            return None
        except TimeoutError:
            self._refuse("408 Request Timeout", f"a head slower than Handler.head_seconds={self.head_seconds:g}")
            return None
        except OSError:
            return None
        self.command, self.path, self.request_version = head.method, head.target, head.version
        self.close_connection = not head.keep_alive
        self.content_length = head.length
        self.environ = self.get_environ()
        self.application = self.server.application
        try:
            self.handle_one_response()
        finally:
            self.raw_head = None
        return None if self.close_connection or self.taken else True

    def _refuse(self, status: str, why: str) -> None:
        """Say what is wrong with a request, and end its connection: where the next one begins, nobody knows."""
        self.time_finish = time.time()
        self.environ, self._head = {}, None
        try:
            self._say_refused(status, why)
        finally:
            self.log_request()
        self._read_on()

    def _say_refused(self, status: str, why: str) -> None:
        sender = self.client_address[0] if isinstance(self.client_address, tuple) else self.client_address or "a local client"
        tell(f"a request that is none: {status}", f"refused a request of {sender} with {status}: {why}")
        body = f"{why}\n".encode()
        kind = ("Content-Type: text/plain; charset=utf-8", ": ".join(NOSNIFF))
        lines = ("Connection: close", *kind, f"Content-Length: {len(body)}")
        answer = "\r\n".join((f"HTTP/1.1 {status}", *lines, f"Date: {formatdate(usegmt=True)}", "", "")).encode() + body
        self.status, self._orig_status, self.code = status.encode(), status, int(status[:3])
        self.headers_sent = self.close_connection = True
        self._sendall(answer)

    def handle_one_response(self) -> None:
        super().handle_one_response()
        if not self.wsgi_input.is_done:
            self.close_connection = True
            self._read_on()

    def run_application(self) -> None:
        self._run_application()
        if self.close_connection:
            self.wsgi_input.leave()

    def _handle_client_error(self, ex: Exception) -> None:
        """The application has let the body's error through: it is told once, by what answers it."""

    def _send_error_response_if_possible(self, error_code: int) -> None:
        failed = self.wsgi_input.failed
        if failed is None or error_code != 400 or self.response_length:
            super()._send_error_response_if_possible(error_code)
        else:
            self._say_refused(failed.status, failed.why)

    def _read_on(self) -> None:
        """Leave what is unread of the body, but read it for a while: a reset would take the answer from the client
        (RFC 9112 §9.6)."""
        with contextlib.suppress(OSError), gevent.Timeout(_LINGER_SECONDS, False):
            self.socket.shutdown(socket.SHUT_WR)
            while self.rfile.skip():
                pass

    @property
    def headers(self) -> HTTPMessage:
        """The request's fields, as gevent's own handler has them."""
        found = HTTPMessage()
        for key, value in () if self._head is None else self._head.fields:
            found[key.removeprefix("HTTP_").replace("_", "-").title()] = value
        return found

    # What the middleware finds in the environ

    def get_environ(self) -> dict[str, Any]:
        """Make the WSGI environ, as gevent's own handler does; and `RAW_URI`, the target as it came."""
        head = self._head
        assert head is not None
        environ: dict[str, Any] = self.server.get_environ()
        environ["REQUEST_METHOD"] = head.method
        environ["SCRIPT_NAME"] = ""
        environ["PATH_INFO"] = unquote(head.path, "latin-1") if "%" in head.path else head.path
        environ["QUERY_STRING"] = head.query
        environ["RAW_URI"] = head.target
        environ["SERVER_PROTOCOL"] = head.version
        if isinstance(self.client_address, tuple):
            environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = str(self.client_address[0]), str(self.client_address[1])
        add_fields(environ, head.fields)
        if self._is_new:
            self._is_new = False
            doors.heard(self, environ)
        environ["cometware.server"] = self
        environ["wsgi.input_terminated"] = not head.is_websocket
        if head.chunked or head.length:
            self.wsgi_input = body = Body(self, head.length, expects=head.expects_continue)
            environ["wsgi.input"] = io.BufferedReader(body)
        else:
            self.wsgi_input = NoBody()
            environ["wsgi.input"] = self.rfile if head.is_websocket else io.BytesIO()
        return environ

    def say_continue(self) -> None:
        if not self.headers_sent:
            self.socket.sendall(_CONTINUE)

    def take(self, environ: dict[str, Any]) -> Taken:
        """Detach the socket; what the server still does with it then meets nothing."""
        sock, decrypted = take_socket(self.socket)
        self.wsgi_input = NoBody()
        self.taken = True
        return Taken(sock, self.rfile.rest() + decrypted, _Resumption(type(self), self.server, self.client_address))

    def start_response(self, status: str, headers: Any, exc_info: Any = None) -> Any:
        websocket = self.environ.get("wsgi.websocket")
        if self.taken or (isinstance(websocket, DeferredWebSocket) and websocket.started):
            return lambda data: None
        return WSGIHandler.start_response(self, status, headers, exc_info)

    def finalize_headers(self) -> None:
        if self.wsgi_input.is_lost:
            self.close_connection = True
        super().finalize_headers()
        ends = self.close_connection and self.request_version == "HTTP/1.1"
        if ends and not any(name.lower() == b"connection" for name, _ in self.response_headers):
            self.response_headers.append((b"Connection", b"close"))

    def handle_error(self, kind: Any, error: Any, trace: Any) -> None:
        """An application's failure is told as our own are: masked, once, and then as a number."""
        if not issubclass(kind, gevent.GreenletExit):
            report(str(self.requestline))
        self._send_error_response_if_possible(500)

    def format_request(self) -> str:
        """Write the line of the access log, but no bearer: whoever reads a client's key is that client. Nor is there a
        character in it that is more than text to a terminal."""
        self.requestline = shown(self.requestline or "", LOGGED_BYTES).replace('"', '\\"')
        return masked(str(super().format_request()))

    def log_request(self) -> None:
        if not self.taken:
            WSGIHandler.log_request(self)

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
        if self.taken:
            for _ in self.result:
                pass  # what a wrapper adds has nowhere to go
            return
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


class DeferredWebSocket(WebSocket):  # type: ignore[misc]
    """gevent-websocket's object, whose 101 is said at its first use, and whose close says its code."""

    __slots__ = ("_close_code", "_messages", "_subprotocols", "started")

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
        self._messages: Messages | None = None
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
        handler = self.handler
        if self._messages is None:
            self._messages = Messages(handler.rfile, handler.socket.sendall, handler.limits or Limits())
        try:
            message = self._messages.next()
        except EOFError:
            raise WebSocketError("Unexpected EOF while reading a message") from None
        if isinstance(message, Close):
            self.close(*message)
            return None
        return message

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
        sock = wrapped(raw)
        handler = self.handler_class(sock, self.address, self.server, Incoming(sock, data))
        handler.raw_head = data
        handler.handle()
