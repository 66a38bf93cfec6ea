"""Many clients of a worker that is killed, and what they see when they come to another one, all at once."""

from __future__ import annotations

import os
import secrets
import select
import signal
import socket
import time
from dataclasses import dataclass, field
from typing import Any

from benchmarks.clients import WebSocket, text
from benchmarks.load import STALL_SECONDS, Faults
from benchmarks.servers import SHARING, running
from cometware import Channel, Limits

BEFORE, MISSED = 5, 10
"""Messages that each has had before, and those that are published while it is nowhere."""


@dataclass
class Resumption:
    """`commands` are those that the clients cost Redis; `cpu` is the other worker's, `busy` our own share of a core."""

    seconds: float = 0.0
    cpu: float = 0.0
    busy: float = 0.0
    commands: int = 0
    faults: Faults = field(default_factory=Faults)


class Returning(WebSocket):
    """It waits neither for its connection, which a kernel with a full queue may keep for seconds, nor for the answer."""

    __slots__ = ("is_in", "path")

    def __init__(self, port: int, path: str) -> None:
        self.path, self.is_in = path, False
        self.next, self.rest, self.missing = 1, b"", set()
        self.lost = self.doubled = self.reordered = 0
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.sock.connect_ex(("127.0.0.1", port))

    def on_readable(self) -> None:
        if self.is_in:
            super().on_readable()
            return
        self.rest += self._more()
        head, end, rest = self.rest.partition(b"\r\n\r\n")
        if not end:
            return
        if not head.startswith(b"HTTP/1.1 101"):
            raise ConnectionError(f"got {head[:200]!r}")
        self.is_in = True
        piece = self.piece(rest)
        self.rest = piece.rest
        self.count(piece.numbers)


def resume(url: str, count: int, redis: Any) -> Resumption:
    """Have clients at a worker, kill it, and have them all at another one, as they would come from a page."""
    channel = Channel(url, limits=Limits(store_seconds=60, rates=None))
    keys = [secrets.token_urlsafe(18) for _ in range(count)]
    cores = os.sched_getaffinity(0)
    with running(SHARING, cores, url) as dying, running(SHARING, cores, url) as other:
        begin = channel.position
        clients = [Returning(dying.port, f"/comet?key={key}&after={begin}") for key in keys]
        # Somebody is at the other one before, so that its first lease, and what it looks through then, is not counted
        guest = Returning(other.port, f"/comet?key={secrets.token_urlsafe(18)}&after={begin}")
        for number in range(1, BEFORE + 1):
            position = channel.publish(text("B", number).decode())
        _hear([*clients, guest], BEFORE)
        other.settle()
        redis.config_resetstat()
        cpu, busy, killed = other.cpu_seconds, time.process_time(), time.monotonic()
        os.kill(dying.pid, signal.SIGKILL)
        for number in range(BEFORE + 1, BEFORE + MISSED + 1):
            channel.publish(text("B", number).decode())
        for client in clients:
            client.close()
        clients = _come_back(other.port, keys, str(position))
        _hear(clients, BEFORE + MISSED)
        found = Resumption(time.monotonic() - killed, other.cpu_seconds - cpu)
        found.busy = (time.process_time() - busy) / found.seconds
        # What concerns a client is HGET, or a script that runs one HGET itself
        found.commands = redis.info("commandstats").get("cmdstat_hget", {}).get("calls", 0)
        for client in clients:
            found.faults.add(Faults(client.lost + BEFORE + MISSED + 1 - client.next, client.doubled, client.reordered))
            client.close()
        guest.close()
        os.kill(other.pid, signal.SIGKILL)  # its end is not what is measured
        channel.log.close()
        return found


def _come_back(port: int, keys: list[str], position: str) -> list[Returning]:
    clients: list[Returning] = []
    for key in keys:
        client = Returning(port, f"/comet?key={key}&after={position}")
        client.next = BEFORE + 1
        clients.append(client)
    return clients


def _hear(clients: list[Returning], last: int) -> None:
    """Read until all have heard this message."""
    waiting = {client.sock.fileno(): client for client in clients if client.next <= last}
    with select.epoll() as epoll:
        for descriptor in waiting:
            epoll.register(descriptor, select.EPOLLOUT)
        while waiting:
            events = epoll.poll(STALL_SECONDS, len(waiting))
            if not events:
                return
            for descriptor, event in events:
                client = waiting[descriptor]
                if event == select.EPOLLOUT:  # it is connected
                    client.ask(client.path, client.opening)
                    epoll.modify(descriptor, select.EPOLLIN)
                    continue
                client.on_readable()
                if client.next > last:
                    epoll.unregister(descriptor)
                    del waiting[descriptor]
