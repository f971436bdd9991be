"""The edge of the command line: whatever happens ends in a sentence, an exit code, and with `--json` one document.

An error decides the exit code and never becomes a traceback. What could not be shown does not change what was
done: a command that changes something ends with the code that says what became of it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec
from cyclopts import App, CycloptsError
from msgspec import Struct

from .._start import wants_json
from .._validation.text import shorten
from ..exceptions import LeadConnectorError, PlanError
from .exit_codes import AT_ONCE, CAN_RESUME, DONE, FAILED, USAGE, code_for
from .interrupt import Interrupted, catch_interrupts
from .job_report import print_faults
from .terminal import DOCUMENT, drop_output, forget_odd_width, make_consoles, print_line, take_failure

_LONGEST_LINE: Final = 2000


class Ending(Struct, frozen=True):
    """How a command ends that did not come to its end."""

    code: int
    lines: tuple[str, ...]
    kind: str
    """The name of the error."""


def run(app: App, arguments: Sequence[str]) -> int:
    """Run the command line; returns the exit code."""
    forget_odd_width()
    DOCUMENT.promise(due=wants_json(arguments))
    try:
        result = app(arguments, exit_on_error=False, result_action="return_value")
    except CycloptsError as error:  # it has said so
        DOCUMENT.print_error(USAGE, "UsageError", _shorten(str(error)))
        return USAGE
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else DONE if ended.code is None else FAILED
    except BaseException as error:
        return _end(error)
    return _tell_of_output(result if isinstance(result, int) else DONE, reads=True)


async def guard(work: Callable[[], Awaitable[int]], *, as_json: bool = False, reads: bool = False) -> int:
    """Do something, and turn what goes wrong, and a Ctrl-C, into words and a code.

    A command that only `reads` has not done what it is for if its result cannot be written. `as_json` promises a
    document even where nobody has asked for it on a command line.
    """
    if as_json:
        DOCUMENT.promise(due=True)
    try:
        code = await _finish(work)
    except (Exception, asyncio.CancelledError) as error:
        return _end(error)
    DOCUMENT.print_error(code, "NotConfirmed", "Nothing was changed: it was not confirmed.")
    return _tell_of_output(code, reads=reads)


def describe(error: BaseException) -> Ending:
    """What is said of an error, and the exit code that it means."""
    kind = type(error).__name__
    notes = tuple(getattr(error, "__notes__", ()))
    if isinstance(error, LeadConnectorError):
        return Ending(code_for(error), (str(error), *notes), kind)
    if isinstance(error, Interrupted | asyncio.CancelledError):
        return Ending(CAN_RESUME, (str(error) or "Interrupted.",), "Interrupted")
    if isinstance(error, KeyboardInterrupt):
        return Ending(AT_ONCE, ("Interrupted.",), "Interrupted")
    if isinstance(error, OSError | UnicodeDecodeError):
        return Ending(CAN_RESUME if notes else USAGE, (describe_file_error(error), *notes), kind)
    text = f"This is a bug in leadconnector-async; please report it: {kind}: {error}"
    return Ending(CAN_RESUME if notes else FAILED, (text, *notes), kind)


def describe_file_error(error: OSError | UnicodeDecodeError) -> str:
    """Why a file cannot be read, and how to fix it."""
    if isinstance(error, UnicodeDecodeError):
        return 'The plan is not valid UTF-8: save it as "CSV UTF-8".'
    name = f"{error.filename}: " if error.filename is not None else ""
    return f"{name}{error.strerror or str(error) or type(error).__name__}"


def _end(error: BaseException) -> int:
    _, err = make_consoles()
    ending = describe(error)
    lines = tuple(map(_shorten, ending.lines))
    if isinstance(error, PlanError):
        print_faults(err, error)
        faults = [msgspec.structs.asdict(fault) for fault in error.faults]
        DOCUMENT.print_error(ending.code, ending.kind, lines[0], count=error.count, faults=faults)
    else:
        for line in lines:
            print_line(err, line)
        DOCUMENT.print_error(ending.code, ending.kind, " ".join(lines))
    return ending.code


def _tell_of_output(code: int, *, reads: bool) -> int:
    """Say that the result was not written; a command that changes something ends as it has ended."""
    failure = take_failure()
    if failure is None:
        return code
    print_line(make_consoles()[1], f"The result could not be written to stdout: {failure.strerror or failure}.")
    return USAGE if reads and code == DONE else code


async def _finish(work: Callable[[], Awaitable[int]]) -> int:
    """Do it until its words are out. A reader who has gone away is no failure."""

    async def act() -> int:
        code = await work()
        sys.stdout.flush()
        return code

    def give_up() -> str:
        task.cancel()
        return ""

    task = asyncio.ensure_future(act())
    try:
        with catch_interrupts(give_up):
            return await task
    except BrokenPipeError:
        drop_output(sys.stdout)
        return DONE


def _shorten(text: str) -> str:
    return shorten(text, _LONGEST_LINE)
