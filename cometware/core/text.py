"""Text of strangers, made fit for a log line or an error message."""

from __future__ import annotations

from typing import Any

from cometware.core.pieces import is_large


def shown(text: str, limit: int = 200) -> str:
    """Escape what is not printable and cut what is long, so that no peer can forge a log line.

    >>> shown("a\\nb")
    'a\\\\nb'
    """
    escaped = text[:limit].encode("unicode_escape", "backslashreplace").decode("ascii")
    return escaped[:limit] + ("…" if len(text) > limit or len(escaped) > limit else "")


def told(value: Any, limit: int = 80) -> str:
    """Write a value for an error message; of one that holds many, only how many.

    >>> told({"n": 1}), told([0] * 10_000)
    ("{'n': 1}", 'list of 10000')
    """
    return f"{type(value).__name__} of {len(value)}" if is_large(value) else shown(repr(value), limit)


def escaped(text: str) -> str:
    """Escape what is not printable, whatever script the rest is in: line breaks, what moves a cursor or turns a line around.

    >>> escaped("é\\n\\x1b[2J")
    'é\\\\n\\\\x1b[2J'
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape", "backslashreplace").decode("ascii")
        for character in text
    )


def is_length(text: str) -> bool:
    """Is this a length as RFC 9110 §8.6 has it, and one that a body may have? `²` is a digit to Python, and no number.

    >>> is_length("12"), is_length("²"), is_length("-1"), is_length("9" * 5000)
    (True, False, False, False)
    """
    return text.isascii() and text.isdigit() and len(text) < 19
