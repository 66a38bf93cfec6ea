"""`Client`: werkzeug's test client for the application, and connections to its channel beside it."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any

import werkzeug.test
from werkzeug.datastructures import Headers
from werkzeug.test import TestResponse

from cometware.middleware import Cometware
from cometware.testing.clock import Clock
from cometware.testing.connection import Connection
from cometware.testing.stage import InProcess, enter, find_middleware, in_process
from cometware.testing.transactions import kept_transactions


class Client(werkzeug.test.Client):
    """One visitor of an application with a channel, like a browser: its cookies are those of its requests and connections.

    `get`, `post`, `open`, `set_cookie` and the others are werkzeug's. To be used as a context manager, or ended by
    `close()`. `host` is the site's name; Django allows "testserver" in tests. `middleware` is the channel's, where it
    cannot be found in `app`.

    Several clients of one application share its channel and its clock. The channel is empty when the first one comes,
    whatever its store would be, and as it was before when the last one has gone. All runs in the thread of the test:
    views, handlers and hooks too, whatever `threads=` says.

    >>> from cometware import Channel, Cometware
    >>> def app(environ, start_response):
    ...     environ["cometware.channel"].publish("hello")
    ...     start_response("204 No Content", [])
    ...     return []
    >>> with Client(Cometware(app, Channel())) as client:
    ...     listener = client.connect("sse")
    ...     response = client.post("/anything")
    ...     listener.receive()
    'hello'

    Raises:
        ValueError: There is no channel in the application.
    """

    def __init__(self, app: Any, *, host: str = "localhost", middleware: Cometware | None = None) -> None:
        super().__init__(in_process(app))
        self.host = host
        self._connections: list[Connection] = []
        self._stage = enter(middleware or find_middleware(app))
        self._closed = False

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Drop all connections of this client. Its grace does not pass by that: for `on_close`, let them `leave` before."""
        if self._closed:
            return
        self._closed = True
        for connection in self._connections:
            connection._far.let_go()
        self._stage.leave()

    @property
    def clock(self) -> Clock:
        """The channel's time: `client.clock.advance(seconds)`."""
        return self._stage.clock

    @property
    def failures(self) -> list[BaseException]:
        """What the channel's handlers have raised so far (not `Refused`), oldest first; its log has the tracebacks."""
        return self._stage.failures

    def connect(
        self,
        transport: str = "websocket",
        *,
        plain: bool = False,
        key: str | None = None,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Connection:
        """Connect to the channel: by "websocket", "sse", "stream", "poll" or "jsonp".

        `plain`: as `new WebSocket(url)` or `new EventSource(url)` do. `key` makes it the client of that key; without one,
        it is a new client. `query` goes into the URL, like `{"last": 50}`, or `{"wait": 0}` for polls that are never held.
        `headers` go with each of its requests, like `{"Origin": "https://shop.example"}`.

        Raises:
            Refused: The application, or the channel, does not want it: with `status`, `reason`, `body`, `content_type`.
            ValueError: There is no such transport.
        """
        self._check_open()
        self._stage.settle()  # what the test did before, like `channel.revoke`, is not for the new connection
        connection = Connection(self, transport, plain=plain, key=key, query=query, headers=headers)
        self._connections.append(connection)
        connection.connect()
        return connection

    def open(self, *args: Any, buffered: bool = True, follow_redirects: bool = False, **kwargs: Any) -> TestResponse:
        """Make a request, as werkzeug's client does; when this returns, what it published has arrived.

        The answer is read to its end and closed, unless `buffered=False`.
        """
        if kwargs or len(args) != 1 or isinstance(args[0], str):
            kwargs.setdefault("base_url", f"http://{self.host}/")
        return super().open(*args, buffered=buffered, follow_redirects=follow_redirects, **kwargs)

    def set_cookie(self, key: str, value: str = "", *, domain: str | None = None, **options: Any) -> None:
        """Set a cookie, as werkzeug's client does; for this site unless told otherwise."""
        super().set_cookie(key, value, domain=domain or self.host.partition(":")[0], **options)

    def run_wsgi_app(self, environ: dict[str, Any], buffered: bool = False) -> tuple[Iterable[bytes], str, Headers]:
        """Run one request in this thread, and let happen what it has brought about."""
        self._check_open()
        with kept_transactions():
            answer = super().run_wsgi_app(environ, buffered)
        if "cometware.server" not in environ:  # a request of the test itself, not one of a connection
            self._stage.settle()
        return answer

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("this Client is closed: use it inside its `with` block, before close()")

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            warnings.warn(f"unclosed {self!r}: use it in a `with` block, or call close()", ResourceWarning, 2, self)

    def _request(
        self, method: str, server: InProcess, query: Mapping[str, Any], headers: Mapping[str, str], **body: Any
    ) -> TestResponse:
        """Make a request to the channel."""
        return self.open(
            self._stage.path,
            method=method,
            query_string=dict(query),
            headers=dict(headers),
            environ_overrides={"cometware.server": server},
            **body,
        )
