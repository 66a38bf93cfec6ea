"""Where a client is in the log, and what it has heard already. Pure."""

from __future__ import annotations

from cometware.core.entry import Position


class Place:
    """A position that only goes forward within an epoch."""

    def __init__(self, after: str | None = None) -> None:
        self.position = Position.parse(after) if after else None
        self._heard: Position | None = None

    @property
    def after(self) -> str | None:
        """What to ask for; None, if we have never been anywhere."""
        return None if self.position is None else str(self.position)

    def passed(self, text: str) -> Position | None:
        """Go to a position; None, if we have been there already: what stands there is a double."""
        position = Position.parse(text)
        if position is None:
            raise ValueError(f"expected a position like 'ab3c4c35-7', got {text!r}")
        heard = self._heard
        if heard is not None and position.epoch == heard.epoch and position.offset <= heard.offset:
            return None
        self._heard = self.position = position
        return position

    def begin(self, text: str) -> Position:
        """Read on from here: everything else is forgotten."""
        self._heard = None
        position = self.passed(text)
        assert position is not None
        return position
