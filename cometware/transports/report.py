"""Where the library tells the operator what happened."""

from __future__ import annotations

import logging

logger = logging.getLogger("cometware")


def report(where: str) -> None:
    """Log the running exception with its traceback."""
    logger.exception("error in %s", where)
