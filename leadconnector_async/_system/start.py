"""Ctrl-C while the command `leadconnector` starts ends it with a message, not with a traceback.

Half of the command's start-up time passes before the first line of `cli` runs, because Python imports the package
first. So the package itself installs these handlers, and only if the process is the command.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from itertools import takewhile
from types import FrameType
from typing import Final

_COMMAND: Final = "leadconnector"
_INTERRUPTS: Final = ("SIGINT", "SIGTERM", "SIGHUP")
_PACKAGE: Final = "leadconnector_async"
_CLI: Final = f"{_PACKAGE}.cli"
_CODE: Final = 5
"""Interrupted: the command can be run again."""
_TEXT: Final = "Interrupted before anything was changed."


def is_command(arguments: Sequence[str]) -> bool:
    """Whether `arguments`, which begin with the interpreter, start the command."""
    first, second = (*arguments[1:3], "", "")[:2]
    name = os.path.basename(first).removesuffix(".exe").removesuffix("-script.py")
    return name == _COMMAND or (first == "-m" and second == _PACKAGE) or (first in ("-m", "-c") and _CLI in second)


def wants_json(arguments: Sequence[str]) -> bool:
    """Whether the command must print a JSON document."""
    flags = takewhile(lambda one: one != "--", arguments)
    return any(one.partition("=")[0] == "--json" for one in flags)


def end_quietly() -> None:
    """Make an interrupt end the process at once, as nothing has begun yet. Commands install their own handlers."""
    for name in _INTERRUPTS:
        number = getattr(signal, name, None)
        if number is not None and not (name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN):
            with suppress(ValueError, OSError):  # only the main thread can
                signal.signal(number, _leave)


def ignore_interrupts() -> None:
    """Keep the exit code: while the interpreter shuts down, signals would have their default handlers."""
    for name in _INTERRUPTS:
        if (number := getattr(signal, name, None)) is not None:
            with suppress(ValueError, OSError):
                signal.signal(number, signal.SIG_IGN)


def _leave(number: int, frame: FrameType | None) -> None:
    with suppress(OSError):
        os.write(2, f"{_TEXT}\n".encode())
    if wants_json(sys.argv[1:]):
        document = '{"exit_code": %d, "error": {"type": "Interrupted", "message": "%s"}}\n' % (_CODE, _TEXT)  # noqa: UP031
        with suppress(OSError):
            os.write(1, document.encode())
    os._exit(_CODE)
