"""An interrupt while the command `leadconnector` starts ends it with a sentence, and not with a traceback.

Python imports a package before its parts: half of the time that the command takes to start has passed before its
first line runs. So the package itself begins with this, and does nothing in any other program.
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
_ROOM: Final = "leadconnector_async.cli"
_CODE: Final = 5
"""Interrupted: what was to be done can be done again."""
_TEXT: Final = "Interrupted before anything was changed."


def is_command(arguments: Sequence[str]) -> bool:
    """Whether a process with these arguments, the interpreter being the first, is the command."""
    first, second = (*arguments[1:3], "", "")[:2]
    name = os.path.basename(first).removesuffix(".exe").removesuffix("-script.py")
    return name == _COMMAND or (first in ("-m", "-c") and _ROOM in second)


def wants_json(arguments: Sequence[str]) -> bool:
    """Whether a command with these arguments has promised a JSON document."""
    flags = takewhile(lambda one: one != "--", arguments)
    return any(one.partition("=")[0] == "--json" for one in flags)


def end_quietly() -> None:
    """From now on an interrupt ends the process at once: nothing has begun. Whoever begins something sees to it."""
    for name in _INTERRUPTS:
        number = getattr(signal, name, None)
        if number is not None and not (name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN):
            with suppress(ValueError, OSError):  # only the main thread can
                signal.signal(number, _leave)


def ignore_interrupts() -> None:
    """Let the process end with its own exit code: while the interpreter shuts down, signals have their defaults."""
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
