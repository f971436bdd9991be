"""What any process can do with a job, whoever runs it: follow it, control it, and write its reports."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator
from concurrent.futures import Executor
from functools import partial
from types import TracebackType
from typing import Self

import msgspec

from .._validation.settings import check_path
from .._validation.text import escape
from ..exceptions import ConfigurationError, JobConflictError, WorkersMissingError
from .claim import hold_free
from .following import EVERY, PATIENCE, Follower
from .instructing import cancel_held, write_rate, write_wanted
from .journal.counts import list_faults, summarize
from .journal.folder import is_in_use
from .journal.instructions import Wanted, change_wanted, set_rate
from .journal.load import MOST_NAMED
from .journal.phases import submit
from .journal.progress import Standing, find_folder_phase, read_standing, summarize_end
from .journal.tables import UNDER_WAY
from .journal.writer import JournalWriter, open_aside
from .opening import OpenedJob, connect_journal
from .places import DatabasePlace, FolderPlace
from .plan.files import build_plan_error
from .report import check_folder, write_files, write_html
from .states import JobOptions, JobProgress, JobSummary, count_rows, list_states


class JobHandle:
    """The methods of a job that work from any process, also while others run it."""

    def __init__(self, opened: OpenedJob, thread: Executor) -> None:
        self._place = opened.place
        self._key = opened.journal.hold.job
        self._let_go = opened.let_go
        self._journal = JournalWriter(opened.journal, thread)
        self._closed = False

    @property
    def name(self) -> str:
        """The name of the job in messages: its folder, or its URL without user name and password."""
        return self._place.name

    @property
    def folder(self) -> str | None:
        """The folder of the job; `None` if it is in a database."""
        return self._place.folder if isinstance(self._place, FolderPlace) else None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the journal. The job can be opened again."""
        await self._close(discard=False)

    async def summarize(self) -> JobSummary:
        """Summarize the state of the job, from its journal."""
        return await self._journal.run(summarize)

    async def watch(self) -> AsyncGenerator[JobProgress]:
        """Yield the progress of the whole job every second, whoever runs it, until it has ended.

        Also ends if no process runs the job of a folder, or if a job in a database was not submitted. Raises
        `PlanError` if workers refused rows, and `WorkersMissingError` after 30 seconds without a worker.
        """
        follower, loop, idle = Follower(), asyncio.get_running_loop(), 0
        while True:
            standing = await self._journal.run(partial(read_standing, time.time()))
            now = loop.time()
            progress = follower.describe(standing, now, time.time())
            if isinstance(self._place, FolderPlace):
                progress = _describe_folder(self._place, standing, progress, time.time())
            yield progress
            has_ended = progress.phase in ("ready", "stopped", "done")
            idle = idle + 1 if has_ended or (self.folder and not progress.workers) else 0
            # A run may be about to begin: in this process, or in one that has just opened the folder.
            if idle > (0 if has_ended and self.folder is None else 1):
                return
            if progress.phase == "refused":
                raise build_plan_error(*await self._journal.run(partial(list_faults, MOST_NAMED)))
            if self.folder is None and progress.phase in UNDER_WAY and follower.is_alone(now):
                raise WorkersMissingError(
                    f"No worker has been seen for {PATIENCE:g} s: start one with leadconnector worker "
                    f"{self.name.partition('#')[0]}. The job stays submitted."
                )
            await asyncio.sleep(EVERY)

    async def wait(self) -> JobSummary:
        """Wait until `watch` ends, and return the summary of the job. Raises what `watch` raises."""
        async for _ in self.watch():
            pass
        return await self._journal.run(partial(summarize_end, time.time()))

    async def submit(self) -> None:
        """Hand the job to the workers of its database, which prepare and run it.

        Idempotent: a submitted job does not change, unless it has ended with open rows; then it is submitted again.
        Raises `ConfigurationError` for a folder.
        """
        if self.folder is not None:
            raise ConfigurationError(
                f"{escape(self.folder)} is a folder, which one process runs: call run(), or create the job in"
                " Postgres"
            )
        await self._journal.run(submit)

    async def pause(self) -> bool:
        """Pause the job: within a second no new rows are sent. Returns whether it was running.

        Rows in flight finish. Raises `ConfigurationError` if the job has ended, or if no process runs the folder.
        """
        return await self._instruct("pause")

    async def resume(self) -> bool:
        """Resume a paused job; returns whether it was paused. A stopped job in a database is submitted again.

        Raises `ConfigurationError` if the job has ended, or if no process runs the folder.
        """
        changed = await self._instruct("run")
        return (self.folder is None and await self._journal.run(submit)) or changed

    async def cancel(self) -> bool:
        """Cancel the job: its open rows become `skipped`. Returns whether it was not cancelled before.

        Rows in flight finish. If no process runs the job, the rows are skipped here, and rows that may have been
        sent become `unknown`, unless the job was opened with a client. `retry_failed` re-queues them all.
        """
        if not isinstance(self._place, DatabasePlace):
            return await self._instruct("cancel")
        changed = await self._instruct("cancel")
        control = await connect_journal(self._place.address, self._place.job)
        try:
            async with hold_free(self._key, control) as (held, _):
                await self._journal.run(partial(cancel_held, held, time.time()))
        finally:
            await control.close()
        return changed

    async def set_rate(self, rate: float | None) -> None:
        """Change the maximum `rate`, in rows per second and location; `None`: as fast as the rate limit allows."""
        checked = JobOptions(rate=rate).rate
        if isinstance(self._place, FolderPlace):
            await open_aside(partial(write_rate, self._place.folder, checked))
        else:
            await self._journal.run(partial(set_rate, checked))

    async def write_report(
        self, folder: str | os.PathLike[str] | None = None, *, html: str | os.PathLike[str] | None = None
    ) -> None:
        """Write the outcome files and `report.html` again, also while the job runs.

        They go into `folder`, by default the folder of the job. With `html`, only the HTML report is written, to
        that file. Raises `JournalError` if a file cannot be written, and `ConfigurationError` if `folder` holds the
        report of another job.
        """
        summary = await self._journal.run(partial(summarize_end, time.time()))
        if html is not None:
            path = check_path("html", html)
            await self._journal.run(partial(write_html, path, self._place.title, summary))
            return
        chosen = check_path("folder", self.folder if folder is None else folder)
        if chosen != self.folder:
            await self._journal.run(partial(check_folder, chosen))
        await self._journal.run(partial(write_files, chosen, self._place.title, summary))

    async def _instruct(self, wanted: Wanted) -> bool:
        """Write what the job should do, for the processes that run it; returns whether that is new."""
        await self._check_is_open(wanted)
        if isinstance(self._place, FolderPlace):
            return await open_aside(partial(write_wanted, self._place.folder, wanted))
        return await self._journal.run(partial(change_wanted, wanted, self.name))

    async def _check_is_open(self, wanted: Wanted) -> None:
        summary = await self.summarize()
        is_finished = not (summary.remaining or (wanted == "run" and summary.counts.get("unknown")))
        if is_finished and not (self.folder is not None and is_in_use(self.folder)):
            applied = count_rows(summary.counts, list_states("as planned"))
            failed = summary.total - applied
            raise JobConflictError(f"{escape(self.name)} has ended ({applied:,} applied, {failed:,} failed)")

    async def _is_submitted(self) -> bool:
        """Whether the job is submitted and has not ended, so that workers may be running it."""
        if self.folder is not None:
            return False
        job = (await self._journal.run(partial(read_standing, time.time()))).job
        return bool(job.submitted) and job.phase in UNDER_WAY

    async def _close(self, *, discard: bool) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            await self._journal.close()
        except BaseException:
            self._let_go(discard=False)
            raise
        self._let_go(discard=discard)


def _describe_folder(place: FolderPlace, standing: Standing, progress: JobProgress, now: float) -> JobProgress:
    """Add what the lock of the folder shows: whether a process runs the job."""
    in_use = is_in_use(place.folder)
    job, remaining = standing.job, progress.total - progress.done
    phase = find_folder_phase(job.phase, standing.find_wanted(now), job.began, remaining, in_use=in_use)
    resume_at = progress.resume_at if phase == "paused" else None
    return msgspec.structs.replace(progress, phase=phase, workers=int(in_use), resume_at=resume_at)
