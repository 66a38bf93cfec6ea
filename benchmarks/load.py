"""The load: many clients of one server in one process with one epoll, fast enough not to be what is measured.

Rule: `Tally.busy` tells how much of a core the load itself took; a figure with more than 0.9 measures the load.
"""

from __future__ import annotations

import gc
import http.client
import select
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from benchmarks.clients import Client, Visitor, WebSocket, text
from benchmarks.servers import Server

STALL_SECONDS = 15.0
"""A message that has not arrived by then is counted as lost."""
ATTEND_SECONDS = 5.0
"""How often those who are there already are attended to while others come: a held poll or a heartbeat waits for 20 or so."""
_EVENTS = 512


@dataclass
class Tally:
    """What a round came to. Times in seconds; `cpu` is the server's, `busy` the load's share of a core."""

    count: int
    seconds: float
    cpu: float
    busy: float
    times: list[float] = field(default_factory=list)
    """How long each took, where that was asked for; sorted."""

    @property
    def cpu_each(self) -> float:
        return self.cpu / self.count

    def percentile(self, percent: int) -> float:
        return self.times[min(len(self.times) - 1, len(self.times) * percent // 100)]


@dataclass
class Faults:
    """What must be nothing."""

    lost: int = 0
    doubled: int = 0
    reordered: int = 0

    def add(self, other: Faults) -> None:
        self.lost += other.lost
        self.doubled += other.doubled
        self.reordered += other.reordered

    def __bool__(self) -> bool:
        return bool(self.lost or self.doubled or self.reordered)

    def __str__(self) -> str:
        return f"{self.lost}/{self.doubled}/{self.reordered}"


Opener = Callable[[int], Client]


class Crowd:
    """Clients of one server, and one that publishes; it hears the messages, too. They come when the block begins.

    `meanwhile` is called now and then while they come. It must attend to the crowds that are there already: what those do
    not answer in time ends their connections.
    """

    def __init__(
        self,
        server: Server,
        count: int,
        opener: Opener,
        publisher: Callable[[int], WebSocket] | None,
        meanwhile: Callable[[], object] = lambda: None,
    ) -> None:
        self.server = server
        self._count = count
        self._opener = opener
        self._open_publisher = publisher
        self._publisher: WebSocket | None = None
        self._meanwhile = meanwhile
        self._epoll = select.epoll()
        self._clients: dict[int, Client] = {}
        self._published = 0
        self._unanswered = 0
        self._standing: dict[int, int] = {}
        """How many clients wait for each number."""

    def __enter__(self) -> Crowd:
        try:
            self._open()
        except BaseException:
            self.close()
            raise
        self.server.settle()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self.server.settle()

    def _open(self) -> None:
        attended = time.perf_counter()
        for _ in range(self._count):
            self._add(self._opener(self.server.port))
            if time.perf_counter() - attended >= ATTEND_SECONDS:
                self._meanwhile()
                self.idle()
                attended = time.perf_counter()
        if self._open_publisher is not None:
            self._publisher = self._open_publisher(self.server.port)
            self._add(self._publisher)

    def close(self) -> None:
        for client in self._clients.values():
            client.close()
        self._epoll.close()

    def _add(self, client: Client) -> None:
        self._clients[client.sock.fileno()] = client
        self._standing[client.next] = self._standing.get(client.next, 0) + 1
        self._epoll.register(client.sock, select.EPOLLIN)

    @property
    def faults(self) -> Faults:
        """Add up what went wrong so far. Call it when all that was sent should have arrived."""
        faults = Faults(lost=self._unanswered)
        for client in self._clients.values():
            missing = max(0, self._published + 1 - client.next)
            faults.add(Faults(client.lost + missing, client.doubled, client.reordered))
        return faults

    def idle(self) -> None:
        """Answer what the servers' heartbeats ask, between two rounds."""
        while self._turn(0.01):
            pass

    def _turn(self, wait_seconds: float, times: list[tuple[int, int, float]] | None = None) -> int:
        """Let each client read that can. Returns how many did; `times` gets whose numbers moved on from where to where."""
        clients, standing = self._clients, self._standing
        events = self._epoll.poll(wait_seconds, _EVENTS)
        for fd, _ in events:
            client = clients[fd]
            before = client.next
            client.on_readable()
            after = client.next
            if after != before:
                standing[before] -= 1
                if not standing[before]:
                    del standing[before]
                standing[after] = standing.get(after, 0) + 1
                if times is not None:
                    now = time.perf_counter()
                    times += [(fd, number, now) for number in range(before, after)]
        return len(events)

    def _in_flight(self) -> int:
        return self._published + 1 - min(self._standing)

    def _publish(self, count: int) -> None:
        assert self._publisher is not None
        first = self._published + 1
        self._published += count
        self._publisher.send([text("B", number) for number in range(first, first + count)])

    @contextmanager
    def _weighed(self) -> Iterator[Tally]:
        """Weigh a round: what the block counts, and what it took."""
        tally = Tally(0, 0.0, 0.0, 0.0)
        self.idle()
        gc.collect()
        gc.disable()
        try:
            cpu, begin, busy = self.server.cpu_seconds, time.perf_counter(), time.process_time()
            yield tally
            tally.seconds = time.perf_counter() - begin
            tally.busy = (time.process_time() - busy) / tally.seconds
            tally.cpu = self.server.cpu_seconds - cpu
            tally.times.sort()
        finally:
            gc.enable()

    # Rounds

    def flood(self, seconds: float, window: int, visitor: Visitor | None = None) -> Tally:
        """Publish as fast as the slowest client hears it, with so many messages on their way at most."""
        published = self._published
        with self._weighed() as tally:
            if visitor is not None:
                visitor.visit()
            end = time.perf_counter() + seconds
            stalled = end + STALL_SECONDS
            while (in_flight := self._in_flight()) or time.perf_counter() < end:
                if in_flight < window and time.perf_counter() < end:
                    self._publish(window - in_flight)
                if self._turn(1.0):
                    stalled = time.perf_counter() + STALL_SECONDS
                elif time.perf_counter() > stalled:
                    break
            tally.count = (self._published - published) * sum(self._standing.values())
        return tally

    def disturb(self, seconds: float, window: int) -> Tally:
        """Flood, while a visitor asks for a page of the application; `times` tells how long that took."""
        fd = (visitor := Visitor(self.server.port, "/")).sock.fileno()
        self._clients[fd] = visitor
        self._epoll.register(fd, select.EPOLLIN)
        tally = self.flood(seconds, window, visitor)
        tally.times = sorted(visitor.finish())
        self._epoll.unregister(fd)
        del self._clients[fd]
        visitor.close()
        return tally

    def pace(self, seconds: float, per_second: float) -> Tally:
        """Publish at leisure; `times` tells how long each message took to each client, from when it was due."""
        first = self._published + 1
        times: list[tuple[int, int, float]] = []
        with self._weighed() as tally:
            begin = time.perf_counter()
            for index in range(max(1, round(seconds * per_second))):
                due = begin + index / per_second
                while (wait := due - time.perf_counter()) > 0:
                    self._turn(wait, times)
                self._publish(1)
            while self._in_flight() and time.perf_counter() < due + STALL_SECONDS:
                self._turn(1.0, times)
            tally.count = len(times)
            tally.times = [now - begin - (number - first) / per_second for _, number, now in times]
        return tally

    def echo(self, seconds: float) -> Tally:
        """Let each client send a message when it has got its last one back."""
        with self._weighed() as tally:
            begin = time.perf_counter()
            end = begin + seconds
            sent: dict[int, float] = {}
            for fd, client in self._clients.items():
                sent[fd] = time.perf_counter()
                client.send([text("E", client.next)])
            while sent:
                arrived: list[tuple[int, int, float]] = []
                if not self._turn(STALL_SECONDS, arrived):
                    break
                for fd, number, now in arrived:
                    tally.times.append(now - sent.pop(fd))
                    if now < end:
                        sent[fd] = time.perf_counter()
                        self._clients[fd].send([text("E", number + 1)])
            tally.count = len(tally.times)
            self._unanswered += len(sent)
        return tally

    def visit(self, seconds: float) -> Tally:
        """Let visitors ask for a page of the application again and again; `times` tells how long each took."""
        visitors = [client for client in self._clients.values() if isinstance(client, Visitor)]
        with self._weighed() as tally:
            end = time.perf_counter() + seconds
            for visitor in visitors:
                visitor.visit()
            while time.perf_counter() < end and self._turn(STALL_SECONDS):
                pass
            tally.times = [taken for visitor in visitors for taken in visitor.finish()]
            tally.count = len(tally.times)
        return tally


@contextmanager
def held(server: Server, paths: Sequence[str]) -> Iterator[None]:
    """Hold views of the application for the length of the block, or for as long as they say; each begins before the block."""
    with ExitStack() as stack:
        for path in paths:
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=STALL_SECONDS)
            stack.callback(connection.close)
            connection.request("GET", path)
            response = connection.getresponse()
            stack.callback(response.read)
            if response.read(5) != b"begun":
                raise RuntimeError(f"{path} did not begin: {response.status}")
        yield
