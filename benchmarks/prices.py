"""`python -m benchmarks.prices [KIND…]`: what a stranger's requests cost the server: for each one, and for each byte of it.

Rule: the server's own CPU by the scheduler's clock, for short requests and for long ones of the same kind; the difference is
the price of a byte, what is left is the price of a request. Nothing over 1 µs for each byte that a stranger sends.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Mapping, Sequence

import click

from benchmarks.attacks import UPGRADE, post
from benchmarks.servers import COMETWARE, Server, cores, running

MICRO = 1e6
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")


def _get(target: str, fields: str = "") -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n".encode("latin-1")


def _fresh(item: str, count: int, number: int) -> str:
    """Repeat an item, with an end that was not there before: nothing is remembered of it."""
    return ",".join([*[item] * count, f"x/{number}"])


KINDS: Mapping[str, tuple[Callable[[int, int], bytes], int]] = {
    "a view": (lambda size, number: _get("/" + "?" * size), 7000),
    "a poll": (lambda size, number: _get("/comet?transport=poll&wait=0&x=" + "x" * size), 7000),
    "query names": (lambda size, number: _get(f"/comet?transport=poll&wait=0&{number}" + "&a" * (size // 2)), 7000),
    "query escapes": (lambda size, number: _get(f"/comet?transport=poll&wait=0&{number}" + "&%" * (size // 2)), 7000),
    "a fresh Accept": (lambda size, number: _get("/comet?wait=0", f"Accept: {_fresh('a/b', size // 4, number)}\r\n"), 60_000),
    "a fresh Accept of ours": (
        lambda size, number: _get(
            "/comet?wait=0", f"Accept: {_fresh('text/html;q=0.1,application/json', size // 33, number)}\r\n"
        ),
        60_000,
    ),
    "fields": (lambda size, number: _get("/comet?wait=0", "a:\r\n" * (size // 4)), 380),
    "long fields": (lambda size, number: _get("/comet?wait=0", f"X: {'a' * size}\r\n"), 60_000),
    "cookies": (lambda size, number: _get("/comet?wait=0", f"Cookie: {'a=b; ' * (size // 5)}\r\n"), 60_000),
    "Connection": (lambda size, number: _get("/comet?wait=0", f"Connection: {',' * size}{number}\r\n"), 60_000),
    "a refused head of CRs": (lambda size, number: _get("/", "X: " + "\r" * size + "\r\n"), 60_000),
    "a refused line": (lambda size, number: b"G" * size + b" / HTTP/1.1\r\nHost: a\r\n\r\n", 8000),
    "a POST": (lambda size, number: post(b"/comet", b"x" * size), 900_000),
    "a POST in chunks of one byte": (
        lambda size, number: (
            b"POST /comet HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
            + b"1\r\nx\r\n" * (size // 6)
            + b"0\r\n\r\n"
        ),
        600_000,
    ),
    "a form": (
        lambda size, number: post(b"/comet?v=1", b"d=%5B%5D&" + b"%41" * (size // 3), b"application/x-www-form-urlencoded"),
        600_000,
    ),
    "a Content-Type": (lambda size, number: post(b"/comet", b"", b"text/plain;" + b"a=b;" * (size // 4)), 60_000),
    "subprotocols": (
        lambda size, number: UPGRADE[:-2] + b"Sec-WebSocket-Protocol: " + b"a," * (size // 2) + b"b\r\nComet-Key: x\r\n\r\n",
        60_000,
    ),
}
"""How a request of each kind is written, of so many bytes beyond the least and by its number; and how long a long one is."""


def ask(port: int, message: bytes, sock: socket.socket | None) -> socket.socket | None:
    """Send one request and read its answer; return the connection if it goes on."""
    sock = sock or socket.create_connection(("127.0.0.1", port), 60)
    sock.sendall(message)
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(65536)
        if not more:
            raise ConnectionError(f"closed after {data!r}")
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    length = _LENGTH.search(head)
    while length and len(rest) < int(length[1]):
        rest += sock.recv(65536)
    if b"\r\nConnection: close" in head:
        sock.close()
        return None
    return sock


def spent(server: Server, write: Callable[[int, int], bytes], size: int, count: int) -> tuple[float, float]:
    """Return the seconds of CPU and the bytes of one request of this size."""
    sock = ask(server.port, write(size, 10**6), None)
    server.settle()
    before, total = server.cpu_seconds, 0
    for number in range(count):
        message = write(size, number + size)
        total += len(message)
        sock = ask(server.port, message, sock)
    after = server.cpu_seconds
    if sock is not None:
        sock.close()
    return (after - before) / count, total / count


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", nargs=-1, metavar="[KIND]…")
@click.option("--count", default=200, show_default=True, help="How many requests; a tenth of it, where they are long.")
def main(names: Sequence[str], count: int) -> None:
    """Weigh requests of strangers: µs of the server's CPU for each request, and for each byte of it."""
    print("| kind | µs for each request | µs for each byte |\n|---|---|---|", flush=True)
    with running(COMETWARE, cores()[0]) as server:
        for name in names or KINDS:
            write, size = KINDS[name]
            short, short_bytes = spent(server, write, 0, count)
            long, long_bytes = spent(server, write, size, count if size < 10_000 else max(10, count // 10))
            byte = (long - short) / (long_bytes - short_bytes)
            fixed = short - byte * short_bytes
            print(f"| {name} | {MICRO * fixed:.0f} | {MICRO * byte:.3f}{' !' if MICRO * byte > 1 else ''} |", flush=True)


if __name__ == "__main__":
    main()
