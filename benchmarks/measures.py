"""What is measured. Each measure runs its servers in turn, in rounds, and returns a row for each of them.

Rule: a figure is the median over the rounds; a ratio is the median of each round's ratio to the reference of the same round.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import NamedTuple, cast

from benchmarks.clients import (
    Client,
    EventStream,
    Poll,
    SocketIO,
    SocketIOPoll,
    SockJS,
    SockJSPoll,
    Visitor,
    WebSocket,
)
from benchmarks.load import Crowd, Faults, Tally, held
from benchmarks.servers import (
    BARE,
    BY_HAND,
    COMETWARE,
    FLOOR,
    OVER_SOCKETIO,
    OVER_SOCKJS,
    SOCKETIO,
    THREADED,
    THREADS,
    Server,
    cores,
    missing_peers,
    running,
)

WEBSOCKET, SSE, POLL = "WebSocket", "SSE", "long poll"
MICRO, MILLI = 1e6, 1e3
_PAGE = 4096


class Way(NamedTuple):
    """How clients of a server use one transport."""

    kind: type[Client]
    path: str

    def open(self, port: int) -> Client:
        return self.kind(port, self.path)


_ENGINE = "/socket.io/?EIO=4&transport="
WAYS: Mapping[str, Mapping[str, Way]] = {
    FLOOR: {WEBSOCKET: Way(WebSocket, "/ws"), SSE: Way(EventStream, "/sse"), POLL: Way(Poll, "/poll")},
    COMETWARE: {WEBSOCKET: Way(WebSocket, "/comet"), SSE: Way(EventStream, "/comet"), POLL: Way(Poll, "/comet")},
    THREADED: {WEBSOCKET: Way(WebSocket, "/comet")},
    OVER_SOCKETIO: {
        WEBSOCKET: Way(SocketIO, "/comet" + _ENGINE + "websocket"),
        POLL: Way(SocketIOPoll, "/comet" + _ENGINE + "polling"),
    },
    OVER_SOCKJS: {
        WEBSOCKET: Way(SockJS, "/comet/sockjs/0/0/websocket"),
        POLL: Way(SockJSPoll, "/comet/sockjs/0"),
    },
    SOCKETIO: {WEBSOCKET: Way(SocketIO, _ENGINE + "websocket"), POLL: Way(SocketIOPoll, _ENGINE + "polling")},
    BY_HAND: {WEBSOCKET: Way(WebSocket, "/ws"), SSE: Way(EventStream, "/sse")},
}


@dataclass(frozen=True)
class Effort:
    """How much is done: clients, rounds, and seconds of each round."""

    clients: int = 1000
    rounds: int = 7
    seconds: float = 1.0
    echoing: int = 100
    idle: int = 3000
    connects: int = 200
    delivered: int = 400
    published: int = 9000
    mirrored: int = 10_000
    resumed: int = 5000
    peers: bool = True


_FEW = {"delivered": 20, "published": 300, "mirrored": 400, "resumed": 40}
SHORT = Effort(clients=50, rounds=1, seconds=0.1, echoing=20, idle=100, connects=20, peers=False, **_FEW)


@dataclass
class Row:
    """One line of the result. `ratio` is to the reference, whose own is 1; none if that one failed."""

    measure: str
    server: str
    value: float
    unit: str
    ratio: float | None
    note: str = ""
    busy: float = 0.0
    faults: Faults = field(default_factory=Faults)


@dataclass
class Failure:
    """What stands in the place of a row that could not be had."""

    measure: str
    server: str
    reason: str


class Bench:
    """The servers that a run needs, each started when it is first asked for, and what failed in the measure that runs."""

    def __init__(self, effort: Effort) -> None:
        self.effort = effort
        self.core, load_core = cores()
        os.sched_setaffinity(0, load_core)
        self._servers: dict[str, tuple[Server, ExitStack]] = {}
        self.failures: dict[tuple[str, str], Failure] = {}
        self._absent = {*missing_peers()} if effort.peers else {SOCKETIO, BY_HAND}

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self._servers):
            self.discard(name)

    def server(self, name: str) -> Server:
        if name not in self._servers:
            stack = ExitStack()
            self._servers[name] = stack.enter_context(running(name, self.core)), stack
        return self._servers[name][0]

    def discard(self, name: str) -> None:
        """End a server, if it was started. Who asks for it again gets a new one."""
        if name in self._servers:
            self._servers.pop(name)[1].close()

    @contextmanager
    def spared(self, measure: str, server: str) -> Iterator[None]:
        """Let a server fail in the block without spoiling what the others do: its row will tell why."""
        try:
            yield
        except Exception as error:  # whatever it was, an hour of other figures must not be lost for it
            traceback.print_exc()
            self.failures[measure, server] = Failure(measure, server, f"{type(error).__name__}: {error}")

    def each(self, measure: str, crowds: Iterable[Crowd], call: Callable[[Crowd], object]) -> None:
        """Call for each crowd that has not failed in this measure."""
        for crowd in self.fit(measure, crowds):
            with self.spared(measure, crowd.server.name):
                call(crowd)

    def fit(self, measure: str, crowds: Iterable[Crowd]) -> list[Crowd]:
        """Return the crowds that have not failed in this measure."""
        return [crowd for crowd in crowds if (measure, crowd.server.name) not in self.failures]

    def names(self, transport: str) -> list[str]:
        """Name the servers that have a transport and can be run here; the one with threads is compared with itself alone."""
        return [name for name, ways in WAYS.items() if transport in ways and name not in {THREADED, *self._absent}]

    def crowd(
        self,
        server: Server,
        transport: str,
        count: int,
        *,
        publishing: bool = True,
        meanwhile: Callable[[], object] = lambda: None,
    ) -> Crowd:
        way = WAYS[server.name][transport]
        publisher = WAYS[server.name][WEBSOCKET] if publishing else None
        return Crowd(server, count, way.open, publisher and cast("Callable[[int], WebSocket]", publisher.open), meanwhile)

    @contextmanager
    def crowds(self, measure: str, transport: str, count: int, *, publishing: bool = True) -> Iterator[list[Crowd]]:
        """Open a crowd at each server that has a transport, one after the other."""
        opened: list[Crowd] = []
        meanwhile = partial(self.each, measure, opened, Crowd.idle)
        with ExitStack() as stack:
            for name in self.names(transport):
                with self.spared(measure, name):
                    server = self.server(name)
                    crowd = self.crowd(server, transport, count, publishing=publishing, meanwhile=meanwhile)
                    opened.append(stack.enter_context(crowd))
            yield opened

    def rounds(
        self,
        measure: str,
        crowds: list[Crowd],
        run: Callable[[Crowd], Tally],
        value: Callable[[Tally], float],
        unit: str,
        note: Callable[[Iterable[Tally]], str] = lambda tallies: "",
        reference: str = FLOOR,
    ) -> list[Row]:
        """Run each crowd in turn, in each round beginning with another one."""
        tallies: dict[str, list[Tally]] = {crowd.server.name: [] for crowd in crowds}
        for number in range(self.effort.rounds):
            first = number % max(1, len(crowds))
            for crowd in crowds[first:] + crowds[:first]:
                if self.fit(measure, [crowd]):
                    with self.spared(measure, crowd.server.name):
                        tallies[crowd.server.name].append(run(crowd))
                    self.each(measure, crowds, Crowd.idle)
        fit = self.fit(measure, crowds)
        values = {crowd.server.name: [value(tally) for tally in tallies[crowd.server.name]] for crowd in fit}
        return [
            Row(
                measure,
                name,
                median(values[name]),
                unit,
                _ratio(values[name], values.get(reference)),
                note(tallies[name]),
                median(tally.busy for tally in tallies[name]),
                crowd.faults,
            )
            for crowd in fit
            for name in [crowd.server.name]
        ]


def _ratio(values: Iterable[float], reference: Iterable[float] | None) -> float | None:
    """Return the median of each round's ratio; none if the reference has failed."""
    return None if reference is None else median(mine / other for mine, other in zip(values, reference, strict=True))


