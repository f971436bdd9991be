"""Whether other members on this machine have ended: each locks a file for as long as its process runs.

A store cannot tell a member that was killed from one that is cut off and uses its share. A member on the same
machine can: a killed process holds no lock. A member whose file is not here counts as cut off for a minute.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from contextlib import suppress

from .._system.files import close_lock, is_exhausted, make_own_folder, open_lock, open_own, try_lock


class Presence:
    """The lock of one member. Methods may block for a moment. Where no lock can be had, nothing happens."""

    __slots__ = ("_descriptor", "_member", "is_shown")

    def __init__(self, member: str) -> None:
        self._member = member
        self._descriptor: int | None = None
        self.is_shown = False
        """The lock is held, or cannot be had."""

    def show(self) -> None:
        """Hold the lock from now on; try again later if no file can be opened just now."""
        self.is_shown = True
        try:
            folder = find_folder()
            make_own_folder(folder)
            self._descriptor = open_lock(os.path.join(folder, self._member))
            try_lock(self._descriptor)  # nobody else knows the name yet
        except OSError as error:
            self.is_shown = not is_exhausted(error)

    def hide(self, *, ended: bool = False) -> None:
        """The member has said goodbye; or has `ended` without one, as others shall see."""
        descriptor, self._descriptor, self.is_shown = self._descriptor, None, False
        if descriptor is not None:
            with suppress(OSError):
                if not ended:
                    os.unlink(os.path.join(find_folder(), self._member))
            with suppress(OSError):
                close_lock(descriptor)


def find_dead(members: Iterable[str]) -> list[str]:
    """Those of these members that ran on this machine and have ended. May block for a moment."""
    return [member for member in members if _is_dead(os.path.join(find_folder(), os.path.basename(member)))]


def _is_dead(path: str) -> bool:
    try:
        descriptor = open_own(path, os.O_RDWR)
    except OSError:
        return False
    is_free = False
    with suppress(OSError):
        is_free = try_lock(descriptor)
        if is_free:
            os.unlink(path)
    with suppress(OSError):
        close_lock(descriptor)
    return is_free


def find_folder() -> str:
    """The folder of the locks of this user."""
    user = os.getuid() if hasattr(os, "getuid") else "locks"
    return os.path.join(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir(), f"leadconnector_async-{user}")
