"""What clients are asked by `Client.call`, and who waits for their acknowledgements. Works in greenlets and native threads."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Protocol

from cometware.core.data import Data


class Signal(Protocol):
    """Something to wait for where a handler runs; `wait` tells whether it came in time."""

    def set(self) -> None: ...

    def wait(self, timeout: float, /) -> bool: ...


class _Question:
    __slots__ = ("answer", "signal")

    def __init__(self, signal: Signal) -> None:
        self.signal = signal
        self.answer: Data = None


class Questions:
    """Questions of this process to its clients. `make_signal` is set by whoever runs the handlers here."""

    def __init__(self) -> None:
        self.make_signal: Callable[[], Signal] | None = None
        self._waiting: dict[tuple[str, int], _Question] = {}
        self._numbers = count(1)

    def ask(self, client_id: str, send: Callable[[int], object], timeout: float) -> Data:
        """Send an event under a number of its own, and wait for the acknowledgement that bears it.

        Raises:
            TimeoutError: There was none within so many seconds.
        """
        assert self.make_signal is not None, "no worker runs here"
        number = next(self._numbers)
        question = self._waiting[client_id, number] = _Question(self.make_signal())
        try:
            send(number)
            if not question.signal.wait(timeout):
                raise TimeoutError(f"the client {client_id} has not acknowledged within {timeout:g} s")
            return question.answer
        finally:
            self._waiting.pop((client_id, number), None)

    def answer(self, client_id: str, number: int, data: Data) -> None:
        """A client has acknowledged something; what nobody waits for, or a second time, is passed over."""
        question = self._waiting.pop((client_id, number), None)
        if question is not None:
            question.answer = data
            question.signal.set()
