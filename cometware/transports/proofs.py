"""Streams prove themselves: each is sent one small thing soon after it has begun.

If the client sees it before the end, nobody between holds the stream back.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from cometware.transports.connection import Connection

if TYPE_CHECKING:
    from cometware.transports.worker import Worker

PROOF_SECONDS = 0.15


class Proofs:
    """One timer for all streams of a worker."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._due: deque[tuple[float, Connection]] = deque()
        self._timer = worker.clock.timer(PROOF_SECONDS)

    def soon(self, connection: Connection) -> None:
        """Have a stream prove itself."""
        self._due.append((self._worker.clock.monotonic() + PROOF_SECONDS, connection))
        if len(self._due) == 1:
            self._timer.start(self._prove)

    def _prove(self) -> None:
        worker = self._worker
        now = worker.clock.monotonic() + 0.01
        while self._due and self._due[0][0] <= now:
            _, connection = self._due.popleft()
            if connection.live and connection.unsent is None:
                connection.write(connection.shape.heartbeat(worker.position_of(connection)))
        if self._due:
            self._timer.start(self._prove)

    def close(self) -> None:
        self._timer.stop()
