"""A lock of the operating system, with gevent or without."""

from __future__ import annotations

import subprocess
import sys


def test_the_lock_is_real_where_gevent_has_replaced_the_one_of_threading() -> None:
    program = (
        "import _thread\n"
        "real = type(_thread.allocate_lock())\n"
        "from gevent import monkey\n"
        "monkey.patch_all()\n"
        "import threading\n"
        "from cometware.logs.base import real_lock\n"
        "assert type(real_lock()) is real, real_lock()\n"
        "assert type(threading.Lock()) is not real\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=240)


def test_a_thread_publishes_while_a_greenlet_waits() -> None:
    """`publish` from a native thread wakes the loop of another one, and neither holds the other up."""
    program = (
        "from gevent import monkey; monkey.patch_all()\n"
        "import gevent\n"
        "from gevent.event import Event\n"
        "from cometware import Channel\n"
        "channel, woken = Channel(), Event()\n"
        "watcher = gevent.get_hub().loop.async_()\n"
        "watcher.start(woken.set)\n"
        "channel.log.subscribe(watcher.send)\n"
        "start = monkey.get_original('_thread', 'start_new_thread')\n"
        "start(lambda: [channel.publish(n) for n in range(500)], ())\n"
        "with gevent.Timeout(20):\n"
        "    while channel.position.offset < 500:\n"
        "        woken.wait()\n"
        "        woken.clear()\n"
        "assert channel.recent(n=500) == list(range(500))\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=240)
