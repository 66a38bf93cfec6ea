"""A channel's facts in an SQLite file: one host, any number of processes, nothing to install.

Write-ahead log with `synchronous=NORMAL`: what is committed survives the death of any process (`kill -9`); only the end of
the whole machine may take the last moments with it. Other processes are woken by datagrams, not by polling.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

from cometware.core.masking import masked_url
from cometware.errors import LogUnavailable
from cometware.limits import Limits
from cometware.stores import files
from cometware.stores.base import Away, Call, Store
from cometware.stores.neighbours import Neighbours

_BUSY_SECONDS = 1.0
_NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "ocfs2", "gfs2"})
_NETWORK_FUSE = ("fuse.sshfs", "fuse.glusterfs", "fuse.s3fs", "fuse.rclone", "fuse.ceph", "fuse.davfs")


class SqliteStore(Store[sqlite3.Connection, sqlite3.Connection]):
    """An operation is called with the connection, inside a transaction that it must not end. It may be called twice, if
    another one of its group fails; all that it changes is in the database.

    Raises:
        ValueError: The URL names no file, or one on a file system of the network, or a mode that is none.
    """

    troubles = (sqlite3.Error, OSError)

    def __init__(self, url: str, name: str, limits: Limits) -> None:
        super().__init__(url, name, limits)
        self.path, self.mode = place_of(url)
        kind = network_file_system(self.path)
        if kind is not None:
            raise ValueError(
                f"Channel({masked_url(url)!r}): {self.path} is on {kind}, a file system of the network, on which "
                "SQLite's locks do not hold; expected a local disk. For several hosts take redis://"
            )
        self._identity: tuple[int, int] | None = None
        self._neighbours: Neighbours | None = None
        self._announced = False
        self._finishers: list[Callable[[sqlite3.Connection], None]] = []
        self.transaction = 0
        """The number of the transaction that runs, or ran last; for operations and subscribers."""

    def announce(self) -> None:
        """Within an operation: what it writes is to wake the subscribers of all processes that use this file."""
        self._announced = True

    def at_end(self, finish: Callable[[sqlite3.Connection], None]) -> None:
        """Within an operation: have something done behind the last operation of this transaction."""
        self._finishers.append(finish)

    def _open(self) -> sqlite3.Connection:
        try:
            real = os.path.realpath(self.path)
            files.make(real, self.mode)
            connection = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None, cached_statements=256)
        except (sqlite3.Error, OSError) as error:
            raise Away(self._explained(error)) from error
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("PRAGMA secure_delete=ON")  # what is deleted (cookies of hooks) is overwritten
            connection.execute("PRAGMA journal_size_limit=0")  # also in what is left of a long `-wal`
            connection.execute("SELECT 1 FROM sqlite_master").fetchone()  # now both files beside it are there
            self._identity = _identity(self.path)
            like = os.stat(self.path)
            for suffix in ("-wal", "-shm"):  # SQLite gives them the mode of the file, not its group
                files.share(real + suffix, like)
            self._meet(like)
        except (sqlite3.Error, OSError) as error:
            connection.close()
            raise Away(self._explained(error)) from error
        return connection

    def _meet(self, like: os.stat_result) -> None:
        if self._neighbours is None:
            self._neighbours = Neighbours(self.path + "-wake", like)
            assert self._bell is not None
            self._bell.watch(self._neighbours.fileno())

    def _group(self, connection: sqlite3.Connection, calls: list[Call[sqlite3.Connection]]) -> None:
        try:
            if not self._together(connection, calls):
                self._each(connection, calls)
        except sqlite3.Error as error:
            raise Away(self._explained(error)) from error
        if self._announced and self._neighbours is not None:
            self._neighbours.wake()

    def _together(self, connection: sqlite3.Connection, calls: list[Call[sqlite3.Connection]]) -> bool:
        """Run calls as if none would fail, for that is cheap. Did none?"""
        self._begin(connection, calls)
        try:
            for call in calls:
                call.result = call.operation(connection)
        except Exception:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            return False
        self._commit(connection)
        return True

    def _each(self, connection: sqlite3.Connection, calls: list[Call[sqlite3.Connection]]) -> None:
        """Run calls so that one that fails undoes only itself."""
        self._begin(connection, calls)
        for call in calls:
            connection.execute("SAVEPOINT one")
            try:
                call.result = call.operation(connection)
            except Exception as error:
                if not connection.in_transaction:
                    raise  # SQLite has given up all of it, for instance because the disk is full
                connection.execute("ROLLBACK TO one")
                call.error = self._fault(error)
            connection.execute("RELEASE one")
        self._commit(connection)

    def _begin(self, connection: sqlite3.Connection, calls: list[Call[sqlite3.Connection]]) -> None:
        self._announced = False
        self._finishers.clear()
        self.transaction += 1
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise Away(self._explained(error), calls) from error

    def _commit(self, connection: sqlite3.Connection) -> None:
        for finish in self._finishers:
            finish(connection)
        connection.execute("COMMIT")

    def _fault(self, error: Exception) -> Exception:
        if not isinstance(error, sqlite3.OperationalError):
            return error
        unavailable = LogUnavailable(self.url, self._explained(error))
        unavailable.__cause__ = error
        return unavailable

    def _vanished(self, connection: sqlite3.Connection) -> bool:
        if self._neighbours is None or not self._neighbours.can_be_found():
            return True
        return _identity(self.path) != self._identity

    def _hear(self) -> None:
        if self._neighbours is not None:
            self._neighbours.hear()

    def _leave(self, connection: sqlite3.Connection) -> None:
        try:
            connection.close()
        except sqlite3.Error:
            pass
        if self._neighbours is not None and self._bell is not None:
            self._bell.forget(self._neighbours.fileno())
            self._neighbours.close()
            self._neighbours = None

    def _explained(self, error: Exception) -> str:
        folder = os.path.dirname(os.path.abspath(self.path))
        try:
            os.stat(folder)
        except FileNotFoundError:
            return f"there is no directory {folder}"
        except PermissionError:
            return f"this process may not enter a directory above {folder}"
        if not os.access(folder, os.W_OK):
            return f"this process may not write into the directory {folder} ({error})"
        for path in (self.path, f"{self.path}-wal", f"{self.path}-shm", f"{self.path}-wake"):
            if os.path.exists(path) and not os.access(path, os.R_OK | os.W_OK):
                return f"this process may not read and write {path}: {_ADVICE} ({error})"
        return f"SQLite says: {error}" if isinstance(error, sqlite3.Error) else str(error)


_ADVICE = (
    "it is for its owner, unless the URL says ?mode=0660 when it is made, and the directory belongs to a group of both users"
)


class Place(NamedTuple):
    """A file, and the mode that it is to be made with, if its URL says one."""

    path: str
    mode: int | None


def place_of(url: str) -> Place:
    """Read a URL: `sqlite:///relative.db`, `sqlite:////absolute.db`, `sqlite:///relative.db?mode=0660`.

    Raises:
        ValueError: It names no file, or something else than a mode.
    """
    prefix = "sqlite:///"
    named, _, query = url[len(prefix) :].partition("?")
    path = unquote(named)
    if not url.startswith(prefix) or not path or path.endswith("/"):
        raise ValueError(f"Channel({masked_url(url)!r}): expected sqlite:///relative/file.db or sqlite:////absolute/file.db")
    options = parse_qsl(query, keep_blank_values=True)
    names = [name for name, _ in options]
    if names not in ([], ["mode"]):
        raise ValueError(
            f"Channel({masked_url(url)!r}): expected nothing but one mode=0660 behind the ?, got {', '.join(names)}"
        )
    try:
        return Place(path, files.mode_of(options[0][1]) if options else None)
    except ValueError as error:
        raise ValueError(f"Channel({masked_url(url)!r}): {error}") from None


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def network_file_system(path: str, mounts: Callable[[], str] | None = None) -> str | None:
    """Return the kind of file system that a path would be on, if it is one of the network; None too where nobody knows."""
    try:
        text = (mounts or _mounts)()
    except OSError:
        return None
    folder = os.path.realpath(os.path.dirname(os.path.abspath(path)))
    kind, longest = "", -1
    for line in text.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = fields[1].encode().decode("unicode_escape")  # a space is written \040
        if (folder == point or folder.startswith(point.rstrip("/") + "/")) and len(point) >= longest:
            kind, longest = fields[2], len(point)
    return kind if kind in _NETWORK or kind.startswith(_NETWORK_FUSE) else None


def _mounts() -> str:
    with open("/proc/self/mounts", encoding="utf-8", errors="surrogateescape") as file:
        return file.read()
