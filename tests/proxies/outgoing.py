"""A proxy on the client's side, as a company has it: CONNECT, and requests for whole URLs. It wants a name and a password."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future

from hostile import Reader, Writer, closing, pump, until_one_ends, upstream_of, without

CREDENTIALS = "ann:s@cret"


class Outgoing:
    """`port` is where it listens; `seen` are the first lines of the requests that it let pass. All hosts are `upstream`."""

    def __init__(self, upstream: int) -> None:
        self.upstream = upstream
        self.port = 0
        self.seen: list[str] = []

    async def serve(self, reader: Reader, writer: Writer) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError), contextlib.closing(writer):
            head = await reader.readuntil(b"\r\n\r\n")
            line = head.partition(b"\r\n")[0].decode()
            expected = base64.b64encode(CREDENTIALS.encode())
            if b"Proxy-Authorization: Basic " + expected not in head:
                writer.write(b"HTTP/1.1 407 Who are you?\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
                return
            self.seen.append(line)
            async with upstream_of(self.upstream) as (up_reader, up_writer):
                if line.startswith("CONNECT "):
                    writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
                else:
                    method, url, version = line.split(" ")
                    path = "/" + url.removeprefix("http://").partition("/")[2]
                    rest = without(head, "Proxy-Authorization").partition(b"\r\n")[2]
                    up_writer.write(closing(f"{method} {path} {version}\r\n".encode() + rest))
                await until_one_ends(pump(reader, up_writer), pump(up_reader, writer))


@contextlib.contextmanager
def outgoing(upstream: int) -> Iterator[Outgoing]:
    """Run it in a thread for the length of the block."""
    proxy, started = Outgoing(upstream), Future[Callable[[], object]]()

    async def run() -> None:
        loop, stopped = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
        proxy.port = server.sockets[0].getsockname()[1]
        started.set_result(lambda: loop.call_soon_threadsafe(stopped.set))
        await stopped.wait()
        server.close()

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    stop = started.result(60)
    try:
        yield proxy
    finally:
        stop()
        thread.join()
