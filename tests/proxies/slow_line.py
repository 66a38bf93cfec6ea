"""A slow line as a program: `slow_line.py ROUND_TRIP_SECONDS PORT UPSTREAM_PORT`. Each byte takes half a round trip, each way.

A browser connects to it at once, as no line of this length would let it: so its first bytes take a whole round trip more.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter


async def carry(reader: Reader, writer: Writer, seconds: float, first_seconds: float = 0) -> None:
    """Hand on what comes, and its end, each as late as the line is long."""
    loop = asyncio.get_running_loop()
    line: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
    begin = loop.time() + first_seconds

    async def fill() -> None:
        block = b"first"
        while block:
            try:
                block = await reader.read(65536)
            except OSError:
                block = b""
            line.put_nowait((max(begin, loop.time()) + seconds, block))

    filling = asyncio.ensure_future(fill())
    try:
        while True:
            due, block = await line.get()
            await asyncio.sleep(due - loop.time())
            if not block:
                return
            writer.write(block)
            await writer.drain()
    finally:
        filling.cancel()
        writer.close()


async def serve(round_trip: float, port: int, upstream: int) -> None:
    async def connected(reader: Reader, writer: Writer) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", upstream)
        there = carry(reader, up_writer, round_trip / 2, round_trip)
        back = carry(up_reader, writer, round_trip / 2)
        with contextlib.suppress(OSError):
            await asyncio.gather(there, back, return_exceptions=True)

    server = await asyncio.start_server(connected, "127.0.0.1", port, backlog=512)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