def _rate(what: str, tallies: Iterable[Tally]) -> str:
    return f"{median(tally.count / tally.seconds for tally in tallies):,.0f} {what}/s"


def _slowest(tallies: Iterable[Tally]) -> str:
    return f"p99 {median(tally.percentile(99) for tally in tallies) * MILLI:.1f} ms"


def _cpu(tally: Tally) -> float:
    return tally.cpu_each * MICRO


def _median_time(tally: Tally) -> float:
    return tally.percentile(50) * MILLI


def fanout(bench: Bench, transport: str, window: int) -> list[Row]:
    """One message to everybody: server CPU for each delivery."""
    effort = bench.effort
    measure = f"fan-out, {transport}, {'one at a time' if window == 1 else f'{window} waiting'}"
    with bench.crowds(measure, transport, effort.clients) as crowds:
        bench.each(measure, crowds, lambda crowd: crowd.flood(effort.seconds / 5, window))
        return bench.rounds(
            measure,
            crowds,
            lambda crowd: crowd.flood(effort.seconds, window),
            _cpu,
            "µs/delivery",
            partial(_rate, "deliveries"),
        )


def echo(bench: Bench) -> list[Row]:
    """A message to the server, through its handler, and back: server CPU for each."""
    effort = bench.effort
    measure = f"echo, {effort.echoing} clients"
    with bench.crowds(measure, WEBSOCKET, effort.echoing, publishing=False) as crowds:
        bench.each(measure, crowds, lambda crowd: crowd.echo(effort.seconds / 5))
        return bench.rounds(
            measure,
            crowds,
            lambda crowd: crowd.echo(effort.seconds),
            _cpu,
            "µs/message",
            lambda tallies: f"{_rate('messages', tallies)}, {_slowest(tallies)}",
        )


