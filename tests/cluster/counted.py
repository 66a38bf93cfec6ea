"""The application of the tests, with a handler that tells which process handled which number, and when."""

from __future__ import annotations

import os
import time
from typing import Any

from cometware import Client
from tests.live.app import app, channel, journal

__all__ = ["app"]


@channel.on("number")
def number(client: Client, data: Any) -> None:
    """Write a client's number into the journal, and give way."""
    journal.write("number", data=data, pid=os.getpid(), seconds=time.time())
    time.sleep(0)
