"""An application that logs, and does not say how."""

from __future__ import annotations

import logging

from tests.live.wrapped import create_app

app = create_app()


@app.get("/log")
def log() -> str:
    logging.getLogger("shop").info("a sale")
    return ""
