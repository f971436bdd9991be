"""Locks of one machine that are files: free at once when their holder dies, and after a while if it is frozen.

A holder has the file locked, which the operating system ends with the process, and touches it from time to time. A
file that was not touched for too long is removed, and with it the lock: whoever waits continues with a new one.
"""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress
from typing import Final

from .._system.files import close_lock, is_at, is_locked, make_own_folder, open_lock, try_lock

_GUARD: Final = "guard"
"""The lock under which files are removed; nobody takes one meanwhile."""


class LockFiles:
    """Locks by name, in a folder that is created for its owner only. Every method may raise `OSError`.

    `seconds` is how long a holder may leave a lock untouched.
    """

    def __init__(self, folder: str, seconds: float) -> None:
        self._folder = folder
        self._seconds = seconds
        self._held: dict[str, tuple[str, int]] = {}
        """By holder: the file and its descriptor."""

    def take(self, name: str, holder: str) -> bool:
        """Take a lock, or touch the holder's own; `False` if somebody else has it."""
        if holder in self._held:
            path, descriptor = self._held[holder]
            return _touch(path, descriptor)
        make_own_folder(self._folder)
        path = os.path.join(self._folder, hashlib.sha256(name.encode()).hexdigest()[:32])
        descriptor = open_lock(path)
        try:
            if not try_lock(descriptor):
                self._remove_stale(path)
            elif self._begin(path, descriptor):
                self._held[holder] = path, descriptor
                return True
        finally:
            if holder not in self._held:
                os.close(descriptor)
        return False

    def release(self, holder: str) -> None:
        """End the holder's lock, if it has any."""
        _, descriptor = self._held.pop(holder, ("", -1))
        if descriptor >= 0:
            close_lock(descriptor)

    def _begin(self, path: str, descriptor: int) -> bool:
        """Touch a lock that was just taken; `False` while somebody removes files: an old one may be the next."""
        guard = open_lock(os.path.join(self._folder, _GUARD))
        try:
            return not is_locked(guard) and _touch(path, descriptor)
        finally:
            close_lock(guard)

    def _remove_stale(self, path: str) -> None:
        """Only one process at a time looks and removes, or a second one would remove the file of the first."""
        if not self._is_stale(path):
            return
        guard = open_lock(os.path.join(self._folder, _GUARD))
        try:
            if try_lock(guard) and self._is_stale(path):
                with suppress(PermissionError):  # Windows: it is open, and processes are not frozen there
                    os.unlink(path)
        finally:
            close_lock(guard)

    def _is_stale(self, path: str) -> bool:
        """Also for a file from the future: the clock was set back."""
        try:
            age = time.time() - os.stat(path).st_mtime
        except FileNotFoundError:
            return False
        return abs(age) > self._seconds


def _touch(path: str, descriptor: int) -> bool:
    """Whether the lock is still in force, now that it is too new to be removed: it may have been before."""
    os.utime(descriptor)
    return is_at(path, descriptor)
