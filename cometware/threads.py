"""The wrapped application in native threads, so that what blocks in a view does not hold the event loop."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from time import monotonic
from typing import Any, BinaryIO, cast

import gevent
from gevent.lock import BoundedSemaphore
from gevent.threadpool import ThreadPool

from cometware.client import Environ
from cometware.limits import Limits
from cometware.logs.base import real_lock
from cometware.transports.pieces import read_pieces

_AHEAD_BYTES = 1024 * 1024
"""A request's body up to this size is read before a thread is taken for it; a larger one as the application asks for it."""
_PIECE_BYTES = 16 * 1024


class InThreads:
    """A WSGI application that runs another one in a pool of threads.

    Its body is read, and its answer written, by the greenlet that serves the connection: sockets of gevent belong to the
    thread of their loop. A thread that waits for a body is a stranger's to hold, so half of them at most may; whoever sends
    another large body waits for its turn without a thread.
    """

    def __init__(self, app: Any, threads: int, limits: Limits | None = None) -> None:
        self._app = app
        self._threads = threads
        self._limits = limits or Limits()
        self._pool: ThreadPool | None = None
        self._process = 0

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        pool = self._pool_here()
        try:
            body = self._body_of(environ)
        except TimeoutError:
            start_response("408 Request Timeout", [("Connection", "close"), ("Content-Length", "0")])
            return []
        answer = _Answer(self._app, {**environ, "wsgi.input": body, "wsgi.multithread": True})
        place = self._readers if isinstance(body, io.BufferedReader) else nullcontext()
        with place:
            try:
                chunks = _apply(pool, answer.begin)
            except BaseException:
                _apply(pool, answer.close)
                raise
        if answer.head is None:
            _apply(pool, answer.close)
            raise AssertionError("the application did not call start_response() before its first output")
        write = start_response(*answer.head)
        for data in answer.written:
            write(data)
        if isinstance(chunks, list | tuple):
            body.close()
            return chunks
        return _Rest(pool, answer, chunks, place)

    def _pool_here(self) -> ThreadPool:
        """Return the threads of this process; made at the first request, and again after a fork."""
        if self._pool is None or self._process != os.getpid():
            self._pool, self._process = ThreadPool(self._threads), os.getpid()
            self._readers = BoundedSemaphore(max(1, self._threads // 2))
        return self._pool

    def _body_of(self, environ: Environ) -> BinaryIO:
        """Return a request's body for its thread. A small one is read first: who sends it slowly holds no thread."""
        stream, length = environ["wsgi.input"], environ.get("CONTENT_LENGTH") or ""
        if length.isdigit() and int(length) <= _AHEAD_BYTES:
            with _Clock(self._limits).running(int(length)):
                return io.BytesIO(b"".join(read_pieces(stream, int(length))))
        if length.isdigit() or (environ.get("wsgi.input_terminated") and environ.get("HTTP_TRANSFER_ENCODING")):
            left = int(length) if length.isdigit() else None
            return cast("BinaryIO", io.BufferedReader(_Body(stream, left, _Clock(self._limits)), _PIECE_BYTES))
        return io.BytesIO()


def _apply(pool: ThreadPool, function: Callable[[], Any]) -> Any:
    """Run a function in a thread and wait for it. Who asked is told what it raises, and tells it; the pool does not, too."""

    def attempt() -> tuple[Any, BaseException | None]:
        try:
            return function(), None
        except BaseException as error:
            return None, error

    result, error = pool.apply(attempt)
    if error is not None:
        raise error
    return result


class _Answer:
    """What the application does in its thread: `head` and `written` are told to the server by the greenlet."""

    def __init__(self, app: Any, environ: Environ) -> None:
        self._app = app
        self.environ = environ
        self.head: tuple[Any, ...] | None = None
        self.written: list[bytes] = []
        self._is_certain = False
        self._result: Any = None
        self._chunks: Iterator[bytes] = iter(())

    def begin(self) -> Any:
        """Run the application up to its first output, since only then its head is certain."""
        self._result = self._app(self.environ, self._start_response)
        if isinstance(self._result, list | tuple):
            return self._result
        self._chunks = iter(self._result)
        first = self.next()
        self._is_certain = True
        return first

    def next(self) -> bytes | None:
        return next(self._chunks, None)

    def close(self) -> None:
        close = getattr(self._result, "close", None)
        if close is not None:
            close()
        self.environ["wsgi.input"].close()

    def _start_response(self, status: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], None]:
        """Take a head, or another one after an error; behind the first output the error is raised again (PEP 3333)."""
        if self.head is not None and exc_info is None:
            raise AssertionError("start_response was called a second time without exc_info")
        if self._is_certain and exc_info is not None:
            raise exc_info[1].with_traceback(exc_info[2])
        self.head = (status, headers) if exc_info is None else (status, headers, exc_info)
        return self.written.append


class _Rest:
    """The output behind the first piece, each piece made in a thread."""

    def __init__(self, pool: ThreadPool, answer: _Answer, first: bytes | None, place: Any) -> None:
        self._pool = pool
        self._place = place
        self._answer = answer
        self._next: bytes | None = first

    def __iter__(self) -> Iterator[bytes]:
        while self._next is not None:
            yield self._next
            with self._place:
                self._next = _apply(self._pool, self._answer.next)

    def close(self) -> None:
        _apply(self._pool, self._answer.close)


class _Clock:
    """How long a body may take: `body_seconds`, and longer as long as it comes at `body_bytes_per_second` in all."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._began = monotonic()

    def running(self, received: int) -> Any:
        """Return a context that ends in a TimeoutError when so many bytes have taken too long."""
        seconds, rate = self._limits.body_seconds, self._limits.body_bytes_per_second
        error = TimeoutError(f"a body slower than Limits.body_seconds={seconds:g} and body_bytes_per_second={rate}")
        return gevent.Timeout(max(0.0, self._began + seconds + received / rate - monotonic()), error)


class _Body(io.RawIOBase):
    """A body that is read by greenlets of the server's loop, a piece at a time, while the thread that asks for it waits.

    `left` is how many bytes there are; None, if the stream itself knows its end. Nothing is read that was not asked for: an
    application that refuses by the head of a request never sees the body.
    """

    def __init__(self, stream: Any, left: int | None, clock: _Clock) -> None:
        self._stream = stream
        self._left = left
        self._clock = clock
        self._received = 0
        self._loop = gevent.get_hub().loop

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = min(len(buffer), _PIECE_BYTES if self._left is None else self._left)
        data = self._read(size) if size else b""
        self._received += len(data)
        if self._left is not None:
            self._left = self._left - len(data) if data else 0
        buffer[: len(data)] = data
        return len(data)

    def _read(self, size: int) -> bytes:
        """Let a greenlet of the loop read, and wait for it; only a real lock may be waited for in any thread."""
        results: list[bytes | BaseException] = []
        done: Any = real_lock()
        done.acquire()

        def read() -> None:
            try:
                with self._clock.running(self._received + size):
                    results.append(self._stream.read(size))
            except BaseException as error:
                results.append(error)
            finally:
                done.release()

        self._loop.run_callback_threadsafe(gevent.spawn, read)
        done.acquire()
        (result,) = results
        if isinstance(result, BaseException):
            raise result
        return result
