"""`connect`: a client that comes back by itself. Two threads serve it: one receives, one sends and watches the clock.

Under gevent's monkey-patching they are greenlets, and every wait is cooperative. What is decided here is what
`static/cometware.js` decides in a browser; the way to another connection is another reader at the same position, and
what that repeats is dropped.
"""

from __future__ import annotations

import contextlib
import json
import logging
import random
import secrets
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as ReplyTimeout
from types import TracebackType
from typing import Any, NamedTuple

from cometware.core.data import Data, encode
from cometware.core.entry import Position, event_name
from cometware.core.keys import is_key
from cometware.errors import Closed, CometwareError, Failed, Refused, Unreachable
from cometware.remote.links import LINKS, Link, Shape, Terms
from cometware.remote.outbox import Outbox, Said, settle
from cometware.remote.place import Place
from cometware.remote.route import Asker, Refusal, Route, error_of, seconds

logger = logging.getLogger("cometware")

LADDER = ("websocket", "stream", "poll")
PATIENCE_SECONDS = {"websocket": 3.0, "stream": 5.0}
"""How long a transport may take to greet before the next one is tried."""
LAST_PATIENCE_SECONDS = 35.0
"""The same for the last one, or the only one: an `on_open` may take 30 s."""
RETRY_SECONDS, RETRY_MOST_SECONDS = 0.5, 20.0
"""The first pause is 0 to this long, then up to twice as long, up to the most."""
UPGRADE_SECONDS = (10.0, 60.0, 300.0, 1800.0)
"""When a better transport is tried again."""
BANNED_SECONDS = 600.0
"""How long a transport is left alone that dies at once, again and again."""
YOUNG_SECONDS = 30.0
INBOX_MESSAGES = 1000
"""How many messages wait for the caller; then nothing more is read."""
LIFE_SECONDS = 5.0
POST_SECONDS = 70.0
POST_MESSAGES = 200
COMPLAIN_POSTS = 5
GOODBYE_SECONDS = 2.0
END_SECONDS = 5.0


class Heard(NamedTuple):
    """A message from the channel.

    Two events are the connection's own: `reset` (history is lost: what was built from earlier messages is out of date;
    data is `{"reason": …}`), and `error` (a message of ours failed, and nobody waits for its reply; data is
    `{"code": …, "message": …}`, the position that of the channel at that time, or None).
    """

    event: str
    data: Data
    position: Position | None


def connect(
    url: str,
    transport: str = "auto",
    *,
    headers: Mapping[str, str] | None = None,
    after: Position | str | None = None,
    last: int = 0,
    key: str | None = None,
    receive: bool = True,
    timeout: float = 10.0,
    tls: ssl.SSLContext | None = None,
) -> Connection:
    """Connect to a channel that is served at `url`, and stay connected until `close`.

    `transport` is `auto` (the best that works), or one of `websocket`, `stream`, `sse`, `poll`. `headers` go with every
    request: `{"Cookie": "session=…"}` is how a user is known. `after` is the position to read on from; without it, at the
    end of the log, or `last` messages before. `key` is who this client is (22 to 86 characters of base64url): a new one
    unless given. With `receive=False` messages are passed over, and only replies are heard: for who only sends or asks.
    `timeout` is how many seconds the first connection may take, new tries included. `tls` replaces the system's trusted
    certificates. A proxy is taken from the environment (`https_proxy`, `no_proxy`).

    It may be used by several threads; call `close` at the end, or use it as a context manager.

    Raises:
        Unreachable: No channel answered in time.
        Refused: The server said no, with this HTTP status.
        Closed: The application closes this client.
        ValueError: The URL, the transport, the key or the position is none.
    """
    connection = Connection(
        Route(url, headers or {}, tls), transport, after=after, last=last, key=key, receive=receive, timeout=timeout
    )
    connection._start()
    return connection


class _Lost(Exception):
    """This connection is of no use any more. `wait` tells whether to pause before the next one."""

    def __init__(self, why: str, *, wait: bool = True) -> None:
        super().__init__(why)
        self.wait = wait


