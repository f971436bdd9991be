"""Locks between processes, on files of their own.

Rule: the operating system holds the lock, so it is gone with its holder, however that ends. Nothing here waits.

Pure but for the file. Must not import anything of the package.
"""

from __future__ import annotations

import os
import sys

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
    """Open a lock file, for its owner only; returns the descriptor."""
    return os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)


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
