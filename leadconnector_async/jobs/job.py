"""`BulkJob`: many appointments rescheduled safely, with a journal.

Everything is checked before anything is sent, the intent of every request is on disk before it is sent, and a job
can be resumed from its folder after any interruption.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from functools import partial
from types import TracebackType
from typing import Final, Self, TypeVar

import msgspec

from .._api.precondition import ReadingClock
from .._files import close_lock
from .._validation.settings import check_callback, check_count, check_kind, check_line, check_path
from .._validation.text import escape
from ..access import check_may_write
from ..client import LeadConnector
from ..exceptions import ConfigurationError
from .eta import ReadingLog, forecast_location
from .journal.counts import list_faults, summarize
from .journal.database import Connect
from .journal.folder import enter, fill_journal, remove_files, reopen_journal
from .journal.load import MOST_NAMED
from .journal.preparing import forget_readings, has_sent
from .journal.rows import Position, count_open, retry_failed
from .journal.tables import get_fact, set_fact
from .journal.writer import JournalWriter, make_thread
from .plan.files import build_plan_error
from .plan.sources import RowSource, check_source, hand_over
from .prepare.prepare import Preparation
from .prepare.preview import Preview, read_preview
from .report import write_files
from .run.runner import Runner
from .states import JobOptions, JobProgress, JobSummary, RowOutcome, Stopped
from .verify import Undo, Verification, Verifier

_TICK: Final = 0.2
T = TypeVar("T")
OnOutcome = Callable[[RowOutcome], None]
OnProgress = Callable[[JobProgress], None]


class BulkJob:
    """Carries out a plan, with a journal in a folder.

        async with await BulkJob.create("day.job", client, iterate_plan(file)) as job:
            await job.prepare()
            summary = await job.run()

    A job can be resumed after any interruption: `BulkJob.open(folder, client)`, then `run`. Only one process at a
    time can open it. Rows that name no location use that of `client`; other locations use `client.for_location`.
    """

    def __init__(
        self, folder: str, client: LeadConnector, journal: JournalWriter, options: JobOptions, lock: int
    ) -> None:
        self.folder = folder
        self.options = options
        self._client = client
        self._journal = journal
        self._lock = lock
        self._runner: Runner | None = None
        self._stopped: Stopped | None = None
        self._cancel_reading: Callable[[], object] | None = None
        self._closed = self._running = False
        self._clock = ReadingClock(asyncio.get_running_loop())
        self._readings = ReadingLog(self._clock)
        self._prepared_at: float | None = None
        self._clients: dict[str, LeadConnector] = {}

    @classmethod
    async def create(
        cls,
        folder: str | os.PathLike[str],
        client: LeadConnector,
        rows: RowSource,
        *,
        timezone: str | None = None,
        options: JobOptions | None = None,
        connect: Connect | None = None,
        thread: Executor | None = None,
    ) -> Self:
        """Create a job in a new folder, and check each row by itself. Sends no requests.

        `rows` are those of `iterate_plan`, or whatever `update_many` accepts; `timezone` is for wall-clock times in
        mappings. Raises `PlanError` with every bad row, and removes the folder; raises `ConfigurationError` if the
        folder already holds a job.
        """
        check_source(rows)
        path = check_path("folder", folder)
        check_kind("client", client, LeadConnector)
        chosen = check_kind("options", JobOptions() if options is None else options, JobOptions)
        check_callback("connect", connect)
        thread = make_thread() if thread is None else check_kind("thread", thread, Executor, "an Executor")
        lock = enter(path, new=True)
        try:
            fill = partial(fill_journal, path, timezone, client.location_id or "", chosen, connect)
            journal = await hand_over(rows, fill, thread)
        except BaseException:
            remove_files(path)
            close_lock(lock)
            raise
        return cls(path, client, JournalWriter(journal, thread), chosen, lock)

    @classmethod
    async def open(
        cls,
        folder: str | os.PathLike[str],
        client: LeadConnector,
        *,
        connect: Connect | None = None,
        thread: Executor | None = None,
    ) -> Self:
        """Open an existing job. Raises `JournalError` if there is none, or if another process has it open."""
        path = check_path("folder", folder)
        check_kind("client", client, LeadConnector)
        check_callback("connect", connect)
        thread = make_thread() if thread is None else check_kind("thread", thread, Executor, "an Executor")
        lock = enter(path, new=False)
        try:
            reopen = partial(reopen_journal, path, client.location_id or "", connect)
            journal = await asyncio.get_running_loop().run_in_executor(thread, reopen)
            options = msgspec.json.decode(get_fact("options", journal) or "{}", type=JobOptions)
        except BaseException:
            close_lock(lock)
            raise
        return cls(path, client, JournalWriter(journal, thread), options, lock)

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

    async def discard(self) -> None:
        """Close the job and remove its files: for one that has sent nothing."""
        await self._close(discard=True)

    async def _close(self, *, discard: bool) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            await self._journal.close()
            if discard:
                remove_files(self.folder)
        finally:
            close_lock(self._lock)

    async def prepare(self, on_read: Callable[[int], None] = lambda count: None) -> JobSummary:
        """Check every row against the calendar and decide the order. Reads only.

        All open rows are read, including those read before: a row whose appointment somebody else has changed since
        then is `refused`, or `skipped` once the job has sent something. A location that cannot be read is listed in
        `stopped`, and its rows stay `loaded`. `on_read` is called with the number of rows read so far. Raises
        `PlanError` with all rows that cannot be carried out, unless `skip_refused` is set or the job has sent
        something.
        """
        check_callback("on_read", on_read, optional=False)
        await self._journal.run(forget_readings)
        return await self._read_unread(on_read)

    async def recheck(self, on_read: Callable[[int], None] = lambda count: None) -> tuple[RowOutcome, ...]:
        """Read all open rows again, such as after a prompt; returns those that will no longer be changed.

        They are `refused`, `skipped` or `unchanged`. Before the job's first write, `run` continues without refused
        rows only after `leave_out_refused`.
        """
        check_callback("on_read", on_read, optional=False)
        await self._journal.run(forget_readings)
        preparation = self._prepare(on_read)
        await preparation.run()
        self._prepared_at = self._clock.now()
        return tuple(await preparation.list_changed())

    async def leave_out_refused(self) -> None:
        """Let `run` continue without the refused rows, also after the job is reopened: sets `skip_refused`."""
        self.options = msgspec.structs.replace(self.options, skip_refused=True)
        content = msgspec.json.encode(self.options).decode()
        await self._journal.run(partial(set_fact, "options", content))

    async def _read_unread(self, on_read: Callable[[int], None] = lambda count: None) -> JobSummary:
        stopped = await self._prepare(on_read).run()
        self._prepared_at = self._clock.now()
        faults, count = await self._journal.run(partial(list_faults, MOST_NAMED))
        if count and not self.options.skip_refused and not await self._journal.run(has_sent):
            raise build_plan_error(faults, count)
        return msgspec.structs.replace(await self.summarize(), stopped=stopped)

    async def _read_what_is_old(self) -> JobSummary:
        """Before a run: all open rows, unless they were read just now. What becomes stale is read in the run."""
        read_at, self._prepared_at = self._prepared_at, None
        if read_at is None or not self._clock.is_fresh(read_at, self.options.max_reading_age):
            return await self.prepare()
        return await self._read_unread()

    async def run(
        self,
        *,
        limit: int | None = None,
        on_outcome: OnOutcome = lambda outcome: None,
        on_progress: OnProgress = lambda progress: None,
    ) -> JobSummary:
        """Carry out all open rows, or at most `limit` of them. Call it again to continue.

        A failed row does not stop the others. `JobSummary` has the row states, and why the job stopped early.
        Raises `PlanError` as `prepare` does, and `JournalError` when the journal fails: nothing more is sent then.
        Raises `ReadOnlyError` at once if the client may only read.
        """
        check_may_write(self._client.access, "BulkJob.run")
        if limit is not None:
            check_count("limit", limit, 0)
        check_callback("on_outcome", on_outcome, optional=False)
        check_callback("on_progress", on_progress, optional=False)
        if self._running:
            raise ConfigurationError(f"The job in {escape(self.folder)} is already running.")
        self._running, self._stopped = True, None
        try:
            return await self._run(limit, on_outcome, on_progress)
        finally:
            self._running = False

    async def _run(self, limit: int | None, on_outcome: OnOutcome, on_progress: OnProgress) -> JobSummary:
        loop = asyncio.get_running_loop()
        began = loop.time()
        prepared = await self._unless_stopped(self._read_what_is_old())
        unread = prepared.stopped if prepared is not None else ()
        verifier = Verifier(self._journal, self._find_client, self._clock)
        await self._unless_stopped(verifier.resolve_unknown())
        stopped = await self._run_once(limit, on_outcome, on_progress)
        if not stopped and limit is None and await self._unless_stopped(verifier.resolve_unknown()):
            stopped = await self._run_once(limit, on_outcome, on_progress)
        again = {one.location_id for one in stopped}
        stopped = self._add_stop((*(one for one in unread if one.location_id not in again), *stopped))
        await self._journal.flush()
        summary = msgspec.structs.replace(await self.summarize(), stopped=stopped, seconds=loop.time() - began)
        await self._journal.run(partial(write_files, self.folder, summary))
        return summary

    async def _run_once(
        self, limit: int | None, on_outcome: OnOutcome, on_progress: OnProgress
    ) -> tuple[Stopped, ...]:
        loads = await self._journal.run(count_open)
        if self._stopped is not None:
            return (self._stopped,)
        self._runner = runner = Runner(
            self._journal,
            self.options,
            self._find_client,
            self._clock,
            self._readings,
            loads,
            refresh=self._refresh,
            on_outcome=on_outcome,
            limit=limit,
        )
        ticker = asyncio.get_running_loop().create_task(_tick(runner, on_progress))
        try:
            return await runner.run()
        finally:
            ticker.cancel()
            self._runner = None
            on_progress(runner.describe())

    async def preview(self, most: int = 10) -> Preview:
        """What `run` would do: the first `most` changes, and how long all will take. Call `prepare` first."""
        check_count("most", most, 0)
        preview = await self._journal.run(partial(read_preview, most))
        seconds = {
            location: forecast_location(
                self._readings.build_load(location, count, self._find_client(location).quota, 0.0, self.options),
                self.options.rate,
            )
            for location, count in preview.requests.items()
        }
        return msgspec.structs.replace(preview, seconds=seconds)

    def stop(self, reason: str = "it was interrupted") -> int:
        """Start no more rows; `run` returns when the requests that were sent have ended, within ten seconds.

        Returns how many rows these are.
        """
        self._stopped = Stopped("interrupted", check_line("reason", reason))
        if self._cancel_reading is not None:
            self._cancel_reading()
        return self._runner.stop(self._stopped) if self._runner is not None else 0

    async def summarize(self) -> JobSummary:
        """The state of the job, from its journal."""
        return await self._journal.run(summarize)

    async def retry_failed(self) -> int:
        """Re-queue the rows that failed or were skipped; returns how many. `run` sends them."""
        return await self._journal.run(retry_failed)

    async def verify(self) -> Verification:
        """Compare the calendar with what the job has changed. Reads only."""
        return await Verifier(self._journal, self._find_client, self._clock).verify()

    async def plan_undo(self) -> Undo:
        """Plan how to undo the job: rows for another job, and appointments changed since. Reads only."""
        return await Verifier(self._journal, self._find_client, self._clock).plan_undo()

    def _add_stop(self, stopped: tuple[Stopped, ...]) -> tuple[Stopped, ...]:
        return stopped if self._stopped is None or self._stopped in stopped else (*stopped, self._stopped)

    async def _unless_stopped(self, read: Coroutine[object, object, T]) -> T | None:
        """Await something that only reads; `None` if the job is stopped before or meanwhile."""
        if self._stopped is not None:
            read.close()
            return None
        task = asyncio.ensure_future(read)
        self._cancel_reading = task.cancel
        try:
            return await task
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                raise
            return None
        finally:
            self._cancel_reading = None

    def _prepare(self, on_read: Callable[[int], None]) -> Preparation:
        return Preparation(self._journal, self.options, self._find_client, self._clock, self._readings, on_read)

    async def _refresh(self, location: str, after: Position, most: int) -> tuple[Position, list[RowOutcome]]:
        return await self._prepare(lambda count: None).refresh(location, after, most)

    def _find_client(self, location: str) -> LeadConnector:
        client = self._clients.get(location)
        if client is None:
            own = location in ("", self._client.location_id)
            client = self._clients[location] = self._client if own else self._client.for_location(location)
        return client


async def _tick(runner: Runner, on_progress: OnProgress) -> None:
    while True:
        await asyncio.sleep(_TICK)
        on_progress(runner.describe())
