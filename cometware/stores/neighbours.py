"""The other processes that use the same file: each has a datagram socket in a directory beside it, and is woken there.

Rule: a datagram carries nothing; it says "look". A lost one costs a few seconds, never an entry.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from _socket import AF_UNIX, SOCK_DGRAM, socket  # that of `socket` may be gevent's

from cometware.stores import files

_PATH_BYTES = 100
"""The kernel takes 108 at most."""


class Neighbours:
    """Who may write the file that `like` tells of can wake us, and be woken.

    Raises OSError if the directory cannot be made or written to.
    """

    def __init__(self, folder: str, like: os.stat_result) -> None:
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder, 0o700)
        files.share(folder, like)
        self._folder = folder
        self._descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        self._reach = folder if len(os.fsencode(folder)) + 40 < _PATH_BYTES else f"/proc/self/fd/{self._descriptor}"
        self._name = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._socket = socket(AF_UNIX, SOCK_DGRAM)
        self._socket.setblocking(False)
        hidden = f"{self._reach}/.{self._name}"  # until those may reach it who shall
        self._socket.bind(hidden)
        files.share(hidden, like)
        os.rename(hidden, f"{self._reach}/{self._name}")

    def fileno(self) -> int:
        return self._socket.fileno()

    def can_be_found(self) -> bool:
        """Is our socket where the others look for it?"""
        return os.path.exists(f"{self._reach}/{self._name}")

    def hear(self) -> None:
        """Take what has come, so that the next one wakes again."""
        try:
            while True:
                self._socket.recv(16)
        except OSError:
            pass

    def wake(self) -> None:
        """Wake all others; who has died without a word is forgotten."""
        try:
            names = os.listdir(self._folder)
        except OSError:
            return  # the whole directory was deleted; the store will notice that its file was, too
        for name in names:
            if name == self._name or name.startswith("."):
                continue
            try:
                self._socket.sendto(b"\0", f"{self._reach}/{name}")
            except BlockingIOError:
                pass  # it has been woken often enough
            except ConnectionRefusedError:
                self._unlink(name)
            except OSError:
                pass

    def _unlink(self, name: str) -> None:
        try:
            os.unlink(f"{self._folder}/{name}")
        except OSError:
            pass

    def close(self) -> None:
        self._socket.close()
        self._unlink(self._name)
        os.close(self._descriptor)
