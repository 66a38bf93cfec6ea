"""One field of an HTML form, undone a piece at a time: what is percent-encoded may be long."""

from __future__ import annotations

from urllib.parse import unquote_plus, unquote_to_bytes

from cometware.core.pacing import PACE

_MAX_FIELDS = 10
_PIECE_CHARACTERS = 16 * 1024


def field(form: str, name: str, errors: str = "replace") -> str | None:
    """Return the first value of this name; None if there is none.

    Raises:
        ValueError: There are too many fields; or, with `errors="strict"`, the value is not UTF-8.
    """
    if form.count("&") >= _MAX_FIELDS:
        raise ValueError(f"more than {_MAX_FIELDS} fields")
    for pair in form.split("&"):
        key, _, value = pair.partition("=")
        if len(key) <= 3 * len(name) and unquote_plus(key) == name:
            return _unquoted(value.replace("+", " "), errors)
    return None


def _unquoted(text: str, errors: str) -> str:
    pace, at, pieces = PACE.get(), 0, []
    while at < len(text):
        end = at + _PIECE_CHARACTERS
        end = next((place for place in (end - 1, end - 2) if text[place : place + 1] == "%"), end)
        pieces.append(unquote_to_bytes(text[at:end]))
        at = end
        if pace is not None:
            pace()
    return b"".join(pieces).decode("utf-8", errors)
