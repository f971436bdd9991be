"""Files that are there whole or not at all.

Rule: a file is written beside its place, brought to the disk, and only then put there; whoever looks finds the old
one or the new one. It is for its owner only. What the disk refuses is an `OSError`.

Pure but for the file. Must not import anything of the package.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress


def replace_file(path: str, texts: Iterable[str]) -> None:
    """Write a file whole, or leave the old one."""
    beside = f"{path}.new"
    with suppress(FileNotFoundError):
        os.unlink(beside)
    try:
        _write(beside, texts)
        os.replace(beside, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(beside)
        raise
    settle_name(path)


def remove_file(path: str) -> None:
    """Remove a file, if it is there, and what a crash may have left beside it."""
    for each in (f"{path}.new", path):
        with suppress(FileNotFoundError):
            os.unlink(each)
            settle_name(path)


def _write(path: str, texts: Iterable[str]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8", newline="") as file:
        file.writelines(texts)
        file.flush()
        os.fsync(descriptor)


def settle_name(path: str) -> None:
    """Have the disk remember the new name, where the system can."""
    if os.name != "posix":
        return
    descriptor = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
