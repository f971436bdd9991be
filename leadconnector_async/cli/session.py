"""One run of a job from the command line: shows progress, handles interrupts, and returns an exit code."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from typing import TypeVar

import msgspec
from msgspec import structs

from ..exceptions import PlanError
from ..jobs import BulkJob, JobSummary, RowOutcome, Stopped
from ..jobs.states import list_states
from .arguments import SHOWN, Shown
from .exit_codes import DONE, USAGE, code_of
from .interrupt import Interrupted, catch_interrupts, raise_interrupts
from .job_report import (
    OutcomeSample,
    build_command,
    print_outcomes,
    print_preview,
    print_refused,
    print_stops,
    print_summary,
    print_warnings,
)
from .progress import JobScreen
from .terminal import has_terminal, make_consoles, print_json, print_line

T = TypeVar("T")

_SUCCEEDED = list_states("as planned")


class JobSession:
    """Runs a job on a terminal, or for a script."""

    def __init__(
        self,
        job: BulkJob,
        *,
        yes: bool,
        as_json: bool,
        dry_run: bool = False,
        detach: bool = False,
        here: bool = False,
        kept: tuple[RowOutcome, ...] = (),
        on_end: Callable[[Mapping[str, object]], None] | None = None,
    ) -> None:
        """`on_end` gets the summary of a job that has ended, as it is printed with `--json`."""
        self._job = job
        self._yes = yes
        self._as_json = as_json
        self._dry_run = dry_run
        self._detach = detach
        self._here = here or job.folder is not None
        self._kept = kept
        self._on_end = on_end or _tell_nobody
        _, self._err = make_consoles()
        self._screen = JobScreen(self._err)

    async def begin(
        self, question: str, begin: Callable[[], None], canary: int | None = None, shown: Shown = SHOWN
    ) -> int:
        """A new job: show what would change, ask, and change it. `begin` is called once the job is confirmed."""
        summary = await self._prepare(shown)
        if self._dry_run:
            return await self._end_dry_run(summary)
        pending = summary.counts.get("pending", 0)
        if pending and not await self._agree(question, pending):
            return USAGE
        begin()
        if summary.stopped and not pending:
            return self._report(summary)
        return await self._run_all(canary)

    async def resume(self, shown: Shown = SHOWN) -> int:
        """A job that was begun: read what was not read yet, show what is asked for, and continue.

        If it had ended, nobody is told again.
        """
        found = await self._job.summarize()
        if not (found.remaining or found.counts.get("unknown")):
            self._on_end = _tell_nobody
        summary = await (self._read(self._job.prepare) if shown == SHOWN else self._prepare(shown))
        if summary.stopped and not (summary.counts.get("pending") or summary.counts.get("sent")):
            return self._report(summary)
        return await self._run_all(None)

    async def _prepare(self, shown: Shown) -> JobSummary:
        """Read the calendar, and show what would change."""
        show = partial(self._job.preview, file=shown.preview, check_slots=shown.check_slots, names=shown.names)
        try:
            summary = await self._read(self._job.prepare)
        except PlanError:
            preview = await show()
            print_preview(self._err, preview, _now())
            print_warnings(self._err, preview, shown.preview)
            raise
        preview = await show()
        print_preview(self._err, preview, _now())
        print_refused(self._err, preview)
        print_stops(self._err, summary, _now())
        print_warnings(self._err, preview, shown.preview)
        return summary

    async def _agree(self, question: str, count: int) -> bool:
        """Ask; and if appointments were changed in the meantime, leave them out and ask again."""
        is_first = True
        while ask(question.format(count=count), yes=self._yes):
            changed = () if self._yes else await self._read(self._job.recheck)
            if not changed:
                if not is_first:
                    await self._job.leave_out_refused()
                return True
            print_outcomes(
                self._err, "These appointments were changed since the question, and are left out:", changed
            )
            is_first, count = False, count - len(changed)
            if count <= 0:
                print_line(self._err, "No appointment remains to be changed.")
                return False
        return False

    async def _read(self, read: Callable[[Callable[[int], None]], Awaitable[T]]) -> T:
        self._screen.start()
        try:
            return await read(self._screen.show_reading)
        except asyncio.CancelledError:
            raise Interrupted("Interrupted before anything was changed.") from None
        finally:
            self._screen.stop()

    async def _end_dry_run(self, summary: JobSummary) -> int:
        """Return whether the plan could be carried out."""
        code = code_of(summary) if summary.stopped else USAGE if summary.counts.get("refused") else DONE
        if self._as_json:
            preview = await self._job.preview()
            shown: dict[str, object] = {
                "dry_run": True,
                "exit_code": code,
                "requests": sum(preview.requests.values()),
                "remaining_seconds": round(preview.remaining_seconds, 1),
                "warnings": [structs.asdict(warning) for warning in preview.warnings],
            }
            print_json(self._describe(summary, shown))
        return code

    async def _run_all(self, canary: int | None) -> int:
        """Run the job, `canary` rows first."""
        if canary is not None:
            summary = await self._try_some(canary)
            if summary.stopped or not summary.remaining:
                return self._report(summary)
            try:
                if not await self._agree("Change the remaining {count}?", summary.remaining):
                    return self._report(structs.replace(await self._job.summarize(), stopped=summary.stopped))
            except Interrupted:
                stopped = Stopped("interrupted", "it was interrupted")
                return self._report(structs.replace(summary, stopped=(stopped,)))
        if not self._here:
            return await self._hand_over()
        failed = OutcomeSample()
        summary = await self._run(on_outcome=failed.add)
        failed.print(self._err)
        return self._report(summary)

    async def _hand_over(self) -> int:
        """A job of a database: leave it to workers, and follow it."""
        await self._job.submit()
        if not self._detach:
            return await self.follow()
        if self._as_json:
            print_json({"job": self._job.name, "exit_code": DONE, "submitted": True})
        else:
            print_line(make_consoles()[0], f"Submitted. Follow it with: {build_command('resume', self._job.name)}")
        return DONE

    async def follow(self) -> int:
        """A job that workers run: show its progress until it has ended. Ctrl-C leaves it to them."""
        summary = await follow_job(self._job, self._screen)
        if summary is None:
            stopped = Stopped("interrupted", "this command was interrupted, and the job goes on")
            summary = structs.replace(await self._job.summarize(), stopped=(stopped,))
        return self._report(summary)

    async def _try_some(self, count: int) -> JobSummary:
        """Change the first rows, read them again, and show them; stopped unless all of them succeeded."""
        seen: list[RowOutcome] = []
        options = self._job.options
        self._job.options = structs.replace(options, verify=True)
        try:
            summary = await self._run(count, seen.append)
        finally:
            self._job.options = options
        print_outcomes(self._err, "The first rows:", seen)
        return _check_first(summary, seen)

    async def _run(
        self, limit: int | None = None, on_outcome: Callable[[RowOutcome], None] = lambda outcome: None
    ) -> JobSummary:
        began = time.monotonic()
        self._screen.start()
        try:
            with catch_interrupts(self._stop, self._screen.stop):
                return await self._job.run(
                    limit=limit,
                    on_outcome=on_outcome,
                    on_progress=lambda progress: self._screen.show(progress, time.monotonic() - began),
                )
        except PlanError:
            raise
        except Exception as error:
            error.add_note(f"Resume with: {build_command('resume', self._job.name)}")
            raise
        finally:
            self._screen.stop()

    def _stop(self) -> str:
        count = self._job.stop()
        rows = "1 row" if count == 1 else f"{count} rows"
        self._screen.print_line(f"Stopping: waiting up to 10 s for {rows}. Ctrl-C again stops at once.")
        return ""

    def _report(self, summary: JobSummary) -> int:
        """Print the summary, pass it on, and return the exit code."""
        shown = self._describe(summary, {})
        self._on_end({"phase": "stopped" if summary.remaining else "done"} | shown)
        if self._as_json:
            print_json(shown)
        else:
            print_summary(
                make_consoles()[0], self._job.name, summary, _now(), has_files=self._job.folder is not None
            )
        return code_of(summary)

    def _describe(self, summary: JobSummary, more: dict[str, object]) -> dict[str, object]:
        kept = {"kept": [structs.asdict(outcome) for outcome in self._kept]} if self._kept else {}
        return describe(self._job.name, summary) | kept | more


async def follow_job(job: BulkJob, screen: JobScreen) -> JobSummary | None:
    """Show the progress of a job until it has ended; `None` after Ctrl-C, which leaves it to the workers."""
    began = time.monotonic()

    async def watch() -> JobSummary:
        async for progress in job.watch():
            screen.show(progress, time.monotonic() - began)
        return await job.wait()

    def leave() -> str:
        waiting.cancel()
        return "The job goes on."

    waiting = asyncio.ensure_future(watch())
    screen.start()
    try:
        with catch_interrupts(leave, screen.stop):
            return await waiting
    except asyncio.CancelledError:
        return None
    finally:
        screen.stop()


def ask(question: str, *, yes: bool) -> bool:
    """Ask for confirmation on a terminal; `False` without one. Raises `Interrupted` on Ctrl-C."""
    if yes:
        return True
    _, err = make_consoles()
    if not has_terminal():
        print_line(err, "Nothing was changed: there is no terminal to ask for confirmation. Add --yes to continue.")
        return False
    with raise_interrupts():
        err.print(f"{question} [y/N] ", end="", markup=False)
        try:
            answer = sys.stdin.readline()
        except OSError:  # the terminal was closed
            return False
        return answer.strip().lower() in ("y", "yes")


def describe(folder: str, summary: JobSummary) -> dict[str, object]:
    """A summary as JSON."""
    return {
        "job": folder,
        "exit_code": code_of(summary),
        "counts": dict(summary.counts),
        "total": summary.total,
        "remaining": summary.remaining,
        "repeated": summary.repeated,
        "seconds": round(summary.seconds, 3),
        "stopped": [msgspec.structs.asdict(stopped) for stopped in summary.stopped],
    }


@asynccontextmanager
async def discard_unless_begun(job: BulkJob) -> AsyncGenerator[Callable[[], None]]:
    """Delete a job that is never begun; call what this yields to begin it."""
    begun = False

    def begin() -> None:
        nonlocal begun
        begun = True

    try:
        yield begin
    finally:
        await (job.aclose() if begun else job.discard())


def _check_first(summary: JobSummary, seen: Sequence[RowOutcome]) -> JobSummary:
    if not seen and summary.remaining:
        stopped = Stopped("errors", "none of the first rows could be finished, so no other row was sent")
        return structs.replace(summary, stopped=(*summary.stopped, stopped))
    bad = sum(outcome.state not in _SUCCEEDED for outcome in seen)
    if not bad or summary.stopped:
        return summary
    stopped = Stopped("errors", f"{bad} of the first {len(seen)} rows did not succeed, so no other row was sent")
    return structs.replace(summary, stopped=(stopped,))


def _now() -> datetime:
    return datetime.now().astimezone()


def _tell_nobody(document: Mapping[str, object]) -> None:
    """The summary of a job whose end is of interest to nobody else."""
