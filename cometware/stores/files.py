"""Whom the files of an SQLite store let in: their owner alone, unless its URL names more.

Rule: a file's own mode and group say who uses the channel; whatever stands beside it lets in the same, whatever the umask.
"""

from __future__ import annotations

import os
import stat

from cometware.core.logger import logger

OWNER = 0o600
_GROUP, _OTHERS = 0o060, 0o006

_told: set[str] = set()
"""Files of which this process has warned."""


def mode_of(text: str) -> int:
    """Read the mode of a file, in octal: `0660`.

    Raises:
        ValueError: It is none that a store could work with.
    """
    digits = text.removeprefix("0o")
    if not digits or len(digits) > 4 or digits.strip("01234567"):
        raise ValueError(f"mode={text!r}: expected an octal number, like 0600 (its owner alone) or 0660 (a group, too)")
    mode = int(digits, 8)
    if mode & OWNER != OWNER or mode & ~0o666:
        raise ValueError(f"mode={text!r}: expected to read and write for the owner, and nothing else than to read and write")
    return mode


def make(path: str, mode: int | None) -> None:
    """Make the file of a store, if there is none. One that is there stays as it is; if it lets in too many, that is told once.

    `mode` is what the URL says. Where that names a group, it is the one of the directory.

    Raises:
        OSError: It cannot be made.
    """
    wanted = OWNER if mode is None else mode
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, wanted)
    except FileExistsError:
        _look_at(path, mode)
        return
    try:
        if wanted & _GROUP:
            _give(path, -1, os.stat(os.path.dirname(path) or ".").st_gid)
        os.fchmod(descriptor, wanted)
    finally:
        os.close(descriptor)


def _look_at(path: str, mode: int | None) -> None:
    status = os.stat(path)
    has, wanted = stat.S_IMODE(status.st_mode), OWNER if mode is None else mode
    if status.st_size == 0 or path in _told:
        return  # it is just being made; or all is said
    if has & _OTHERS & ~wanted:
        _told.add(path)
        logger.warning(
            "cometware: %s is world-%s (mode %04o): all users of this host may see what clients say, and cookies that hooks "
            "need. It stays so; chmod %04o it and what stands beside it, or say by ?mode=%04o in its URL that this is meant",
            path,
            "writable" if has & 0o002 else "readable",
            has,
            wanted,
            has,
        )
    elif mode is not None and has != mode:
        _told.add(path)
        logger.warning(
            "cometware: %s has the mode %04o and keeps it; for the one of its URL: chmod %04o %s", path, has, mode, path
        )


def share(path: str, like: os.stat_result) -> None:
    """Let in at `path` who may write the file that `like` tells of: whoever else made it has seen to that himself."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return
    if status.st_uid != os.geteuid():
        return
    is_folder = stat.S_ISDIR(status.st_mode)
    wanted = folder_mode(like.st_mode) if is_folder else like.st_mode & 0o666
    owner = like.st_uid if os.geteuid() == 0 else -1
    if owner not in (-1, status.st_uid) or status.st_gid != like.st_gid:
        _give(path, owner, like.st_gid)
    if status.st_mode & 0o777 != wanted:
        os.chmod(path, status.st_mode & 0o7000 | wanted)


def folder_mode(mode: int) -> int:
    """Return the mode of a directory for all who may write a file of this mode."""
    return sum(7 * share // 6 for share in (OWNER, _GROUP, _OTHERS) if mode & share == share)


def _give(path: str, owner: int, group: int) -> None:
    """Change whose it is, where that is allowed: who is no member of a group cannot give it anything."""
    try:
        os.chown(path, owner, group)
    except PermissionError:
        pass
