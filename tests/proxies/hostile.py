"""A proxy that misbehaves in one way, as a program: `hostile.py FAULT PORT UPSTREAM_PORT`.

It serves one request for each connection and closes, so that it never has to find where a message ends; only
`cuts-idle` knows nothing of HTTP and leaves connections as they are.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import socket
import struct
import sys
from collections.abc import AsyncIterator, Awaitable, Callable

IDLE_SECONDS = 2.0
BLOCK_BYTES = 65536
MAX_HEAD_BYTES = 65536

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter
Fault = Callable[[Reader, Writer, int], Awaitable[None]]


# --- The head of a message -------------------------------------------------------------------------------


def wants_upgrade(head: bytes) -> bool:
    return re.search(rb"\r\nupgrade:", head, re.IGNORECASE) is not None


def without(head: bytes, *names: str) -> bytes:
    """Return the head without the header fields of these names."""
    pattern = "|".join(map(re.escape, names)).encode()
    return re.sub(rb"\r\n(?:" + pattern + rb"):[^\r\n]*", b"", head, flags=re.IGNORECASE)


def closing(head: bytes) -> bytes:
    """Return the head with `Connection: close`, the last message of its connection."""
    return without(head, "Connection", "Keep-Alive")[:-2] + b"Connection: close\r\n\r\n"


# --- Moving bytes ----------------------------------------------------------------------------------------


async def pump(reader: Reader, writer: Writer, moved: Callable[[], None] = lambda: None) -> None:
    """Hand on what comes, until it ends."""
    while block := await reader.read(BLOCK_BYTES):
        moved()
        writer.write(block)
        await writer.drain()


@contextlib.asynccontextmanager
async def upstream_of(port: int) -> AsyncIterator[tuple[Reader, Writer]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=MAX_HEAD_BYTES)
    try:
        yield reader, writer
    finally:
        writer.close()


async def until_one_ends(*jobs: Awaitable[None]) -> None:
    """Run the jobs until the first of them ends, then end the others."""
    tasks = [asyncio.ensure_future(job) for job in jobs]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def reset(writer: Writer) -> None:
    """Close the connection with a RST instead of a FIN."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def forward(head: bytes, reader: Reader, writer: Writer, upstream: int) -> None:
    """Hand the request on, and its response as it comes; an Upgrade passes."""
    upgrade = wants_upgrade(head)
    async with upstream_of(upstream) as (up_reader, up_writer):
        up_writer.write(head if upgrade else closing(head))

        async def answer() -> None:
            answered = await up_reader.readuntil(b"\r\n\r\n")
            writer.write(answered if upgrade and answered[9:12] == b"101" else closing(answered))
            await pump(up_reader, writer)

        await until_one_ends(pump(reader, up_writer), answer())


# --- The faults ------------------------------------------------------------------------------------------


async def swallows_upgrade(reader: Reader, writer: Writer, upstream: int) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    if wants_upgrade(head):
        await reader.read()
    else:
        await forward(head, reader, writer, upstream)


async def answers_200_to_upgrade(reader: Reader, writer: Writer, upstream: int) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    if wants_upgrade(head):
        page = b"<!DOCTYPE html><title>Welcome</title><p>Please accept our terms of use."
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n")
        writer.write(b"Content-Length: %d\r\n\r\n%s" % (len(page), page))
    else:
        await forward(head, reader, writer, upstream)


async def stores_and_forwards(reader: Reader, writer: Writer, upstream: int) -> None:
    head = without(await reader.readuntil(b"\r\n\r\n"), "Upgrade")
    async with upstream_of(upstream) as (up_reader, up_writer):
        up_writer.write(closing(head))
        stored = bytearray()

        async def store() -> None:
            stored.extend(closing(await up_reader.readuntil(b"\r\n\r\n")))
            stored.extend(await up_reader.read())

        await until_one_ends(pump(reader, up_writer), store())
        writer.write(stored)


async def cuts_idle(reader: Reader, writer: Writer, upstream: int) -> None:
    loop = asyncio.get_running_loop()
    last = loop.time()

    def moved() -> None:
        nonlocal last
        last = loop.time()

    async def watch() -> None:
        while (left := last + IDLE_SECONDS - loop.time()) > 0:
            await asyncio.sleep(left)

    async with upstream_of(upstream) as (up_reader, up_writer):
        await until_one_ends(pump(reader, up_writer, moved), pump(up_reader, writer, moved), watch())


def resets_every_third() -> Fault:
    requests = itertools.count(1)

    async def fault(reader: Reader, writer: Writer, upstream: int) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        number = next(requests)
        if number % 3:
            await forward(head, reader, writer, upstream)
        elif number % 2:  # The server never sees it.
            reset(writer)
        else:  # The server has answered, but nobody hears it.
            async with upstream_of(upstream) as (up_reader, up_writer):
                up_writer.write(head if wants_upgrade(head) else closing(head))

                async def answer() -> None:
                    await up_reader.readuntil(b"\r\n\r\n")

                await until_one_ends(pump(reader, up_writer), answer())
            reset(writer)

    return fault


FAULTS: dict[str, Fault] = {
    "swallows-upgrade": swallows_upgrade,
    "answers-200-to-upgrade": answers_200_to_upgrade,
    "stores-and-forwards": stores_and_forwards,
    "cuts-idle": cuts_idle,
    "resets-every-third": resets_every_third(),
}


async def serve(fault: Fault, port: int, upstream: int) -> None:
    async def connected(reader: Reader, writer: Writer) -> None:
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await fault(reader, writer, upstream)
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", port, limit=MAX_HEAD_BYTES, backlog=512)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(FAULTS[sys.argv[1]], int(sys.argv[2]), int(sys.argv[3])))