class Connection:
    """A client of a channel. Iterate over it: each message comes once, in the channel's order.

    Made by `connect`. The loop ends after `close`, and raises what else ended the client: `Closed`, `Refused`.
    """

    def __init__(
        self,
        route: Route,
        transport: str,
        *,
        after: Position | str | None,
        last: int,
        key: str | None,
        receive: bool,
        timeout: float,
    ) -> None:
        if key is not None and not is_key(key):
            raise ValueError(f"connect(key=…): expected 22 to 86 characters of base64url, got {len(key)} characters")
        if after is not None and Position.parse(str(after)) is None:
            raise ValueError(f"connect(after={after!r}): expected a position like 'ab3c4c35-7'")
        self.key = key or secrets.token_urlsafe(24)
        """The secret that makes this client itself."""
        self.client: str | None = None
        """Its public id, by which the application knows it."""
        self.transport: str | None = None
        """What carries it now; None while it is away."""
        self._route = route
        self._last = last
        self._receive = receive
        self._deadline = time.monotonic() + timeout
        self._lock = threading.RLock()
        self._arrived = threading.Condition(self._lock)  # for the caller: a message, or the end
        self._taken = threading.Condition(self._lock)  # for the receiver: there is room
        self._work = threading.Condition(self._lock)  # for the sender: something to send, another connection
        self._emptied = threading.Condition(self._lock)  # for `flush`
        self._inbox: deque[Heard] = deque()
        self._place = Place(None if after is None else str(after))
        self._outbox = Outbox()
        self._limit = 1024 * 1024
        self._end: Exception | None = None
        self._ended = threading.Event()
        self._opened = False
        # How we are connected, what comes next, and what we learnt of the transports
        self._serving: Link | None = None
        self._next: Link | None = None
        self._hop: tuple[float, str, str] | None = None  # when, to which transport, why
        self._hopping = False
        self._set_transports(transport)
        self._tried: dict[str, str] = {}
        self._fails = 0
        self._upgrades = 0
        self._worked: set[str] = set()
        self._hold_seconds: float | None = None
        self._cut_seconds = 0.0
        self._poster = self._new_poster()
        self._post_at = 0.0
        self._post_fails = 0
        self._single = False
        self._threads = [
            threading.Thread(target=self._live, args=(work,), name=f"cometware {name}", daemon=True)
            for name, work in (("receiver", self._keep_connected), ("sender", self._keep_sending))
        ]

    # What a caller does

    def __iter__(self) -> Iterator[Heard]:
        return self

    def __next__(self) -> Heard:
        with self._lock:
            while not self._inbox:
                if self._end is not None:
                    if isinstance(self._end, Closed) and self._end.code == 1000:
                        raise StopIteration
                    raise self._end
                self._arrived.wait()
            self._taken.notify_all()
            return self._inbox.popleft()

    def receive(self, timeout: float | None = None) -> Heard:
        """Wait for the next message, at most `timeout` seconds.

        Raises:
            TimeoutError: None came.
            Closed, Refused: The client has ended.
        """
        with self._lock:
            if not self._arrived.wait_for(lambda: self._inbox or self._end is not None, timeout):
                raise TimeoutError(f"no message from {self._route.url} within {timeout} s")
            if not self._inbox:
                assert self._end is not None
                raise self._end
            self._taken.notify_all()
            return self._inbox.popleft()

    def send(self, data: Data, event: str = "message") -> None:
        """Say something to the application. It arrives once, in order, as soon as there is a connection.

        Does not wait. What goes wrong later comes as an `error` message; `ask` tells it, and what became of it, to you.

        Raises:
            Failed: Too much waits already (`full`), or it is over the server's limit (`size`).
            ValueError: The data is not what a message may hold, or the event's name is reserved.
            Closed, Refused: The client has ended.
        """
        self._say(Said(event_name(event), encode(data), None))

    def ask(self, event: str, data: Data = None, timeout: float = 60.0) -> Data:
        """Say something and return the application's reply: what its handler returned.

        Raises:
            Failed: The handler failed or refused, nobody handles this event, or history was lost meanwhile.
            TimeoutError: No reply within `timeout` seconds; it may still be handled.
            ValueError, Closed, Refused: As for `send`.
        """
        reply: Future[Data] = Future()
        self._say(Said(event_name(event), encode(data), reply))
        try:
            return reply.result(timeout)
        except ReplyTimeout:
            reply.cancel()
            raise TimeoutError(f"no reply to {event!r} from {self._route.url} within {timeout} s") from None

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything that was sent is handled. Is it?"""
        with self._lock:
            self._emptied.wait_for(lambda: not self._outbox or self._end is not None, timeout)
            return not self._outbox and self._end is None

    def use(self, transport: str) -> None:
        """Change to one transport and stay there; `auto` allows all again. Nothing is lost or doubled on the way.

        Raises:
            ValueError: There is no such transport.
        """
        with self._lock:
            self._set_transports(transport)
            if self._serving is not None:
                self._hop = (0.0, self._transports[0], "upgrade" if transport == "auto" else "by hand")
                self._work.notify_all()

    def close(self, timeout: float = END_SECONDS) -> None:
        """Say goodbye, after what was sent is handled or `timeout` seconds are over. The application hears it at once."""
        if self._opened:
            self.flush(timeout)
        with self._lock:
            link = self._serving
            is_first = self._finish(Closed(1000), politely=True)
        if is_first and link is not None:
            with contextlib.suppress(OSError):
                self._say_goodbye(link)
        if link is not None:
            link.interrupt()
        for thread in self._threads:
            if thread is not threading.current_thread() and thread.ident is not None:
                thread.join(END_SECONDS)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close(0 if kind is not None else END_SECONDS)

    def __repr__(self) -> str:
        return f"<cometware.Connection to {self._route.url} by {self.transport or 'nothing'} at {self._place.after}>"

    def _set_transports(self, name: str) -> None:
        if name != "auto" and name not in LINKS:
            raise ValueError(f"transport={name!r}: expected auto, {', '.join(LINKS)}")
        self._transports = LADDER if name == "auto" else (name,)
        self._preferred = 0
        self._deaths = dict.fromkeys(LINKS, 0)
        self._banned_until = dict.fromkeys(LINKS, 0.0)

    def _start(self) -> None:
        for thread in self._threads:
            thread.start()
        try:
            with self._lock:
                self._arrived.wait_for(lambda: self._opened or self._end is not None)
                if self._end is not None:
                    raise self._end
        except BaseException:
            self.close(0)
            raise

    def _say(self, said: Said) -> None:
        size = len(said.written(2**53).encode())
        with self._lock:
            if self._end is not None:
                raise self._end
            if size > self._limit:
                raise Failed("size", f"a message of about {size} bytes; the server takes {self._limit}")
            self._outbox.put(said)
            self._work.notify_all()

    # The two threads

    def _live(self, work: Any) -> None:
        """Run one of the threads; a fault of ours must not leave the caller waiting."""
        try:
            work()
        except Exception as error:
            logger.exception("cometware: the client of %s failed", self._route.url)
            self._finish(error)

    def _keep_connected(self) -> None:
        link: Link | None = None
        while self._end is None:
            link = link or self._establish()
            if link is None:
                return
            wait = self._serve(link)
            with self._lock:
                link, self._next = self._next, None
            if link is None and wait:
                self._rest(0)
        if link is not None:
            link.close()

    def _keep_sending(self) -> None:
        while True:
            with self._lock:
                job = self._job()
                while self._end is None and job is None:
                    self._work.wait(self._idle_seconds())
                    job = self._job()
                if self._end is not None or job is None:
                    return
            job()

    def _idle_seconds(self) -> float | None:
        """How long the sender may sleep, unless it is woken."""
        due = [self._hop[0]] if self._hop is not None and not self._hopping and self._serving is not None else []
        if self._post_at and self._outbox:
            due.append(self._post_at)
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _job(self) -> Any:
        """Return what the sender has to do now."""
        link, now = self._serving, time.monotonic()
        if link is None:
            return None
        if self._hop is not None and not self._hopping and now >= self._hop[0]:
            (_, name, why), self._hop, self._hopping = self._hop, None, True
            hop = threading.Thread(target=self._live, args=(lambda: self._change(link, name, why),), daemon=True)
            return hop.start
        if not self._outbox or not self._outbox.counted:
            return None
        if link.is_duplex:
            text = self._outbox.next()
            return None if text is None else lambda: self._send(link, text)
        return self._post if now >= self._post_at else None

    # Getting a connection

    def _establish(self) -> Link | None:
        """Try one transport after the other, again and again, until one works or somebody says no for good."""
        while self._end is None:
            wait_seconds = 0.0
            names = self._candidates()
            self._tried = {}
            for name in names:
                try:
                    return self._open(name, is_last=name == names[-1])
                except Refusal as refusal:
                    self._tried[name] = str(refusal)
                    if self._is_final(refusal, is_last=name == names[-1]):
                        self._refused(refusal)
                        return None
                    wait_seconds = max(wait_seconds, refusal.retry_seconds)
                except OSError as error:
                    self._tried[name] = _told(error)
                    if isinstance(error, ConnectionRefusedError | socket.gaierror | ssl.SSLCertVerificationError):
                        break  # it is no fault of the transport
            self._preferred = 0
            if not self._opened and time.monotonic() >= self._deadline:
                self._finish(Unreachable(self._route.url, self._tried))
            self._rest(wait_seconds)
        return None

    def _candidates(self) -> Sequence[str]:
        """Return the transports to try, beginning with the one that worked."""
        now = time.monotonic()
        names = [name for name in self._transports[self._preferred :] if self._banned_until[name] <= now]
        return names or self._transports[-1:]

    def _open(self, name: str, *, is_last: bool = True) -> Link:
        with self._lock:
            terms = Terms(self.key, self._place.after, self._last, self._hold_seconds)
            link = LINKS[name](self._route, terms, self._outbox.accepted)
        patience = LAST_PATIENCE_SECONDS if is_last else PATIENCE_SECONDS[name]
        if not self._opened:
            patience = max(0.2, min(patience, self._deadline - time.monotonic()))
        link.open(patience)
        return link

    def _rest(self, least_seconds: float) -> None:
        """Pause for a random time, longer with each round that failed: full jitter."""
        most = min(RETRY_MOST_SECONDS, RETRY_SECONDS * 2**self._fails)
        self._fails = min(self._fails + 1, 10)
        pause = max(least_seconds, random.uniform(0, most))
        if not self._opened:
            pause = max(0.0, min(pause, self._deadline - time.monotonic()))
        self._ended.wait(pause)

    def _is_final(self, refusal: Refusal, *, is_last: bool = False) -> bool:
        """Is this said for good? An error that closes tells by its code; the first connection takes any fault of ours so."""
        close = refusal.error.get("close")
        if close is not None:
            return not _comes_back(close)
        if refusal.status in (401, 403, 410):
            return True
        if self._opened or refusal.status in (408, 425, 429):
            return False
        is_ours = 400 <= refusal.status < 500
        return (is_ours and refusal.error.get("code") == "refused") or (is_last and 300 <= refusal.status < 500)

    def _refused(self, refusal: Refusal) -> None:
        close = refusal.error.get("close")
        if close is not None:
            self._finish(Closed(close, refusal.error.get("message", "")))
        elif refusal.status < 400:
            self._finish(Unreachable(self._route.url, self._tried))
        else:
            reason = refusal.error.get("message") or str(refusal).partition(": ")[2]
            self._finish(Refused(refusal.status, reason, body=refusal.body, content_type=refusal.content_type))

    def _change(self, old: Link, name: str, why: str) -> None:
        """Put a second reader beside the one that serves us. When it has greeted, it takes over."""
        link: Link | None = None
        try:
            link = self._open(name)
            if why == "upgrade":
                link.prove()
        except Refusal as refusal:
            if self._is_final(refusal):
                self._refused(refusal)
        except OSError as error:
            logger.debug("cometware: no %s to %s: %s", name, self._route.url, error)
            if link is not None:
                link.close()
                link = None
        with self._lock:
            self._hopping = False
            if link is not None and self._serving is old and self._end is None:
                self._next, link = link, None
            elif self._serving is old and self._hop is None:
                if why == "upgrade":
                    self._upgrade_later(old)
                else:
                    self._hop = (time.monotonic() + 1, name, why)
            is_taken = self._next is not None and self._serving is old
            self._work.notify_all()
            self._taken.notify_all()
        if is_taken:
            old.interrupt()
        elif link is not None:
            link.close()

    def _upgrade_later(self, link: Link) -> None:
        rank = self._transports.index(link.name) if link.name in self._transports else 0
        if rank:
            name = self._transports[self._upgrades % rank]
            pause = 1.0 if name in self._worked else UPGRADE_SECONDS[min(self._upgrades, len(UPGRADE_SECONDS) - 1)]
            self._worked.discard(name)
            self._hop = (time.monotonic() + pause, name, "upgrade")
            self._upgrades += 1

    # Receiving

    def _serve(self, link: Link) -> bool:
        """Hear what a connection says until it is lost. Should we pause before the next one?"""
        began = time.monotonic()
        with self._lock:
            if self._end is not None:
                link.close()
                return False
            self._serving, self.transport = link, link.name
            self._worked.add(link.name)
            if link.name in self._transports:
                self._preferred = self._transports.index(link.name)
            self._outbox.sent = 0
            self._hop = None
            self._upgrade_later(link)
            if self._transports != LADDER and link.name != self._transports[0]:
                self._hop = (0.0, self._transports[0], "by hand")
            self._work.notify_all()
        wait, asked = True, began
        try:
            while True:
                asked = time.monotonic()
                shapes = link.receive()
                with self._lock:
                    for shape in shapes:
                        self._hear(link, shape)
                self._await_room(link)
        except _Lost as lost:
            wait, why = lost.wait, str(lost)
        except Refusal as refusal:
            why = str(refusal)
            if self._is_final(refusal):
                self._refused(refusal)
        except TimeoutError:
            wait, why = False, "silent"
        except OSError as error:
            why = _told(error)
        finally:
            with self._lock:
                self._serving = self.transport = None
                poster = self._poster
                self._poster = self._new_poster()
            link.close()
            poster.end()
        if self._next is None and self._end is None:
            logger.info("cometware: the %s to %s is lost: %s", link.name, self._route.url, why)
            self._learn(link, began, asked)
        return wait

    def _learn(self, link: Link, began: float, asked: float) -> None:
        """Draw conclusions from the end of a connection."""
        now = time.monotonic()
        if link.useful or now - began > 10:
            self._fails = 0
        if link.name == "poll":
            held, cut = now - asked, self._cut_seconds
            if held > 1 and abs(held - cut) < held / 5:  # who cuts what is idle does it after the same time each time
                self._hold_seconds = max(0.5, held / 2)
            self._cut_seconds = held
        if link.useful or now - began > YOUNG_SECONDS:
            self._deaths[link.name] = 0
            return
        self._deaths[link.name] += 1
        if self._deaths[link.name] > (2 if link.is_stream else 1) and link.name != "poll":
            self._banned_until[link.name] = now + BANNED_SECONDS
            self._deaths[link.name] = 0

    def _await_room(self, link: Link) -> None:
        """Read no further while the caller has enough to do; but let the server know that we live."""

        def is_room() -> bool:
            return len(self._inbox) < INBOX_MESSAGES or self._end is not None or self._next is not None

        while True:
            with self._lock:
                if self._taken.wait_for(is_room, LIFE_SECONDS):
                    return
            link.show_life()

    def _hear(self, link: Link, shape: Shape) -> None:
        if "id" in shape:
            position = self._place.passed(shape["id"])
            if position is not None:
                link.useful = True
                self._fails = 0
                self._entry(shape, position)
        elif "ping" in shape:
            self._place.passed(shape["ping"])
        elif "open" in shape:
            self._greeting(link, shape["open"])
        elif "accepted" in shape:
            self._outbox.count(shape["accepted"], link.before)
            self._sent()
        elif "reset" in shape:
            self._reset(shape["reset"])
        elif "reconnect" in shape:
            self._asked_back(link, shape["reconnect"]["wait_seconds"])
        elif "close" in shape:
            code, reason = shape["close"]["code"], shape["close"].get("reason", "")
            if not _comes_back(code):
                self._finish(Closed(code, reason))
            raise _Lost(f"closed with {code}: {reason}")
        elif "error" in shape:
            self._not_taken(shape["error"])
        if not self._opened:
            self._opened = True
            self._arrived.notify_all()

    def _entry(self, shape: Shape, position: Position) -> None:
        if "reply" not in shape:
            self._deliver(Heard(shape["event"], shape["data"], position))
            return
        reply, error = self._outbox.answered(shape["reply"]), shape.get("error")
        self._sent()
        if reply is not None:
            settle(reply, shape.get("data") if error is None else _failure(error))
        elif error is not None:
            self._deliver(Heard("error", error, position))

    def _deliver(self, heard: Heard) -> None:
        if self._receive:
            self._inbox.append(heard)
            self._arrived.notify_all()

    def _greeting(self, link: Link, told: Shape) -> None:
        self.client = told["client"]
        self._limit = told["limits"]["max_message_bytes"]
        if self._place.after is None or told["recovered"] is False:
            self._place.begin(told["position"])
        self._outbox.count(told["accepted"], link.before)
        self._sent()

    def _reset(self, told: Shape) -> None:
        position = self._place.begin(told["position"])
        self._outbox.fail_replies(Failed("reset", f"history was lost ({told['reason']}): the reply will not come"))
        self._deliver(Heard("reset", {"reason": told["reason"]}, position))

    def _asked_back(self, link: Link, wait_seconds: float) -> None:
        if link.name == "poll":
            link.pause_seconds = wait_seconds
        else:
            self._hop = (time.monotonic() + wait_seconds, link.name, "asked")
            self._work.notify_all()

    def _not_taken(self, error: Shape) -> None:
        """The server did not take what we sent on this WebSocket."""
        if error.get("code") == "number":
            self._outbox.refused_number(error["accepted"])
            self._sent()
        elif error.get("code") == "closed":
            if not _comes_back(error.get("close", 4000)):
                self._finish(Closed(error["close"], error.get("message", "")))
            raise _Lost(str(error.get("message")))
        else:
            self._deliver(Heard("error", error, self._place.position))

    def _finish(self, error: Exception, *, politely: bool = False) -> bool:
        """This client ends, for this reason; its connection at once, unless there is a goodbye to say. Is it the first?"""
        with self._lock:
            if self._end is not None:
                return False
            self._end = error
            self._ended.set()
            self._outbox.fail(error if isinstance(error, CometwareError) else Closed(1000, str(error)))
            for condition in (self._arrived, self._taken, self._work, self._emptied):
                condition.notify_all()
            self._poster.end()
            if self._serving is not None and not politely:
                self._serving.interrupt()
            return True

    # Sending

    def _sent(self) -> None:
        """The outbox has changed."""
        self._work.notify_all()
        if not self._outbox:
            self._emptied.notify_all()

    def _send(self, link: Link, text: str) -> None:
        try:
            link.send(text)
        except OSError:
            link.interrupt()  # who receives will find out, and this is sent again

    def _new_poster(self) -> Asker:
        return Asker(self._route, self._route.headers | {"Comet-Key": self.key, "Content-Type": "application/json"})

    def _post(self) -> None:
        """Send the first messages that wait in one POST: one at a time, so their order is kept."""
        with self._lock:
            texts = self._outbox.batch(self._limit, 1 if self._single else POST_MESSAGES)
            era, poster = self._outbox.era, self._poster
        if not texts:
            return
        try:
            answer = poster.ask("POST", self._route.query(), POST_SECONDS, f"[{','.join(texts)}]".encode())
        except OSError as error:
            with self._lock:
                self._post_later(str(error), 0)
            return
        shape = error_of(answer.body)
        with self._lock:
            if era != self._outbox.era:
                return
            if answer.status == 200:
                self._outbox.acknowledge(_accepted(answer.body))
                self._post_fails, self._post_at = 0, 0.0
            elif shape.get("code") == "number":
                self._outbox.refused_number(shape["accepted"])
            elif answer.status in (400, 413):
                self._single = True
                if len(texts) == 1:
                    self._give_back(shape, answer.status)
            else:
                refusal = Refusal(answer.status, answer.headers, answer.body)
                if self._is_final(refusal):
                    self._refused(refusal)
                self._post_later(str(refusal), seconds(answer.headers.get("retry-after")))
            self._sent()

    def _post_later(self, why: str, least_seconds: float) -> None:
        pause = random.uniform(0, min(RETRY_MOST_SECONDS, RETRY_SECONDS * 2**self._post_fails))
        self._post_at = time.monotonic() + max(least_seconds, pause)
        self._post_fails = min(self._post_fails + 1, 10)
        if self._post_fails == COMPLAIN_POSTS:
            self._deliver(Heard("error", {"code": "post", "message": why}, self._place.position))

    def _give_back(self, error: Shape, status: int) -> None:
        failure = error or {"code": "refused", "message": f"HTTP {status}"}
        said = self._outbox.give_back()
        if said.reply is not None:
            settle(said.reply, _failure(failure))
        else:
            self._deliver(Heard("error", failure, self._place.position))

    def _say_goodbye(self, link: Link) -> None:
        if link.is_duplex:
            link.send('{"close":{}}')
            self._threads[0].join(GOODBYE_SECONDS)  # it ends when the server has ended the connection
        else:
            with contextlib.closing(self._new_poster()) as poster:
                poster.ask("POST", self._route.query(), GOODBYE_SECONDS, b'{"close":{}}')


def _comes_back(code: int) -> bool:
    return 4000 <= code < 4400


def _told(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return error.strerror or str(error) or type(error).__name__


def _failure(error: Shape) -> Failed:
    details = {name: value for name, value in error.items() if name not in ("code", "message")}
    return Failed(str(error.get("code")), str(error.get("message")), **details)


def _accepted(body: bytes) -> int:
    return int(json.loads(body)["accepted"])
