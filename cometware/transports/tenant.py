"""A worker beside others: it renews its lease, gives up clients that are elsewhere, and steps in for workers that died."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import gevent

from cometware.errors import LogUnavailable
from cometware.roster.factstore import Lease
from cometware.roster.shared import Following, SharedRoster
from cometware.transports.poll import Poll
from cometware.transports.report import report

if TYPE_CHECKING:
    from cometware.transports.worker import Worker


class Tenant:
    """One greenlet; a second one, while there is much to look after, so that the lease never waits for it."""

    def __init__(self, worker: Worker, roster: SharedRoster) -> None:
        self._worker = worker
        self._roster = roster
        self._pause = worker.limits.lease_seconds / 3
        self._greenlet = gevent.spawn(self._run)

    def _run(self) -> None:
        while True:
            try:
                lease = self._roster.renew(time.monotonic())
            except LogUnavailable:
                pass  # the store has said so in the log
            except Exception:
                report("the lease of this worker")
            else:
                gevent.spawn(self._follow, lease)
            gevent.sleep(self._pause)

    def _follow(self, lease: Lease) -> None:
        worker, now = self._worker, time.time()
        for left in self._roster.left_by(lease):
            left.seen = max(left.seen, now - worker.clients.seen_seconds_ago(left))
        following = self._roster.follow(lease)
        self._give_up(following)
        for record in (*following.adopted, *following.unfinished):
            request = record.facts.request
            if request:
                worker.channel.remember(record, request)
        for record in following.unfinished:
            worker.inboxes.end(record, "timeout")
            if self._roster.get(record.id) is record:  # to be told why, if it asks in time
                worker.clients.is_away(record)
        for record in following.adopted:
            if record.key is None:
                worker.clients.ended(record, "timeout")
            elif not record.connections:
                worker.clients.is_away(record)

    def _give_up(self, following: Following) -> None:
        """Let clients go that another worker serves: what is open here ends as if they had come back here."""
        worker = self._worker
        for record in following.gone:
            worker.polls.forget(record)
            for connection in record.connections:
                if isinstance(connection, Poll):
                    connection.beat()
                else:
                    connection.give_way_later("served by another worker")
            if not record.connections:
                worker.clients.is_away(record)

    def close(self) -> None:
        """Let others take over at once."""
        self._greenlet.kill()
        try:
            self._roster.resign()
        except LogUnavailable:
            pass  # they find out by themselves
