"""A caller waits in its own way: a greenlet lets its event loop go on, a thread sleeps; gevent is never needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

GREENLETS = """
from gevent import monkey; monkey.patch_all()
import _thread, gevent, sys
from cometware import Limits, LogUnavailable
from cometware.stores.sqlite import SqliteStore

store = SqliteStore("sqlite:///" + sys.argv[1], "comet", Limits(store_seconds=20))
held, go = monkey.get_original("_thread", "allocate_lock")(), monkey.get_original("_thread", "allocate_lock")()
held.acquire(); go.acquire()
store.post(lambda connection: (held.release(), go.acquire()))
turns = []

def caller(number):
    turns.append(store.do(lambda connection: number))

with gevent.Timeout(20):
    greenlets = [gevent.spawn(caller, number) for number in range(100)]
    while not held.acquire(False):
        gevent.sleep(0.001)
    gevent.sleep(0.01)              # the loop goes on though the store's thread is held
    assert turns == []
    greenlets[3].kill()             # whoever is killed leaves nothing behind
    go.release()
    gevent.joinall(greenlets)
    assert sorted(turns) == [number for number in range(100) if number != 3], turns
    assert store.do(lambda connection: _thread.get_ident()) != _thread.get_ident()
store.limits = Limits(store_seconds=0.05)
go.acquire(False)
store.post(lambda connection: go.acquire())
try:
    store.do(lambda connection: None)
except LogUnavailable:
    go.release()
else:
    raise AssertionError
with gevent.Timeout(20):
    store.close()
"""

PLAIN = """
import sys
from cometware.limits import Limits
from cometware.stores.sqlite import SqliteStore

store = SqliteStore("sqlite:///" + sys.argv[1], "comet", Limits())
assert store.do(lambda connection: connection.execute("SELECT 7").fetchone()) == (7,)
store.close()
"""


def run(program: str, path: Path) -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", program, str(path)], check=True, timeout=240)


def test_a_greenlet_waits_while_its_loop_goes_on(tmp_path: Path) -> None:
    run(GREENLETS, tmp_path / "a.db")


def test_a_thread_waits_where_nothing_is_patched(tmp_path: Path) -> None:
    run(PLAIN, tmp_path / "a.db")
