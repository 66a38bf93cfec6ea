"""`connect`: a client of a channel in Python, as its caller sees it. Every wait is the caller's own, in its own thread."""

from __future__ import annotations

import contextlib
import secrets
import ssl
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as ReplyTimeout
from types import TracebackType

from cometware.core.data import Data, encode
from cometware.core.entry import Position, event_name
from cometware.core.keys import is_key
from cometware.errors import Closed, Failed, Unreachable
from cometware.remote.keeping import Heard, Kept
from cometware.remote.ladder import Hop, Ladder
from cometware.remote.outbox import Said
from cometware.remote.route import Route

END_SECONDS = 5.0
"""How long the end of a client may take: what was said is handled, its threads are gone."""


def connect(
    url: str,
    transport: str = "auto",
    *,
    headers: Mapping[str, str] | None = None,
    after: Position | str | None = None,
    last: int = 0,
    key: str | None = None,
    receive: bool = True,
    timeout: float = 10.0,
    tls: ssl.SSLContext | None = None,
) -> Connection:
    """Connect to a channel that is served at `url`, and stay connected until `close`.

    `transport` is `auto` (the best that works), or one of `websocket`, `stream`, `sse`, `poll`. `headers` go with every
    request: `{"Cookie": "session=…"}` is how a user is known. `after` is the position to read on from; without it, at the
    end of the log, or `last` messages before. `key` is who this client is (22 to 86 characters of base64url): a new one
    unless given. With `receive=False` messages are passed over, and only replies are heard: for who only sends or asks.
    `timeout` is how many seconds the first connection may take, new tries included. `tls` replaces the system's trusted
    certificates. A proxy is taken from the environment (`https_proxy`, `no_proxy`).

    It may be used by several threads; call `close` at the end, or use it as a context manager.

    Raises:
        Unreachable: No channel answered in time.
        Refused: The server said no, with this HTTP status.
        Closed: The application closes this client.
        ValueError: The URL, the transport, the key or the position is none.
    """
    if key is not None and not is_key(key):
        raise ValueError(f"connect(key=…): expected 22 to 86 characters of base64url, got {len(key)} characters")
    if after is not None and Position.parse(str(after)) is None:
        raise ValueError(f"connect(after={after!r}): expected a position like 'ab3c4c35-7'")
    connection = Connection(
        Route(url, headers or {}, tls),
        Ladder(transport),
        key=key or secrets.token_urlsafe(24),
        after=None if after is None else str(after),
        last=last,
        receive=receive,
        timeout=timeout,
    )
    connection._start()
    return connection


class Connection(Kept):
    """A client of a channel. Iterate over it: each message comes once, in the channel's order.

    Made by `connect`. The loop ends after `close`, and raises what else ended the client: `Closed`, `Refused`.
    """

    def __iter__(self) -> Iterator[Heard]:
        return self

    def __next__(self) -> Heard:
        with self._lock:
            while not self._inbox:
                if self._end is not None:
                    if isinstance(self._end, Closed) and self._end.code == 1000:
                        raise StopIteration
                    raise self._end
                self._arrived.wait()
            self._taken.notify_all()
            return self._inbox.popleft()

    def receive(self, timeout: float | None = None) -> Heard:
        """Wait for the next message, at most `timeout` seconds.

        Raises:
            TimeoutError: None came.
            Closed, Refused: The client has ended.
        """
        with self._lock:
            if not self._arrived.wait_for(lambda: self._inbox or self._end is not None, timeout):
                raise TimeoutError(f"no message from {self._route.url} within {timeout} s")
            if not self._inbox:
                assert self._end is not None
                raise self._end
            self._taken.notify_all()
            return self._inbox.popleft()

    def send(self, data: Data, event: str = "message") -> None:
        """Say something to the application. It arrives once, in order, as soon as there is a connection.

        Does not wait. What goes wrong later comes as an `error` message; `ask` tells it, and what became of it, to you.

        Raises:
            Failed: Too much waits already (`full`), or it is over the server's limit (`size`).
            ValueError: The data is not what a message may hold, or the event's name is reserved.
            Closed, Refused: The client has ended.
        """
        self._say(Said(event_name(event), encode(data), None))

    def ask(self, event: str, data: Data = None, timeout: float = 60.0) -> Data:
        """Say something and return the application's reply: what its handler returned.

        Raises:
            Failed: The handler failed or refused, nobody handles this event, or history was lost meanwhile.
            TimeoutError: No reply within `timeout` seconds; it may still be handled.
            ValueError, Closed, Refused: As for `send`.
        """
        reply: Future[Data] = Future()
        self._say(Said(event_name(event), encode(data), reply))
        try:
            return reply.result(timeout)
        except ReplyTimeout:
            reply.cancel()
            raise TimeoutError(f"no reply to {event!r} from {self._route.url} within {timeout} s") from None

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything that was sent is handled. Is it?"""
        with self._lock:
            self._emptied.wait_for(lambda: not self._outbox or self._end is not None, timeout)
            return not self._outbox and self._end is None

    def use(self, transport: str) -> None:
        """Change to one transport and stay there; `auto` allows all again. Nothing is lost or doubled on the way.

        Raises:
            ValueError: There is no such transport.
        """
        with self._lock:
            self._ladder = Ladder(transport)
            if self._serving is not None:
                self._hop = Hop(0.0, self._ladder.names[0], "by hand" if self._ladder.is_forced else "upgrade")
                self._work.notify_all()

    def close(self, timeout: float = END_SECONDS) -> None:
        """Say goodbye, after what was sent is handled or `timeout` seconds are over. The application hears it at once."""
        if self._opened:
            self.flush(timeout)
        with self._lock:
            link = self._serving
            is_first = self._finish(Closed(1000), politely=True)
        if is_first or isinstance(self._end, Unreachable):
            with contextlib.suppress(OSError):
                self._say_goodbye(link)
        if link is not None:
            link.interrupt()
        for thread in self._threads:
            if thread is not threading.current_thread() and thread.ident is not None:
                thread.join(END_SECONDS)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close(0 if kind is not None else END_SECONDS)

    def __repr__(self) -> str:
        return f"<cometware.Connection to {self._route.url} by {self.transport or 'nothing'} at {self._place.after}>"

    def _start(self) -> None:
        for thread in self._threads:
            thread.start()
        try:
            with self._lock:
                self._arrived.wait_for(lambda: self._opened or self._end is not None)
                if self._end is not None:
                    raise self._end
        except BaseException:
            self.close(0)
            raise

    def _say(self, said: Said) -> None:
        size = len(said.written(2**53).encode())
        with self._lock:
            if self._end is not None:
                raise self._end
            if size > self._limit:
                raise Failed("size", f"a message of about {size} bytes; the server takes {self._limit}")
            self._outbox.put(said)
            self._work.notify_all()
