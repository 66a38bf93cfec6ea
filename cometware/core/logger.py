"""The library's own logger: whatever is told by it, its lines can be read by anybody and forged by nobody.

Rule: a filter sees to that in one place, for each record and its traceback; who logs need not think of it.
"""

from __future__ import annotations

import logging
import traceback
from types import TracebackType

from cometware.core.masking import masked
from cometware.core.text import escaped

_MAX_LINE = 4000
"""Characters of a line that are told."""

logger = logging.getLogger("cometware")


class _Fit(logging.Filter):
    """Masks bearers and passwords, and escapes what is not printable."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = fit(record.getMessage()), None
        if record.exc_info and not record.exc_text:
            record.exc_text = _told(*record.exc_info)
        return True


def fit(text: str) -> str:
    """Make one line of a log of a text that may be a stranger's."""
    return masked(escaped(text[:_MAX_LINE])) + ("…" if len(text) > _MAX_LINE else "")


def _told(kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> str:
    """Write a traceback: our own lines as they are; the texts of exceptions, which may be anybody's, on one line each."""
    parts = traceback.format_exception(kind, error, trace)
    return "".join(map(_part, parts)).rstrip("\n")


def _part(text: str) -> str:
    if text.lstrip("| +-").startswith(("File ", "Traceback ")) or not text.strip():
        return masked(text)
    if text.strip() in _BETWEEN:
        return text
    return fit(text.rstrip("\n")) + "\n"


_BETWEEN = {
    "The above exception was the direct cause of the following exception:",
    "During handling of the above exception, another exception occurred:",
}

if not logger.filters:
    logger.addFilter(_Fit())
