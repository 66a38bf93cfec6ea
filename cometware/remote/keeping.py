"""What keeps a client connected: one thread receives, one sends and watches the clock; under gevent both are greenlets.

It decides what `static/cometware.js` decides in a browser. The way to another connection is another reader at the same
position; what that repeats is dropped. Everything is read and changed under one lock, and nobody waits for a peer with it.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from cometware.core.data import Data
from cometware.core.entry import Position
from cometware.core.logger import logger
from cometware.errors import Closed, CometwareError, Failed, Unreachable
from cometware.remote.backoff import Backoff
from cometware.remote.endings import comes_back, ending, failure, is_final, told
from cometware.remote.ladder import Hop, Ladder
from cometware.remote.links import LINKS, Link, Shape, Terms
from cometware.remote.outbox import Outbox, settle
from cometware.remote.place import Place
from cometware.remote.poster import BATCH_MESSAGES, Poster
from cometware.remote.route import Refusal, Route

PATIENCE_SECONDS = {"websocket": 3.0, "stream": 5.0}
"""How long a transport may take to greet before the next one is tried."""
LAST_PATIENCE_SECONDS = 35.0
"""The same for the last one, or the only one: an `on_open` may take 30 s."""
SETTLED_SECONDS = 10.0
"""A connection that lived so long was a good one: the next pause is short again."""
INBOX_MESSAGES = 1000
"""How many messages wait for the caller; then nothing more is read."""
LIFE_SECONDS = 5.0
"""How often the server is told that we live, though we do not read."""
_GOODBYE_SECONDS = 0.25
"""How long the goodbye of a client that never opened is waited for; it goes on behind that."""


class Heard(NamedTuple):
    """A message from the channel.

    Two events are the connection's own: `reset` (history is lost: what was built from earlier messages is out of date;
    data is `{"reason": …}`), and `error` (a message of ours failed, and nobody waits for its reply; data is
    `{"code": …, "message": …}`, the position that of the channel at that time, or None).
    """

    event: str
    data: Data
    position: Position | None


class _Lost(Exception):
    """This connection is of no use any more."""


class Kept:
    """A client without its caller: `cometware.remote.connection` adds what that one may do."""

    def __init__(
        self, route: Route, ladder: Ladder, *, key: str, after: str | None, last: int, receive: bool, timeout: float
    ) -> None:
        self.key = key
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
        self._place = Place(after)
        self._outbox = Outbox()
        self._poster = Poster(route, key)
        self._limit = 1024 * 1024
        self._end: Exception | None = None
        self._ended = threading.Event()
        self._opened = False
        self._ladder = ladder
        self._backoff = Backoff()
        self._serving: Link | None = None
        self._next: Link | None = None
        self._hop: Hop | None = None
        self._hopping = False
        self._send_at = 0.0
        """When the next message may go by a WebSocket."""
        self._threads = [
            threading.Thread(target=self._live, args=(work,), name=f"cometware {name}", daemon=True)
            for name, work in (("receiver", self._keep_connected), ("sender", self._keep_sending))
        ]

    def _live(self, work: Callable[[], None]) -> None:
        """Run one of the threads; a fault of ours must not leave the caller waiting."""
        try:
            work()
        except Exception as error:
            logger.exception("cometware: the client of %s failed", self._route.url)
            self._finish(error)

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

    # Getting a connection

    def _keep_connected(self) -> None:
        link: Link | None = None
        while self._end is None:
            link = link or self._establish()
            if link is None:
                return
            waits = self._serve(link)
            with self._lock:
                link, self._next = self._next, None
            if link is None and waits:
                self._rest()
        if link is not None:
            link.close()

    def _establish(self) -> Link | None:
        """Try one transport after the other, again and again, until one works or somebody says no for good."""
        while self._end is None:
            tried: dict[str, str] = {}
            wait_seconds = 0.0
            names = self._ladder.candidates(time.monotonic())
            for name in names:
                is_last = name == names[-1]
                try:
                    return self._open(name, is_last=is_last)
                except Refusal as refusal:
                    tried[name] = str(refusal)
                    if is_final(refusal, opened=self._opened, is_last=is_last):
                        self._finish(ending(refusal, self._route.url, name))
                        return None
                    wait_seconds = max(wait_seconds, refusal.retry_seconds)
                except OSError as error:
                    tried[name] = told(error)
                    if isinstance(error, ConnectionRefusedError | socket.gaierror | ssl.SSLCertVerificationError):
                        break  # it is no fault of the transport
            self._ladder.all_failed()
            if not self._opened and time.monotonic() >= self._deadline:
                self._finish(Unreachable(self._route.url, tried))
            self._rest(wait_seconds)
        return None

    def _open(self, name: str, *, is_last: bool = True) -> Link:
        with self._lock:
            terms = Terms(self.key, self._place.after, self._last, self._ladder.hold_seconds)
            link = LINKS[name](self._route, terms, self._outbox.accepted)
        patience = LAST_PATIENCE_SECONDS if is_last else PATIENCE_SECONDS[name]
        if not self._opened:
            patience = max(0.2, min(patience, self._deadline - time.monotonic()))
        link.open(patience)
        return link

    def _rest(self, least_seconds: float = 0.0) -> None:
        pause = max(least_seconds, self._backoff.pause())
        if not self._opened:
            pause = max(0.0, min(pause, self._deadline - time.monotonic()))
        self._ended.wait(pause)

    def _change(self, old: Link, hop: Hop) -> None:
        """Put a second reader beside the one that serves us. When it has greeted, it takes over."""
        link: Link | None = None
        try:
            link = self._open(hop.name)
            if hop.why == "upgrade":
                link.prove()
        except Refusal as refusal:
            if is_final(refusal, opened=True):
                self._finish(ending(refusal, self._route.url, hop.name))
        except OSError as error:
            logger.debug("cometware: no %s to %s: %s", hop.name, self._route.url, error)
            if link is not None:
                link.close()
                link = None
        unused = link
        with self._lock:
            self._hopping = False
            is_taken = link is not None and self._serving is old and self._end is None
            if is_taken:
                unused, self._next = self._next, link  # one that nobody has begun to read, if somebody hops twice
            elif self._serving is old and self._hop is None:
                now = time.monotonic()
                self._hop = self._ladder.upgrade(old.name, now) if hop.why == "upgrade" else hop._replace(at=now + 1)
            self._work.notify_all()
            self._taken.notify_all()
        if is_taken:
            old.interrupt()
        if unused is not None:
            unused.close()

    # Receiving

    def _serve(self, link: Link) -> bool:
        """Hear what a connection says until it is lost. Should there be a pause before the next one?"""
        began = asked = time.monotonic()
        waits = True
        with self._lock:
            if self._end is not None:
                link.close()
                return False
            self._serving, self.transport = link, link.name
            self._outbox.sent = 0
            self._hop = self._ladder.serves(link.name, began)
            self._work.notify_all()
        try:
            while True:
                asked = time.monotonic()
                shapes = link.receive()
                with self._lock:
                    for shape in shapes:
                        self._hear(link, shape)
                self._await_room(link)
        except Refusal as refusal:
            why = str(refusal)
            if is_final(refusal, opened=True):
                self._finish(ending(refusal, self._route.url, link.name))
        except TimeoutError:
            waits, why = False, "it is silent"
        except (_Lost, OSError) as error:
            why = told(error) if isinstance(error, OSError) else str(error)
        finally:
            with self._lock:
                self._serving = self.transport = None
            link.close()
            self._poster.end()
        if self._next is None and self._end is None:
            logger.info("cometware: the %s to %s is lost: %s", link.name, self._route.url, why)
            self._learn(link, began, asked)
        return waits

    def _learn(self, link: Link, began: float, asked: float) -> None:
        """Draw conclusions from the end of a connection."""
        now = time.monotonic()
        if link.useful or now - began > SETTLED_SECONDS:
            self._backoff.reset()
        if link.name == "poll":
            self._ladder.poll_lost(now - asked)
        self._ladder.lost(link.name, now - began, now, useful=link.useful)

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
            self._entry(link, shape)
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
            self._closed(shape["close"]["code"], shape["close"].get("reason", ""))
        elif "error" in shape:
            self._not_taken(shape["error"])
        if not self._opened:
            self._opened = True
            self._arrived.notify_all()

    def _entry(self, link: Link, shape: Shape) -> None:
        position = self._place.passed(shape["id"])
        if position is None:
            return  # a double
        link.useful = True
        self._backoff.reset()
        if "reply" not in shape:
            self._deliver(Heard(shape["event"], shape["data"], position))
            return
        reply, error = self._outbox.answered(shape["reply"]), shape.get("error")
        self._sent()
        if reply is not None:
            settle(reply, shape.get("data") if error is None else failure(error))
        elif error is not None:
            self._deliver(Heard("error", error, position))

    def _deliver(self, heard: Heard) -> None:
        if self._receive:
            self._inbox.append(heard)
            self._arrived.notify_all()

    def _greeting(self, link: Link, greeting: Shape) -> None:
        self.client = greeting["client"]
        limits = greeting["limits"]
        self._limit = limits["max_message_bytes"]
        self._poster.allow(limits.get("max_waiting_messages", BATCH_MESSAGES))
        if self._place.after is None or greeting["recovered"] is False:
            self._place.begin(greeting["position"])
        self._outbox.count(greeting["accepted"], link.before)
        self._sent()

    def _reset(self, reset: Shape) -> None:
        position = self._place.begin(reset["position"])
        self._outbox.fail_replies(Failed("reset", f"history was lost ({reset['reason']}): the reply will not come"))
        self._deliver(Heard("reset", {"reason": reset["reason"]}, position))

    def _asked_back(self, link: Link, wait_seconds: float) -> None:
        if link.name == "poll":
            link.pause_seconds = wait_seconds
        else:
            self._hop = Hop(time.monotonic() + wait_seconds, link.name, "asked")
            self._work.notify_all()

    def _closed(self, code: int, reason: str) -> None:
        if not comes_back(code):
            self._finish(Closed(code, reason))
        raise _Lost(f"closed with {code}: {reason}")

    def _not_taken(self, error: Shape) -> None:
        """The server did not take what we sent on this WebSocket."""
        if error.get("code") == "number":
            self._outbox.refused_number(error["accepted"])
            self._sent()
        elif error.get("code") == "rate":
            self._outbox.refused_for_now(error["accepted"])
            self._send_at = time.monotonic() + error["wait_seconds"]
            self._sent()
        elif error.get("code") == "closed":
            self._closed(error.get("close", 4000), error.get("message", ""))
        elif error.get("code") == "busy":
            raise _Lost(f"it is busy: {error.get('message', '')}")  # the next connection sends the same again
        else:
            self._deliver(Heard("error", error, self._place.position))

    # Sending

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

    def _job(self) -> Callable[[], None] | None:
        """Return what the sender has to do now."""
        link, hop, now = self._serving, self._hop, time.monotonic()
        if link is None:
            return None
        if hop is not None and not self._hopping and now >= hop.at:
            self._hop, self._hopping = None, True
            return threading.Thread(target=self._live, args=(lambda: self._change(link, hop),), daemon=True).start
        if not self._outbox or not self._outbox.counted:
            return None
        if link.is_duplex:
            text = self._outbox.next() if now >= self._send_at else None
            return None if text is None else lambda: self._send(link, text)
        return self._post if now >= self._poster.at else None

    def _idle_seconds(self) -> float | None:
        """How long the sender may sleep, unless it is woken."""
        due = [self._hop.at] if self._hop is not None and not self._hopping and self._serving is not None else []
        if self._outbox and self._serving is not None and not self._serving.is_duplex:
            due.append(self._poster.at)
        if self._send_at > time.monotonic():
            due.append(self._send_at)
        return max(0.0, min(due) - time.monotonic()) if due else None

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

    def _post(self) -> None:
        with self._lock:
            texts, era, asker = self._poster.batch(self._outbox, self._limit)
        if not texts:
            return
        result = self._poster.post(asker, texts)
        with self._lock:
            if era != self._outbox.era:
                pass  # our numbers have begun anew meanwhile: it is about others
            elif isinstance(result, int):
                self._outbox.acknowledge(result)
            elif result is not None:
                self._refused_post(result, is_single=len(texts) == 1)
            if self._poster.trouble:
                self._deliver(Heard("error", {"code": "post", "message": self._poster.trouble}, self._place.position))
                self._poster.trouble = ""
            self._sent()

    def _refused_post(self, refusal: Refusal, *, is_single: bool) -> None:
        error = refusal.error
        if error.get("code") == "number":
            self._outbox.refused_number(error["accepted"])
        elif is_final(refusal, opened=True):
            self._finish(ending(refusal, self._route.url, "post"))
        elif refusal.status not in (400, 413):
            self._poster.later(str(refusal), refusal.retry_seconds)
        elif is_single:  # this one will never be taken
            error = error or {"code": "refused", "message": str(refusal)}
            reply = self._outbox.give_back().reply
            if reply is not None:
                settle(reply, failure(error))
            else:
                self._deliver(Heard("error", error, self._place.position))

    def _say_goodbye(self, link: Link | None) -> None:
        """Tell the server that this client does not come back. One that never opened may have reached it all the same: who
        gave that up is kept waiting for no longer than an answer usually takes."""
        if link is None and not self._opened:
            goodbye = threading.Thread(target=self._poster.goodbye, name="cometware goodbye", daemon=True)
            goodbye.start()
            goodbye.join(_GOODBYE_SECONDS)
        elif link is None:
            self._poster.goodbye()
        elif link.is_duplex:
            link.send('{"close":{}}')
            self._threads[0].join(SETTLED_SECONDS / 5)  # it ends when the server has ended the connection
        else:
            self._poster.goodbye()
