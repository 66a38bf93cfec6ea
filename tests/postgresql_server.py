"""A PostgreSQL server of a test's own, on a socket in a folder, by the programs of the distribution."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START_SECONDS = 60.0


def programs() -> Path:
    """Return the folder of the newest version's programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name.partition(".")[0]))
    assert found, "PostgreSQL is missing: .ci/install-system installs it"
    return found[-1]


@contextmanager
def postgresql() -> Iterator[Path]:
    """Run a server for the length of the block; the value is the folder of its socket. The user `tester` may do anything."""
    folder = Path(tempfile.mkdtemp(prefix="postgresql-"))
    user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    if os.geteuid() == 0:  # it refuses to be root's
        shutil.chown(folder, user)
    data, bin = folder / "data", programs()
    asked = ["--username", "tester", "--auth", "trust", "--no-sync", "--encoding", "UTF8", "--locale", "C.UTF-8"]
    subprocess.run([bin / "initdb", "--pgdata", data, *asked], user=user, check=True, capture_output=True)
    settings = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={folder}", "-c", "fsync=off"]
    server = subprocess.Popen([bin / "postgres", "-D", data, *settings], user=user, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_SECONDS
        ready = [bin / "pg_isready", "--quiet", "--host", folder, "--username", "tester"]
        while subprocess.run(ready, check=False).returncode:
            assert server.poll() is None and time.monotonic() < deadline, "PostgreSQL did not start"
            time.sleep(0.05)
        yield folder
    finally:
        server.terminate()
        server.wait(START_SECONDS)
        shutil.rmtree(folder)
