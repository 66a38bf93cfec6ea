"""How much of a stranger's words may be kept for longer than his request: bounded for each, whatever his server lets in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cometware.errors import Refused

ENTRY_BYTES = 120
"""What an entry costs beside its name and its text."""


def size_of(words: Mapping[str, Any]) -> int:
    """About how many bytes are these to keep?"""
    return sum([len(name) + len(word) + ENTRY_BYTES for name, word in words.items() if isinstance(word, str)])


def check(what: str, size: int, most: int) -> None:
    """Refuse somebody (431) of whom more would have to be kept than `Limits.max_kept_bytes`.

    Raises:
        Refused: It is more.
    """
    if size > most:
        raise Refused(431, f"{what} of {size} bytes would have to be kept; Limits.max_kept_bytes allows {most}")
