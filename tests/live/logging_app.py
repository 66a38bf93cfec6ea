"""An application that says itself how it logs."""

from __future__ import annotations

import logging
import sys

from tests.live.app import app as app

logging.basicConfig(level=logging.DEBUG, stream=sys.stderr, format="SITE %(levelname)s %(name)s %(message)s")
logging.getLogger("shop").debug("loaded")


@app.get("/log")
def log() -> str:
    logging.getLogger("shop").debug("a sale")
    logging.getLogger("cometware").info("of ours")
    return ""
