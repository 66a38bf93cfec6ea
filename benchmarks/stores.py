"""`python -m benchmarks.stores`: what a shared log costs, as Markdown: memory, SQLite, Redis, and a bare PUBLISH beside them.

Latency is from before `publish` to a greenlet of another process that has the entry (memory: of the same process); at rest,
so one message at a time. The bare line is redis-py's PUBLISH to a subscriber in another process: no log, no order, no resume.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles
from typing import Any

import gevent
import redis
from gevent.event import Event

from cometware import Channel, Limits
from tests.redis_server import RedisServer

LATENCIES = 500
PAUSE_SECONDS = 0.004
PUBLISHED = 5000
MIRRORED = 10_000


def main() -> None:
    print("| log | delivered elsewhere, p50 | p99 | publishes/s, 1 greenlet | 100 greenlets | mirrored/s | 1,000 entries |")
    print("|---|---|---|---|---|---|---|")
    with places() as (urls, server):
        for name, url in urls.items():
            show(name, url)
        p50, p99 = percentiles(bare_latencies(server))
        print(f"| bare PUBLISH | {p50:.2f} ms | {p99:.2f} ms | | | | |")


@contextmanager
def places() -> Iterator[tuple[dict[str, str], RedisServer]]:
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(Path(folder) / "redis")
        try:
            yield {"memory": "memory:", "SQLite": f"sqlite:///{folder}/channel.db", "Redis": server.url}, server
        finally:
            server.stop()


def show(name: str, url: str) -> None:
    p50, p99 = percentiles(here_latencies() if url == "memory:" else latencies(url))
    channel = Channel(url, limits=Limits(store_seconds=60))
    one = rate(channel, greenlets=1)
    many = rate(channel, greenlets=100)
    mirrored = "" if url == "memory:" else f"{mirror_rate(channel):,.0f}"
    print(
        f"| {name} | {p50:.2f} ms | {p99:.2f} ms | {one:,.0f} | {many:,.0f} | {mirrored} | "
        f"{occupied_bytes(channel) / 1e6:.2f} MB |",
        flush=True,
    )


def percentiles(seconds: list[float]) -> tuple[float, float]:
    cuts = quantiles(seconds, n=100)
    return 1000 * cuts[49], 1000 * cuts[98]


def rate(channel: Channel, greenlets: int) -> float:
    """Return publishes a second."""
    each = PUBLISHED // greenlets

    def publish() -> None:
        for number in range(each):
            channel.publish({"n": number, "text": "x" * 100})

    start = time.perf_counter()
    gevent.joinall([gevent.spawn(publish) for _ in range(greenlets)], raise_error=True)
    return PUBLISHED / (time.perf_counter() - start)


def mirror_rate(channel: Channel) -> float:
    """Return entries a second that a process mirrors when it comes up."""
    while len(channel.recent(n=MIRRORED)) < MIRRORED:
        rate(channel, greenlets=100)
    start = time.perf_counter()
    found = Channel(channel.url).position
    assert found == channel.position
    return MIRRORED / (time.perf_counter() - start)


def occupied_bytes(channel: Channel) -> float:
    """Return what 1,000 entries of the mirror count for against `Limits.window_bytes`."""
    entries = channel.recent_entries(n=1000)
    return sum(entry.message.cost_bytes for entry in entries)


# Latency: a child tells when it had what we sent


def here_latencies() -> list[float]:
    channel = Channel()
    return asked(channel.publish, gevent.spawn(arrivals, channel, lambda: None).get)


def latencies(url: str) -> list[float]:
    channel = Channel(url)
    return asked(channel.publish, child("log", url))


def bare_latencies(server: RedisServer) -> list[float]:
    client = server.client()
    ready = child("bare", str(server.port))
    return asked(lambda sent: client.publish("bare", json.dumps(sent)), ready)


def child(*arguments: str) -> Callable[[], list[float]]:
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.stores", *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return lambda: json.loads(process.communicate(timeout=60)[0])


def asked(send: Callable[[float], Any], collect: Callable[[], list[float]]) -> list[float]:
    for _ in range(LATENCIES):
        gevent.sleep(PAUSE_SECONDS)
        send(time.monotonic())
    return collect()


def arrivals(channel: Channel, ready: Callable[[], None]) -> list[float]:
    """Note how old each message is when it comes."""
    woken = Event()
    watcher = gevent.get_hub().loop.async_()
    watcher.start(woken.set)
    position = channel.position
    channel.log.subscribe(watcher.send)
    ready()
    found: list[float] = []
    while len(found) < LATENCIES:
        woken.wait(60)
        woken.clear()
        entries, position = channel.log.read(position, ["*"], "", LATENCIES, channel.position.offset)
        now = time.monotonic()
        found += [now - entry.data for entry in entries]
    return found


def be_child(kind: str, place: str) -> None:
    def ready() -> None:
        print("ready", flush=True)

    if kind == "log":
        found = arrivals(Channel(place), ready)
    else:
        subscription = redis.Redis(port=int(place)).pubsub(ignore_subscribe_messages=True)
        subscription.subscribe("bare")
        subscription.get_message(timeout=10)
        ready()
        found = []
        for message in subscription.listen():
            found.append(time.monotonic() - json.loads(message["data"]))
            if len(found) == LATENCIES:
                break
    print(json.dumps(found))


if __name__ == "__main__":
    be_child(*sys.argv[1:]) if sys.argv[1:] else main()