def latency(bench: Bench) -> list[Row]:
    """Five messages a second: how long each takes to each client."""
    effort = bench.effort
    measure = "latency at 5 messages/s"
    with bench.crowds(measure, WEBSOCKET, effort.clients) as crowds:
        return bench.rounds(
            measure,
            crowds,
            lambda crowd: crowd.pace(3 * effort.seconds, 5),
            _median_time,
            "ms",
            _slowest,
        )


def connect(bench: Bench) -> list[Row]:
    """A client comes: server CPU for each, greeting or held poll included."""
    effort = bench.effort
    rows = []
    for transport in (WEBSOCKET, SSE, POLL):
        measure = f"connect, {transport}"
        values: dict[str, list[float]] = {name: [] for name in bench.names(transport)}
        for _ in range(effort.rounds):
            for name in list(values):
                with bench.spared(measure, name):
                    server = bench.server(name)
                    server.settle()
                    before = server.cpu_seconds
                    with bench.crowd(server, transport, effort.connects, publishing=False):
                        values[name].append((server.cpu_seconds - before) / effort.connects * MICRO)
                if (measure, name) in bench.failures:
                    del values[name]
        rows += [Row(measure, name, median(mine), "µs", _ratio(mine, values.get(FLOOR))) for name, mine in values.items()]
    return rows


def idle(bench: Bench) -> list[Row]:
    """Clients that only wait: resident memory of the server for each, in a process that served few before."""
    effort = bench.effort
    values: dict[str, dict[str, float]] = {}
    for name in bench.names(WEBSOCKET):
        values[name] = {}
        opened: list[Crowd] = []
        meanwhile = partial(bench.each, "idle", opened, Crowd.idle)
        with bench.spared("idle", name), running(name, bench.core) as server, ExitStack() as stack:
            for transport in WAYS[name]:
                with bench.crowd(server, transport, 20):
                    pass
            for transport in WAYS[name]:
                before = server.resident_bytes
                crowd = bench.crowd(server, transport, effort.idle, publishing=False, meanwhile=meanwhile)
                opened.append(stack.enter_context(crowd))
                values[name][transport] = max(_PAGE, server.resident_bytes - before) / effort.idle
    return [
        Row(
            f"idle {transport}, {effort.idle} clients",
            name,
            mine[transport],
            "bytes",
            _ratio([mine[transport]], [values[FLOOR][transport]] if transport in values[FLOOR] else None),
        )
        for transport in (WEBSOCKET, SSE, POLL)
        for name, mine in values.items()
        if transport in mine
    ]


