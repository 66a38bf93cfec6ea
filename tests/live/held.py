"""What a connection might hold, counted for real in the process of the server."""

from __future__ import annotations

import gc
import sys

from greenlet import greenlet

from cometware.transports.poller import Poller


def held() -> dict[str, int]:
    """Count greenlets and native threads; and how many sockets are watched without either."""
    gc.collect()
    objects = gc.get_objects()
    return {
        "greenlets": sum(isinstance(one, greenlet) and not one.dead for one in objects),
        "threads": len(sys._current_frames()),
        "parked": sum(len(one) for one in objects if isinstance(one, Poller)),
    }
