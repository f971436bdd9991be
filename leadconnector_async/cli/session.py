"""One run of a job from the command line: shown, interrupted, and turned into an exit code.

Rule: whatever happens ends in words and a code; an error of this library is never a traceback.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import msgspec
from rich.console import Console

from ..exceptions import LeadConnectorError, PlanError
from ..jobs import BulkJob, JobSummary
from .exit_codes import CAN_RESUME, DONE, TOO_MANY, USAGE, code_for, code_of
from .interrupt import catch_interrupts
from .job_screen import JobScreen, print_faults, print_preview, print_summary

CANARY_WORDS: Final = "The first {count} rows did not all go well; the others were not started."


def make_consoles() -> tuple[Console, Console]:
    """For the summary, and for everything else."""
    return Console(highlight=False), Console(stderr=True, highlight=False)


def ask(question: str, *, yes: bool) -> bool:
    """Whether to go on: asked on a terminal, and refused without one."""
    if yes:
        return True
    _, err = make_consoles()
    if not sys.stdin.isatty():
        err.print("Nothing was changed: there is no terminal to ask on. Add --yes to go on.")
        return False
    err.print(f"{question} [y/N] ", end="", markup=False)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


class Interrupted(Exception):  # noqa: N818 - a wish, not an error
    """Somebody has stopped a job before anything was sent."""


class JobSession:
    """Runs a job for somebody who watches, or for a script."""

    def __init__(self, job: BulkJob, *, yes: bool, as_json: bool) -> None:
        self._job = job
        self._yes = yes
        self._as_json = as_json
        self._out, self._err = make_consoles()
        self._screen = JobScreen(self._err)

    async def prepare(self) -> JobSummary:
        """Read the calendar, and show what would change. Raises `Interrupted` at a Ctrl-C."""
        reading = asyncio.ensure_future(self._job.prepare(self._screen.show_reading))

        def give_up() -> None:
            reading.cancel()

        self._screen.start()
        try:
            with catch_interrupts(give_up, self._screen.say):
                summary = await reading
        except asyncio.CancelledError:
            raise Interrupted from None
        finally:
            self._screen.stop()
        print_preview(self._err, await self._job.preview())
        return summary

    def ask(self, question: str) -> bool:
        """Whether to go on."""
        return ask(question, yes=self._yes)

    async def run(self, canary: int | None = None) -> int:
        """Carry the job out; `canary` rows first."""
        if canary is not None:
            summary = await self._run(limit=canary)
            if code := code_of(msgspec.structs.replace(summary, counts=_leave_out_open(summary))):
                self._screen.say(CANARY_WORDS.format(count=canary))
                self.report(summary)
                return code if summary.stopped else TOO_MANY
            if not summary.left:
                self.report(summary)
                return code_of(summary)
            if not self.ask(f"The first {canary} rows are applied. Change the other {summary.left}?"):
                self.report(summary)
                return code_of(summary)
        summary = await self._run()
        self.report(summary)
        return code_of(summary)

    def report(self, summary: JobSummary) -> None:
        """How it ended, for people or for scripts."""
        if self._as_json:
            print(json.dumps(describe(self._job.folder, summary)))
        else:
            print_summary(self._out, self._job.folder, summary)

    async def _run(self, limit: int | None = None) -> JobSummary:
        began = time.monotonic()
        self._screen.start()
        try:
            with catch_interrupts(self._job.stop, self._screen.say):
                return await self._job.run(
                    limit=limit,
                    on_progress=lambda progress: self._screen.show(progress, time.monotonic() - began),
                )
        finally:
            self._screen.stop()


def describe(folder: str, summary: JobSummary) -> dict[str, object]:
    """A summary as JSON says it."""
    return {
        "job": folder,
        "exit_code": code_of(summary),
        "counts": dict(summary.counts),
        "total": summary.total,
        "left": summary.left,
        "repeated": summary.repeated,
        "seconds": round(summary.seconds, 3),
        "stopped": [msgspec.structs.asdict(stopped) for stopped in summary.stopped],
    }


async def guard(work: Callable[[], Awaitable[int]]) -> int:
    """Do something, and turn what goes wrong into words and a code."""
    _, err = make_consoles()
    try:
        return await work()
    except Interrupted:
        err.print("Interrupted before anything was changed.")
        return CAN_RESUME
    except PlanError as error:
        print_faults(err, error)
        return USAGE
    except LeadConnectorError as error:
        err.print(str(error), markup=False, soft_wrap=True)
        return code_for(error)
    except (OSError, UnicodeDecodeError) as error:
        reason = "it is not UTF-8: save it as CSV UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        err.print(f"The plan cannot be read: {reason}", markup=False, soft_wrap=True)
        return USAGE


def _leave_out_open(summary: JobSummary) -> dict[str, int]:
    return {state: count for state, count in summary.counts.items() if state not in ("ready", "loaded")}


@asynccontextmanager
async def discard_unless_begun(job: BulkJob) -> AsyncGenerator[Callable[[], None]]:
    """A job that was looked at and not begun leaves nothing behind; call what this yields to begin it."""
    begun = False

    def begin() -> None:
        nonlocal begun
        begun = True

    try:
        yield begin
    finally:
        await (job.aclose() if begun else job.discard())


def end_dry_run(folder: str, summary: JobSummary, as_json: bool) -> int:
    """Nothing was changed; whether it could be."""
    if as_json:
        print(json.dumps(describe(folder, summary) | {"dry_run": True}))
    if summary.stopped:
        return code_of(summary)
    return USAGE if summary.counts.get("refused") else DONE
