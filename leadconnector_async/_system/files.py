"""Files that are written atomically, for their owner only, and locks between processes."""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
import sys
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from typing import Final

_EXHAUSTED: Final = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
_BESIDE: Final = re.compile(r"\.([0-9a-f]{8}\.)?new")
"""How the name of a file goes on that is written beside another one, now and in version 0.1."""
_NO_DETOUR: Final = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)

if sys.platform == "win32":
    import msvcrt

    def _try(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

    def _try_shared(descriptor: int) -> None:
        """Windows locks for one only, so whoever else asks at this moment is taken for an owner."""
        _try(descriptor)

    def _release(descriptor: int) -> None:
        """Closing the file is enough."""
else:
    import fcntl

    def _try(descriptor: int) -> None:
        # flock, not lockf: it belongs to the open file, so two tasks of one process exclude each other too.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _try_shared(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)

    def _release(descriptor: int) -> None:
        # Explicitly, because a process that was forked in the meantime has the file open as well.
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def is_exhausted(error: OSError) -> bool:
    """Whether file descriptors or memory have run out: that passes, and says nothing about the file."""
    return error.errno in _EXHAUSTED


def open_lock(path: str) -> int:
    """Open a lock file, for its owner only; returns the descriptor. Raises as `open_own` does."""
    return open_own(path, os.O_RDWR | os.O_CREAT)


def open_own(path: str, flags: int) -> int:
    """Open a file that belongs to this user; returns the descriptor. Also an `opener` for `open`.

    Raises `OSError`, also for a file that another user may have planted: links are not followed.
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
    """Create a folder for its owner only, or check that an existing one belongs to them. Raises `OSError`."""
    with suppress(FileExistsError):
        os.mkdir(path, 0o700)
    found = os.lstat(path)
    if stat.S_ISLNK(found.st_mode):
        raise _refuse("is a symbolic link", path)
    if not stat.S_ISDIR(found.st_mode):
        raise _refuse("is not a folder", path)
    _check_owner(found, path, 0o022)


def _check_own(found: os.stat_result, path: str) -> None:
    """Raise `OSError` for a file that another user may have planted."""
    if not stat.S_ISREG(found.st_mode):
        raise _refuse("is not a regular file", path)
    if found.st_nlink > 1:
        raise _refuse("is hard-linked elsewhere", path)
    _check_owner(found, path, 0)


def _check_owner(found: os.stat_result, path: str, never: int) -> None:
    if sys.platform == "win32":
        return
    if found.st_uid not in (os.geteuid(), 0):
        raise _refuse("belongs to another user", path)
    if stat.S_IMODE(found.st_mode) & never:
        raise _refuse("is writable by other users", path)


def _refuse(what: str, path: str) -> OSError:
    return OSError(errno.EPERM, f"{path} {what}; another user may have planted it: inspect it, then remove it")


def try_lock(descriptor: int) -> bool:
    """Take the lock, unless it is held."""
    try:
        _try(descriptor)
    except (BlockingIOError, PermissionError):
        return False
    return True


def is_locked(descriptor: int) -> bool:
    """Whether somebody has taken the lock. Others who ask at the same moment do not count; close it soon after."""
    try:
        _try_shared(descriptor)
    except (BlockingIOError, PermissionError):
        return True
    return False


def close_lock(descriptor: int) -> None:
    """Release the lock, if it was taken, and close its file."""
    try:
        _release(descriptor)
    finally:
        os.close(descriptor)


def is_at(path: str, descriptor: int) -> bool:
    """Whether an open file has its place, or it was removed and another one may have taken it."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except OSError:
        return False


def replace_file(path: str, parts: Iterable[str] | Iterable[bytes]) -> None:
    """Replace a file atomically, for its owner only; on failure, the old one is unchanged. Texts become UTF-8.

    Of several processes that do so at once, the last one remains.
    """
    with write_beside(path, parts) as beside:
        os.replace(beside, path)
    sync_folder(path)


@contextmanager
def write_beside(path: str, parts: Iterable[str] | Iterable[bytes]) -> Generator[str]:
    """Write a file beside another one, for its owner only; yields its path. It is removed, unless it is renamed.

    It is locked meanwhile: one that is not was left by a process that was killed, and is removed by the next one.
    """
    _remove_left(path)
    beside, descriptor = _open_beside(path)
    try:
        with open(descriptor, "wb") as file:
            file.writelines(part.encode() if isinstance(part, str) else part for part in parts)
            file.flush()
            os.fsync(descriptor)
            if os.name == "posix":
                yield beside
        if os.name != "posix":  # a file that is open cannot be renamed
            yield beside
    finally:
        with suppress(OSError):
            os.unlink(beside)


def remove_file(path: str) -> None:
    """Remove a file, if it exists, and what a crash may have left beside it."""
    _remove_left(path)
    with suppress(FileNotFoundError):
        os.unlink(path)
        sync_folder(path)


def _open_beside(path: str) -> tuple[str, int]:
    while True:
        beside = f"{path}.{secrets.token_hex(4)}.new"
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        if _try_lock_if_possible(descriptor) and is_at(beside, descriptor):
            return beside, descriptor
        os.close(descriptor)  # another process took it for one that was left


def _try_lock_if_possible(descriptor: int) -> bool:
    try:
        return try_lock(descriptor)
    except OSError:  # not every file system has locks
        return True


def _remove_left(path: str) -> None:
    """Remove what crashes have left beside a file. What cannot be removed stays."""
    folder, name = os.path.split(path)
    with suppress(OSError):
        for each in os.listdir(folder or os.curdir):
            if each.startswith(name) and _BESIDE.fullmatch(each, len(name)):
                _remove_unlocked(os.path.join(folder, each))


def _remove_unlocked(path: str) -> None:
    with suppress(OSError):
        descriptor = os.open(path, os.O_WRONLY | _NO_DETOUR)
        try:
            if try_lock(descriptor):
                os.unlink(path)
        finally:
            os.close(descriptor)


def sync_folder(path: str) -> None:
    """Flush the directory of a file, so that its new name survives a crash."""
    if os.name != "posix":
        return
    descriptor = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
