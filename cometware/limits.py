"""Every bound of the library in one place, with its unit."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from cometware.core.rates import Rates


@dataclass(frozen=True)
class Limits:
    """How much, how long, how often. Seconds and bytes throughout; each default suits a site of ordinary size.

    >>> Limits(heartbeat_seconds=10).heartbeat_seconds
    10

    Raises:
        ValueError: A limit is no number that could be kept, or a heartbeat is so rare that proxies cut what is idle.
    """

    heartbeat_seconds: float = 20
    """Every receiving connection is written to at least this often; proxies cut what is silent for 30 to 60 s."""
    pong_seconds: float = 10
    """A WebSocket that has sent nothing for this long after a ping, not even its pong, is gone; may be several heartbeats."""
    poll_seconds: float = 20
    """How long a long poll is held at most; `?wait=` shortens it."""
    grace_seconds: float = 60
    """How long a client with a key stays present without a connection."""
    session_seconds: float = 5
    """How long a SockJS session stays present between two of its requests."""
    overlap_seconds: float = 5
    """How long the older connection of a client may live beside a newer one."""
    reauthorise_seconds: float = 900
    """A connection of a client with a user is asked to come back through the app's login after this long."""
    open_seconds: float = 30
    """How long a racing connection waits for what the first one's `on_open` decides."""
    order_seconds: float = 5
    """How long a message whose number is not the next one waits for those before it."""
    answer_seconds: float = 60
    """How long a POST waits for its messages to be handled; then it gets 503, and the client may send them again."""
    body_seconds: float = 30
    """How long the body of a POST to the channel may take to arrive; to the application, beyond `body_bytes_per_second`."""
    body_bytes_per_second: int = 500
    """A body of the application's own may take longer than `body_seconds` as long as it comes, in all, at this rate."""
    message_seconds: float = 60
    """How long a WebSocket's message may take to arrive once it has begun; then the connection is closed with 1008."""
    hook_seconds: float = 30
    """How long the wrapped application may take to answer one request of the channel itself (`Cometware(hooks=…)`)."""

    tail_seconds: float = 0.1
    """How long a worker that a client is ahead of waits for news of the log. Then it asks the store itself; if that does not
    come as far either, it has lost writes: `reset`."""
    lease_seconds: float = 10
    """A worker that the others have not heard of for so long is dead: they look after its clients (`sqlite:`, `redis:`)."""

    max_message_bytes: int = 1024 * 1024
    """A larger message gets an error and the connection stays; one over four times this ends it (413, or close 1009)."""
    max_waiting_messages: int = 1000
    """Messages of one client that wait for their handler; beyond, its socket is not read (or its POST gets 429). A body or
    frame that holds more is refused whole (413, `many`)."""
    max_handlers: int = 200
    """Handlers that may run beside each other in a worker."""
    max_hooks: int = 50
    """Requests of the channel to the wrapped application that may run beside each other in a worker."""
    max_clients: int = 100_000
    """Clients that one worker keeps; the next one is refused with 503."""
    max_kept_bytes: int = 32 * 1024
    """Bytes of a request's head that are kept for later: of a Socket.IO client's first request, or its `auth`, until its
    namespaces are open; of its cookies, where there are hooks. Who would have more kept is refused with 431."""
    response_bytes: int = 128 * 1024
    """A stream of SockJS ends when it has carried this much, and its client begins the next: browsers keep all of one."""

    window_entries: int = 10_000
    """Entries that the channel remembers for those who come back."""
    window_bytes: int = 64 * 1024 * 1024
    """Bytes of entries that the channel remembers."""
    history_seconds: float = 7 * 86400
    """How long an entry is remembered; the newest always is."""
    once_seconds: float = 3600
    """How long the key of `publish(…, once=)` is remembered."""
    once_keys: int = 10_000
    """Keys of `publish(…, once=)` that are remembered; beyond, the oldest are forgotten."""
    store_seconds: float = 5
    """How long a caller waits for a store that is away, before `LogUnavailable`."""
    max_waiting_operations: int = 10_000
    """Operations of a process that may wait for the store; the next one gets `LogUnavailable` at once."""
    last_entries: int = 1000
    """Entries that `?last=` goes back at most."""
    last_bytes: int = 1024 * 1024
    """Bytes that it brings at most; but the newest entry always comes."""
    batch_entries: int = 256
    """Entries written at once to a connection that catches up."""

    rates: Rates | None = Rates()
    """How fast each client, user and address may go, in each worker apart; None: as fast as they like (load tests)."""
    rate_patience_seconds: float = 30
    """A client that is told for so long that it is too fast, and does not listen, is closed with 4429."""

    accept_before_handler: bool = False
    """When the worker is killed in the middle of a handler: False, the message is handled again (at least once); True, it
    is not (at most once)."""

    def __post_init__(self) -> None:
        if self.rates is not None and not isinstance(self.rates, Rates):
            raise ValueError(f"Limits(rates={self.rates!r}): expected Rates(…), or None")
        for field in fields(self):
            if field.name == "rates":
                continue
            value, least = getattr(self, field.name), 1 if field.type == "int" else 0
            if not least <= value < math.inf:
                raise ValueError(f"Limits({field.name}={value!r}): expected a number, {least} or more")
        if self.heartbeat_seconds > 55:
            raise ValueError(
                f"Limits(heartbeat_seconds={self.heartbeat_seconds}): proxies cut connections that are silent for 60 s; "
                "expected at most 55"
            )
