"""Locks between processes, on files of their own.

Rule: the operating system holds the lock, so it is gone with its holder, however that ends. Nothing here waits.

Pure but for the file. Must not import anything of the package.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from contextlib import suppress
from typing import Final

_NO_DETOUR: Final = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)

if sys.platform == "win32":
    import msvcrt

    def _try(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

    def _release(descriptor: int) -> None:
        """Closing the file is enough."""
else:
    import fcntl

    def _try(descriptor: int) -> None:
        # flock, not lockf: it belongs to the open file, so two tasks of one process exclude each other too.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _release(descriptor: int) -> None:
        # Said aloud, since a process that was forked meanwhile has the file open as well.
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def open_lock(path: str) -> int:
    """Open a lock file, for its owner only; returns the descriptor. Raises what `open_own` raises."""
    return open_own(path, os.O_RDWR | os.O_CREAT)


def open_own(path: str, flags: int) -> int:
    """Open a file that belongs to this user; returns the descriptor. Also an `opener` for `open`.

    Raises `OSError`, also for a file that somebody else may have planted: links are not followed.
    """
    try:
        descriptor = os.open(path, flags | _NO_DETOUR, 0o600)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise _refuse("is a symbolic link", path) from None
    try:
        _check_own(os.fstat(descriptor), path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def make_own_folder(path: str) -> None:
    """Create a folder for its owner only, or check that an existing one belongs to this user. Raises `OSError`."""
    with suppress(FileExistsError):
        os.mkdir(path, 0o700)
    found = os.lstat(path)
    if stat.S_ISLNK(found.st_mode):
        raise _refuse("is a symbolic link", path)
    if not stat.S_ISDIR(found.st_mode):
        raise _refuse("is not a folder", path)
    _check_owner(found, path, 0o022)


def _check_own(found: os.stat_result, path: str) -> None:
    """Raise `OSError` for a file that somebody else may have planted."""
    if not stat.S_ISREG(found.st_mode):
        raise _refuse("is not a plain file", path)
    if found.st_nlink > 1:
        raise _refuse("has another name elsewhere (a hard link)", path)
    _check_owner(found, path, 0)


def _check_owner(found: os.stat_result, path: str, never: int) -> None:
    if sys.platform == "win32":
        return
    if found.st_uid not in (os.geteuid(), 0):
        raise _refuse("belongs to another user", path)
    if stat.S_IMODE(found.st_mode) & never:
        raise _refuse("can be written by other users", path)


def _refuse(what: str, path: str) -> OSError:
    return OSError(errno.EPERM, f"{path} {what}; it may have been planted: inspect it, and remove it")


def try_lock(descriptor: int) -> bool:
    """Take the lock if nobody holds it."""
    try:
        _try(descriptor)
    except (BlockingIOError, PermissionError):
        return False
    return True


def close_lock(descriptor: int) -> None:
    """Give the lock back, if it was taken."""
    try:
        _release(descriptor)
    finally:
        os.close(descriptor)
