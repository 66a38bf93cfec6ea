"""What can go wrong, whose fault it is, and what to change. Every error carries its data; its text is made from it."""

from __future__ import annotations


class CometwareError(Exception):
    """Any error that this package raises."""


class Refused(CometwareError):
    """Raised by `on_open` (or any handler): this client may not do this.

    From `on_open` the client receives `status` as an HTTP status, before any 101 Switching Protocols; from another
    handler it becomes the error reply to that one message. `body`, of this `content_type`, is what the client is shown
    instead of `reason`; an error reply has it beside the reason.

    >>> str(Refused(403, "members only"))
    '403: members only'
    """

    def __init__(
        self, status: int = 403, reason: str = "", *, body: bytes = b"", content_type: str = "application/json"
    ) -> None:
        if not 400 <= status <= 599:
            raise ValueError(f"Refused(status=…) needs an HTTP status from 400 to 599, got {status}")
        super().__init__(status, reason)
        self.status = status
        self.reason = reason
        self.body = body
        self.content_type = content_type

    def __str__(self) -> str:
        return f"{self.status}: {self.reason}" if self.reason else str(self.status)


class TooFast(Refused):
    """The channel itself refuses, for now: by `Limits.rates`. Come back after `wait_seconds`."""

    def __init__(self, reason: str, wait_seconds: float) -> None:
        super().__init__(429, reason)
        self.args = (reason, wait_seconds)  # by which it is copied
        self.wait_seconds = wait_seconds


class LogUnavailable(CometwareError):
    """The channel's log cannot be reached; the message may or may not be in it.

    `url` is that of the store, without its password; `trouble` what was last seen of it. To publish again with the same
    `once=` is harmless.
    """

    def __init__(self, url: str, trouble: str) -> None:
        super().__init__(url, trouble)
        self.url = url
        self.trouble = trouble

    def __str__(self) -> str:
        return (
            f"{self.url} is not available: {self.trouble.rstrip('.')}. What was asked of it may or may not be done; a message "
            "can be published again with the same once=. See that the store runs and can be reached from here; "
            "Limits(store_seconds=…) is how long it is waited for"
        )


class Gap(CometwareError):
    """Mail for this reader was forgotten, or its position belongs to another log: history is lost.

    `reason` is what the client is told in its `reset`: `epoch`, `forgotten`, `ahead`, `position` or `user`.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class BadFrame(CometwareError):
    """The peer sent what its protocol does not allow; the connection stays.

    `code` is a word for programs, `message` a sentence for people: what was got, what was expected.
    """

    def __init__(self, code: str, message: str, **details: object) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.details = details

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class Unreachable(CometwareError):
    """No channel answered at this URL in time. `tried` tells of each transport why not."""

    def __init__(self, url: str, tried: dict[str, str]) -> None:
        super().__init__(url, tried)
        self.url = url
        self.tried = tried

    def __str__(self) -> str:
        reasons: dict[str, list[str]] = {}
        for transport, why in self.tried.items():
            reasons.setdefault(why, []).append(transport)
        told = "; ".join(f"{why} ({', '.join(transports)})" for why, transports in reasons.items())
        return f"{self.url} is not reachable: {told or 'it did not answer in time'}"


class Closed(CometwareError):
    """The channel has ended this client for good; `code` is one of `docs/protocol.md`'s, `reason` the application's."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return f"closed with {self.code}: {self.reason}" if self.reason else f"closed with {self.code}"


class Failed(CometwareError):
    """A message of ours was not handled well. `code` is a word for programs, `message` a sentence for people.

    The channel's codes are in `docs/protocol.md`: `event` (nobody handles it), `handler` (it failed), `refused`. Ours are
    `full` (too much waits to be sent), `size` (a message over the server's limit), `reset` (history is lost, so the reply
    will not come).
    """

    def __init__(self, code: str, message: str, **details: object) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.details = details

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"
