"""The wrapped application in native threads, so that what blocks in a view does not hold the event loop."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO, cast

import gevent
from gevent.threadpool import ThreadPool

from cometware.client import Environ
from cometware.core.text import is_length
from cometware.logs.base import real_lock

_AHEAD_BYTES = 1024 * 1024
"""A request's body up to this size is read before a thread is taken for it; a larger one as the application asks for it."""
_PIECE_BYTES = 16 * 1024
_PIECE_SECONDS = 60.0
"""How long a thread waits for the next piece of a body."""


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
        body = _body_of(environ)
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


def _body_of(environ: Environ) -> BinaryIO:
    """Return a request's body for its thread. A small one is read first, so that who sends it slowly holds no thread."""
    stream, length = environ["wsgi.input"], environ.get("CONTENT_LENGTH") or ""
    if is_length(length) and int(length) <= _AHEAD_BYTES:
        return io.BytesIO(stream.read(int(length)) if int(length) else b"")
    if is_length(length) or (environ.get("wsgi.input_terminated") and environ.get("HTTP_TRANSFER_ENCODING")):
        left = int(length) if is_length(length) else None
        return cast("BinaryIO", io.BufferedReader(_Body(stream, left), _PIECE_BYTES))
    return io.BytesIO()


class _Body(io.RawIOBase):
    """A body that is read by greenlets of the server's loop, a piece at a time, while the thread that asks for it waits.

    `left` is how many bytes there are; None, if the stream itself knows its end. Nothing is read that was not asked for: an
    application that refuses by the head of a request never sees the body.
    """

    def __init__(self, stream: Any, left: int | None) -> None:
        self._stream = stream
        self._left = left
        self._loop = gevent.get_hub().loop

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = min(len(buffer), _PIECE_BYTES if self._left is None else self._left)
        data = self._read(size) if size else b""
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
                with gevent.Timeout(_PIECE_SECONDS, TimeoutError(f"no piece of the request's body for {_PIECE_SECONDS:g} s")):
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
