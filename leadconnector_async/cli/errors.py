"""Runs a command: whatever happens ends in a message, an exit code and, with `--json`, one document.

An error decides the exit code and never becomes a traceback. A result that cannot be printed does not change what
was done: a command that changes something still ends with the code of its outcome.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec
from cyclopts import App, CycloptsError
from msgspec import Struct

from .._system.start import wants_json
from .._validation.text import shorten
from ..exceptions import LeadConnectorError, PlanError
from .exit_codes import AT_ONCE, CAN_RESUME, DONE, FAILED, USAGE, code_for
from .interrupt import Interrupted, catch_interrupts
from .job_report import print_faults
from .streams import take_failure
from .terminal import DOCUMENT, drop_output, forget_odd_width, make_consoles, print_line

_LONGEST_LINE: Final = 2000


class ErrorReport(Struct, frozen=True):
    """What is printed about an error, and the exit code that it means."""

    code: int
    lines: tuple[str, ...]
    kind: str
    """The name of the error."""


def run_app(app: App, arguments: Sequence[str]) -> int:
    """Run the command line; returns the exit code."""
    forget_odd_width()
    DOCUMENT.promise(due=wants_json(arguments))
    try:
        result = app(arguments, exit_on_error=False, result_action="return_value")
    except CycloptsError as error:  # cyclopts has printed it
        DOCUMENT.print_error(USAGE, "UsageError", shorten(str(error), _LONGEST_LINE))
        return USAGE
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else DONE if ended.code is None else FAILED
    except BaseException as error:
        return _print_error(error)
    return _check_output(result if isinstance(result, int) else DONE, reads=True)


async def run_command(work: Callable[[], Awaitable[int]], *, as_json: bool = False, reads: bool = False) -> int:
    """Do the work of a command, and turn errors and Ctrl-C into a message and an exit code.

    A command that only `reads` has failed if its result cannot be written. `as_json` promises a document even where
    no command line requested one.
    """
    if as_json:
        DOCUMENT.promise(due=True)
    try:
        code = await _finish(work)
    except (Exception, asyncio.CancelledError) as error:
        return _print_error(error)
    DOCUMENT.print_error(code, "NotConfirmed", "Nothing was changed: the change was not confirmed.")
    return _check_output(code, reads=reads)


def describe_error(error: BaseException) -> ErrorReport:
    """What is printed about an error, and the exit code that it means."""
    kind = type(error).__name__
    notes = tuple(getattr(error, "__notes__", ()))
    if isinstance(error, LeadConnectorError):
        return ErrorReport(code_for(error), (str(error), *notes), kind)
    if isinstance(error, Interrupted | asyncio.CancelledError):
        return ErrorReport(CAN_RESUME, (str(error) or "Interrupted.",), "Interrupted")
    if isinstance(error, KeyboardInterrupt):
        return ErrorReport(AT_ONCE, ("Interrupted.",), "Interrupted")
    if isinstance(error, OSError | UnicodeDecodeError):
        return ErrorReport(CAN_RESUME if notes else USAGE, (_describe_file_error(error), *notes), kind)
    text = f"This is a bug in leadconnector-async; please report it: {kind}: {error}"
    return ErrorReport(CAN_RESUME if notes else FAILED, (text, *notes), kind)


def _describe_file_error(error: OSError | UnicodeDecodeError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return 'The plan is not valid UTF-8; save it as "CSV UTF-8".'
    name = f"{error.filename}: " if error.filename is not None else ""
    return f"{name}{error.strerror or str(error) or type(error).__name__}"


def _print_error(error: BaseException) -> int:
    _, err = make_consoles()
    report = describe_error(error)
    lines = [shorten(line, _LONGEST_LINE) for line in report.lines]
    if isinstance(error, PlanError):
        print_faults(err, error)
        faults = [msgspec.structs.asdict(fault) for fault in error.faults]
        DOCUMENT.print_error(report.code, report.kind, lines[0], count=error.count, faults=faults)
    else:
        for line in lines:
            print_line(err, line)
        DOCUMENT.print_error(report.code, report.kind, " ".join(lines))
    return report.code


def _check_output(code: int, *, reads: bool) -> int:
    """Report a result that was not written. Only a command that reads then ends with another code."""
    failure = take_failure()
    if failure is None:
        return code
    print_line(make_consoles()[1], f"The result could not be written to stdout: {failure.strerror or failure}.")
    return USAGE if reads and code == DONE else code


async def _finish(work: Callable[[], Awaitable[int]]) -> int:
    """Do the work and print its result. A reader that has closed the pipe is not an error."""

    async def act() -> int:
        code = await work()
        sys.stdout.flush()
        return code

    def cancel() -> str:
        task.cancel()
        return ""

    task = asyncio.ensure_future(act())
    try:
        with catch_interrupts(cancel):
            return await task
    except BrokenPipeError:
        drop_output(sys.stdout)
        return DONE