def request(bench: Bench) -> list[Row]:
    """A plain page of the application, bare and wrapped: server CPU for each. The reference is the bare application."""
    effort = bench.effort
    with ExitStack() as stack:
        visitors = Way(Visitor, "/")
        crowds = [stack.enter_context(Crowd(bench.server(name), 1, visitors.open, None)) for name in (BARE, COMETWARE)]
        for crowd in crowds:
            crowd.visit(effort.seconds / 5)
        return bench.rounds(
            "plain page", crowds, lambda crowd: crowd.visit(effort.seconds), _cpu, "µs/request", _slowest, BARE
        )


def flood(bench: Bench) -> list[Row]:
    """A plain page of the application while its channel is flooded: how long it takes."""
    effort = bench.effort
    measure = "plain page during a flood"
    with bench.crowds(measure, WEBSOCKET, effort.clients) as crowds:
        return bench.rounds(
            measure,
            crowds,
            lambda crowd: crowd.disturb(effort.seconds, 4),
            _median_time,
            "ms",
            lambda tallies: f"{_slowest(tallies)}, {_rate('deliveries', tallies)}",
        )


def blocked(bench: Bench) -> list[Row]:
    """All threads of the application are held by views, which sleep or compute: how long a message takes.

    The reference is the same server at rest. With `threads`, sleeping views may cost nothing; computing ones take their
    turns of Python's one interpreter lock, the more so the more of them there are.
    """
    effort, server = bench.effort, bench.server(THREADED)
    seconds = 5 * effort.seconds
    kinds: Mapping[str, Sequence[str]] = {
        "at rest": (),
        f"{THREADS} views sleep": ["/sleep"] * THREADS,
        "1 view computes": ["/compute"],
        f"{THREADS} views compute": ["/compute"] * THREADS,
    }
    times: dict[str, list[float]] = {kind: [] for kind in kinds}
    medians: dict[str, list[float]] = {kind: [] for kind in kinds}
    with bench.crowd(server, WEBSOCKET, effort.echoing) as crowd:
        for _ in range(min(3, effort.rounds)):
            for kind, paths in kinds.items():
                with held(server, [f"{path}/{seconds + 0.5:.1f}" for path in paths]):
                    tally = crowd.pace(seconds, 20)
                times[kind].append(tally.percentile(99) * MILLI)
                medians[kind].append(tally.percentile(50) * MILLI)
        faults = crowd.faults
    rest = times["at rest"]
    return [
        Row(
            f"delivery to {effort.echoing} clients, {kind}",
            server.name,
            median(mine),
            "ms (p99)",
            median(own / reference for own, reference in zip(mine, rest, strict=True)),
            f"p50 {median(medians[kind]):.1f} ms",
            faults=faults,
        )
        for kind, mine in times.items()
    ]


MEASURES: Mapping[str, Callable[[Bench], list[Row]]] = {
    "websocket": partial(fanout, transport=WEBSOCKET, window=1),
    "waiting": partial(fanout, transport=WEBSOCKET, window=64),
    "sse": partial(fanout, transport=SSE, window=1),
    "poll": partial(fanout, transport=POLL, window=1),
    "echo": echo,
    "latency": latency,
    "connect": connect,
    "idle": idle,
    "request": request,
    "flood": flood,
    "blocked": blocked,
}


def run(
    measures: Mapping[str, Callable[[Bench], list[Row]]],
    names: Iterable[str],
    effort: Effort,
    show: Callable[[Row | Failure], None],
) -> list[Row | Failure]:
    """Run some measures and show each row as it comes. What fails has its line, too, and the rest goes on."""
    shown: list[Row | Failure] = []
    with Bench(effort) as bench:
        for name in names:
            bench.failures.clear()
            rows: list[Row] = []
            with bench.spared(name, "all"):
                rows = measures[name](bench)
            for line in (*rows, *bench.failures.values()):
                shown.append(line)
                show(line)
            for failure in bench.failures.values():
                bench.discard(failure.server)
    return shown
