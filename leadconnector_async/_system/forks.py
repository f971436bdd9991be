"""What a fork must not find in use: locks that a child would wait for forever, and files of SQLite.

SQLite notes in memory which locks its process has. A child would believe in those of its parent, and what it writes
to a file that it has not really locked can be lost: so files are closed first, and opened again when they are used.
"""

from __future__ import annotations

import os
import threading
from typing import Final, Protocol
from weakref import WeakSet


class Pausable(Protocol):
    """Something that a fork closes first."""

    def pause(self) -> threading.Lock | None:
        """Close it until the lock that this returns is released; `None` if it is in use for too long."""
        ...


_BEGINNING: Final = threading.Lock()
_FILES: Final[WeakSet[Pausable]] = WeakSet()
_LOCKS: Final[list[threading.Lock]] = []
_TAKEN: Final[list[threading.Lock]] = []


def close_at_forks(file: Pausable) -> None:
    """Close it at every fork, as long as it exists."""
    with _BEGINNING:
        _FILES.add(file)


def make_lock() -> threading.Lock:
    """A lock of a module that no other thread holds at a fork. Whoever uses a file may take it; not vice versa."""
    lock = threading.Lock()
    _LOCKS.append(lock)
    return lock


def _prepare() -> None:
    _BEGINNING.acquire()
    _TAKEN.append(_BEGINNING)
    _TAKEN.extend(lock for lock in [file.pause() for file in list(_FILES)] if lock is not None)
    for lock in _LOCKS:
        lock.acquire()
        _TAKEN.append(lock)


def _go_on() -> None:
    while _TAKEN:
        _TAKEN.pop().release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_prepare, after_in_parent=_go_on, after_in_child=_go_on)
