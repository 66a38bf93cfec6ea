"""The wrapped application in native threads, so that what blocks in a view does not hold the event loop."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from gevent.threadpool import ThreadPool

from cometware.client import Environ

_SPOOL_BYTES = 1024 * 1024
"""A request's body up to this size waits in memory for its thread, a larger one in a file."""


class InThreads:
    """A WSGI application that runs another one in a pool of threads.

    Its body is read, and its answer written, by the greenlet that serves the connection: sockets of gevent belong to the
    thread of their loop.
    """

    def __init__(self, app: Any, threads: int) -> None:
        self._app = app
        self._threads = threads
        self._pool: ThreadPool | None = None
        self._process = 0

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        body = tempfile.SpooledTemporaryFile(_SPOOL_BYTES)  # noqa: SIM115 (closed with the answer)
        _spool(environ, body)
        answer = _Answer(self._app, {**environ, "wsgi.input": body, "wsgi.multithread": True})
        pool = self._pool_here()
        try:
            chunks = pool.apply(answer.begin)
        except BaseException:
            pool.apply(answer.close)
            raise
        if answer.head is None:
            pool.apply(answer.close)
            raise AssertionError("the application did not call start_response() before its first output")
        write = start_response(*answer.head)
        for data in answer.written:
            write(data)
        if isinstance(chunks, list | tuple):
            body.close()
            return chunks
        return _Rest(pool, answer, chunks)

    def _pool_here(self) -> ThreadPool:
        """Return the threads of this process; made at the first request, and again after a fork."""
        if self._pool is None or self._process != os.getpid():
            self._pool, self._process = ThreadPool(self._threads), os.getpid()
        return self._pool


class _Answer:
    """What the application does in its thread: `head` and `written` are told to the server by the greenlet."""

    def __init__(self, app: Any, environ: Environ) -> None:
        self._app = app
        self.environ = environ
        self.head: tuple[Any, ...] | None = None
        self.written: list[bytes] = []
        self._result: Any = None
        self._chunks: Iterator[bytes] = iter(())

    def begin(self) -> Any:
        """Run the application up to its first output, since only then its head is certain."""
        self._result = self._app(self.environ, self._start_response)
        if isinstance(self._result, list | tuple):
            return self._result
        self._chunks = iter(self._result)
        return self.next()

    def next(self) -> bytes | None:
        return next(self._chunks, None)

    def close(self) -> None:
        close = getattr(self._result, "close", None)
        if close is not None:
            close()
        self.environ["wsgi.input"].close()

    def _start_response(self, *head: Any) -> Callable[[bytes], None]:
        self.head = head
        return self.written.append


class _Rest:
    """The output behind the first piece, each piece made in a thread."""

    def __init__(self, pool: ThreadPool, answer: _Answer, first: bytes | None) -> None:
        self._pool = pool
        self._answer = answer
        self._next: bytes | None = first

    def __iter__(self) -> Iterator[bytes]:
        while self._next is not None:
            yield self._next
            self._next = self._pool.apply(self._answer.next)

    def close(self) -> None:
        self._pool.apply(self._answer.close)


def _spool(environ: Environ, body: Any) -> None:
    """Read the whole body of a request."""
    stream, length = environ["wsgi.input"], environ.get("CONTENT_LENGTH") or ""
    if length.isdigit():
        left = int(length)
    elif environ.get("wsgi.input_terminated") and environ.get("HTTP_TRANSFER_ENCODING"):
        left = -1
    else:
        left = 0
    while left:
        data = stream.read(65536 if left < 0 else min(left, 65536))
        if not data:
            break
        body.write(data)
        left -= len(data) if left > 0 else 0
    body.seek(0)
