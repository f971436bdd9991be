"""Results that other programs read: to stdout or into a file, always as UTF-8.

Rule: a file is written whole or not at all, and replaces another one only if that is wanted. Text that came from
the server cannot steer a terminal.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from ..exceptions import ConfigurationError
from .consoles import drop_output

_JOINERS: Final = "\u200c\u200d"
"""They join letters of some scripts, and emoji."""


def write_lines(lines: Iterable[str]) -> None:
    """To stdout, whatever its encoding; a reader who has seen enough is no error."""
    try:
        sys.stdout.flush()
        for line in lines:
            sys.stdout.buffer.write(line.encode())
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        drop_output(sys.stdout)


def check_target(path: str | None, *, force: bool) -> None:
    """Refuse at once what could not be written later; `None` is stdout. Raises `ConfigurationError`."""
    if path is None:
        return
    if os.path.isdir(path):
        raise ConfigurationError(f"{path} is a folder: give the name of a file")
    if os.path.lexists(path) and not force:
        raise ConfigurationError(f"{path} is there already: give another name, or --force")
    folder = os.path.dirname(path) or os.curdir
    if not os.path.isdir(folder):
        raise ConfigurationError(f"{path} cannot be written: there is no folder {folder}")


def write_file(path: str, lines: Iterable[str], *, force: bool) -> None:
    """Into a file for its owner only, which appears when all of it is there. Raises `ConfigurationError`."""
    beside = f"{path}.{os.getpid()}.new"
    try:
        with open(beside, "x", encoding="utf-8", newline="", opener=_open_for_owner) as file:
            try:
                file.writelines(lines)
                file.flush()
                os.fsync(file.fileno())
                _put(beside, path, force=force)
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(beside)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror or error}") from None


def clean(text: str) -> str:
    """Without line ends and control characters."""
    return "".join(letter if letter.isprintable() or letter in _JOINERS else " " for letter in text)


def _open_for_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _put(beside: str, path: str, *, force: bool) -> None:
    """Give a file its name; without `force`, one that has come there meanwhile stays."""
    if force:
        os.replace(beside, path)
        return
    try:
        os.link(beside, path)
    except FileExistsError:
        raise
    except OSError:  # not every file system has links
        os.replace(beside, path)
