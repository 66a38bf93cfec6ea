"""Text of strangers, made fit for a log line or an error message."""

from __future__ import annotations


def shown(text: str, limit: int = 200) -> str:
    """Escape what is not printable and cut what is long, so that no peer can forge a log line.

    >>> shown("a\\nb")
    'a\\\\nb'
    """
    escaped = text[:limit].encode("unicode_escape", "backslashreplace").decode("ascii")
    return escaped[:limit] + ("…" if len(text) > limit or len(escaped) > limit else "")
