"""The same application, with views that fork; the children live until the test takes away the file `ALIVE`."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

from flask import Response, jsonify

from tests.live.app import app, channel

ALIVE = Path(os.environ["ALIVE"])
forks: Any = multiprocessing.get_context("fork")
_pools: list[Any] = []


def live() -> None:
    """Do what a job does: publish, and wait again and again."""
    channel.publish(["from the child", os.getpid()])
    while ALIVE.exists():
        time.sleep(0.01)


def process() -> int:
    child = forks.Process(target=live)
    child.start()
    return int(child.pid)


def fork() -> int:
    pid = os.fork()
    if not pid:
        try:
            live()
        finally:
            os._exit(0)
    return pid


def executor() -> int:
    _pools.append(concurrent.futures.ProcessPoolExecutor(1, mp_context=forks))
    _pools[-1].submit(live)
    return int(next(iter(_pools[-1]._processes)))


def pool() -> int:
    """gunicorn's children inherit a handler of SIGTERM that ends nobody, and a pool ends its children by this signal."""
    _pools.append(forks.Pool(1, signal.signal, (signal.SIGTERM, signal.SIG_DFL)))
    _pools[-1].apply_async(live)
    return int(_pools[-1]._pool[0].pid)


@app.post("/fork/<how>")
def do_fork(how: str) -> Response:
    return jsonify({"process": process, "fork": fork, "executor": executor, "pool": pool}[how]())
