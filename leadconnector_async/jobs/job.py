"""`BulkJob`: many appointments rescheduled safely, with a journal.

Everything is checked before anything is sent, and the intent of every request is on disk before it is sent.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, Self

import msgspec

from .._api.precondition import ReadingClock
from .._validation.settings import check_callback, check_count, check_kind, check_line, check_seconds
from .._validation.text import escape
from ..access import check_may_write
from ..client import LeadConnector, needs_location
from ..exceptions import ConfigurationError, PlanError
from .claim import hold_all
from .control import Control, follow
from .eta import ReadingLog
from .handle import JobHandle
from .instructing import describe_idle
from .journal.connection import Connect
from .journal.counts import list_faults
from .journal.instructions import Wanted, begin_run, change_wanted, end_run, leave_out_refused, refuse_run, set_rate
from .journal.load import MOST_NAMED, NewJob
from .journal.preparing import forget_readings, has_sent
from .journal.purge import remove_job
from .journal.rows import retry_failed
from .journal.writer import make_thread
from .locations import cancel_all, prepare_all, review_all, run_all
from .opening import OpenedJob, connect_journal, create_job, open_job
from .places import DatabasePlace, StrPath, conceal_place, parse_place
from .plan.files import build_plan_error
from .plan.sources import RowSource, check_source
from .prepare.preview import Preview
from .previewing import preview_job
from .report import write_files
from .run.runner import GRACE_SECONDS, Runner
from .states import JobOptions, JobSummary, OnOutcome, OnProgress, RowOutcome, Stopped
from .unit import ClientFor, OpenJob, choose_client, find_no_fence
from .verify import Undo, Verification, plan_way_back, summarize_verdicts

_TICK: Final = 0.2


class BulkJob(JobHandle):
    """Carries out a plan, with a journal in a folder or in a Postgres database.

        async with await BulkJob.create("day.job", client, iterate_plan(file)) as job:
            await job.prepare()
            summary = await job.run()

    A job can be resumed after any interruption: `BulkJob.open(place, client)`, then `run`. Only one process at a
    time can open a folder so; any other can open it without a client, to follow and control it. A job of a database
    can be handed to workers instead: `submit`, then `watch` or `wait`. Rows that name no location use that of
    `client`; other locations use `client.for_location`.
    """

    def __init__(
        self, opened: OpenedJob, client: LeadConnector | None, thread: Executor, client_for: ClientFor | None = None
    ) -> None:
        super().__init__(opened, thread)
        self._client_for: ClientFor = self._find_client if client_for is None else client_for
        clock = ReadingClock(asyncio.get_running_loop())
        self._given_client = client
        self._control = Control(opened.options)
        self._open = OpenJob(opened.journal.hold.job, self._journal, clock, ReadingLog(clock), self._control)
        self._runner: Runner | None = None
        self._prepared_at: float | None = None
        self._clients: dict[str, LeadConnector] = {}

    @property
    def options(self) -> JobOptions:
        """How the job runs."""
        return self._control.options

    @options.setter
    def options(self, options: JobOptions) -> None:
        self._control.update(self._control.wanted, options)

    @classmethod
    async def create(
        cls,
        place: str | os.PathLike[str],
        client: LeadConnector,
        rows: RowSource,
        *,
        timezone: str | None = None,
        options: JobOptions | None = None,
        connect: Connect | None = None,
        thread: Executor | None = None,
        allow_plaintext: bool = False,
    ) -> Self:
        """Create a job in a new folder or a Postgres database, and check each row by itself. Sends no requests.

        `place` is a folder, or `postgresql://HOST/DATABASE#NAME` for a job that workers on many machines can run;
        `allow_plaintext` permits an unencrypted connection. `client` carries the job out. `rows` are those of
        `iterate_plan`, or whatever `update_many` accepts; `timezone` is for wall-clock times in mappings. `options`
        decide how it runs. `connect` opens the SQLite database of a folder, `thread` is the executor that uses it.
        Raises `PlanError` with every bad row, and leaves nothing behind then; raises `ConfigurationError` if the
        job already exists.
        """
        check_source(rows)
        given = conceal_place(place)
        del place
        found = parse_place(given, allow_plaintext=allow_plaintext)
        check_kind("client", client, LeadConnector)
        chosen = check_kind("options", JobOptions() if options is None else options, JobOptions)
        check_callback("connect", connect)
        thread = make_thread() if thread is None else check_kind("thread", thread, Executor, "an Executor")
        location = None if needs_location(client) else client.location_id or ""
        new = NewJob(location=location, timezone=timezone, options=chosen)
        return cls(await create_job(found, rows, new, thread, connect), client, thread)

    @classmethod
    async def open(
        cls,
        place: str | os.PathLike[str],
        client: LeadConnector | None = None,
        *,
        connect: Connect | None = None,
        thread: Executor | None = None,
        allow_plaintext: bool = False,
    ) -> Self:
        """Open an existing job. Raises `JournalError` if there is none, or if another process has its folder open.

        Without a `client`, nothing of it can be prepared, run, verified or undone; the rest can be done also while
        others run it. `place`, `connect`, `thread` and `allow_plaintext` are those of `create`.
        """
        given = conceal_place(place)
        del place
        found = parse_place(given, allow_plaintext=allow_plaintext)
        if client is not None:
            check_kind("client", client, LeadConnector)
        check_callback("connect", connect)
        thread = make_thread() if thread is None else check_kind("thread", thread, Executor, "an Executor")
        location = None if client is None else client.location_id or ""
        return cls(await open_job(found, location, connect=connect, thread=thread), client, thread)

    async def discard(self) -> None:
        """Close the job and remove it: for one that has sent nothing."""
        if self.folder is None and not self._closed:
            await self._journal.run(partial(remove_job, self._open.key))
        await self._close(discard=True)

    async def prepare(self, on_read: Callable[[int], None] = lambda count: None) -> JobSummary:
        """Check every row against the calendar and decide the order. Reads only.

        All open rows are read, including those read before: a row whose appointment somebody else has changed since
        then is `refused`, or `skipped` once the job has sent something. A location that cannot be read is listed in
        `stopped`, and its rows stay `loaded`. `on_read` is called with the number of rows read so far. Raises
        `PlanError` with all rows that cannot be carried out, unless `skip_refused` is set or the job has sent
        something.
        """
        check_callback("on_read", on_read, optional=False)
        self._check_is_own()
        if await self._is_submitted():
            return await self._wait_until_prepared()
        async with self._holding():
            await self._journal.run(forget_readings)
            stopped = await self._read_unread(on_read)
            return msgspec.structs.replace(await self.summarize(), stopped=stopped)

    async def recheck(self, on_read: Callable[[int], None] = lambda count: None) -> tuple[RowOutcome, ...]:
        """Read all open rows again, such as after a prompt; returns those that will no longer be changed.

        They are `refused`, `skipped` or `unchanged`. Before the job's first write, `run` continues without refused
        rows only after `leave_out_refused`. `on_read`: as for `prepare`.
        """
        check_callback("on_read", on_read, optional=False)
        self._check_is_own()
        changed: list[RowOutcome] = []
        async with self._holding():
            await self._journal.run(forget_readings)
            await self._prepare_all(on_read, changed.append)
        return tuple(changed)

    async def leave_out_refused(self) -> None:
        """Let `run` or `submit` continue without the refused rows, also after a reopening: sets `skip_refused`."""
        if self.folder is not None:
            self._check_is_own()
        self.options = msgspec.structs.replace(self.options, skip_refused=True)
        await self._journal.run(leave_out_refused)

    async def _read_unread(self, on_read: Callable[[int], None] = lambda count: None) -> tuple[Stopped, ...]:
        stopped = await self._prepare_all(on_read)
        faults, count = await self._journal.run(partial(list_faults, MOST_NAMED))
        if count and not self.options.skip_refused and not await self._journal.run(has_sent):
            raise build_plan_error(faults, count)
        return stopped

    async def _read_what_is_old(self) -> tuple[Stopped, ...]:
        """Before a run: all open rows, unless they were read just now. What becomes stale is read in the run."""
        read_at, self._prepared_at = self._prepared_at, None
        is_fresh = read_at is not None and self._open.clock.is_fresh(read_at, self.options.max_reading_age)
        if not is_fresh:
            await self._journal.run(forget_readings)
        return await self._read_unread()

    async def run(
        self,
        *,
        limit: int | None = None,
        on_outcome: OnOutcome = lambda outcome: None,
        on_progress: OnProgress = lambda progress: None,
    ) -> JobSummary:
        """Carry out all open rows, or at most `limit` of them. Call it again to continue.

        `on_outcome` is called with each outcome, `on_progress` with the progress, several times a second. A failed
        row does not stop the others. `JobSummary` has the row states, and why the job stopped early. Raises
        `PlanError` as `prepare` does; `JournalError` when the journal fails: nothing more is sent then; at once,
        `ReadOnlyError` if the client may only read, and `ConfigurationError` if the job is already running.
        """
        check_may_write(self._client.access, "BulkJob.run")
        if limit is not None:
            check_count("limit", limit, 0)
        check_callback("on_outcome", on_outcome, optional=False)
        check_callback("on_progress", on_progress, optional=False)
        if self._runner is not None:
            raise ConfigurationError(f"The job in {escape(self.name)} is already running.")
        runner = Runner(self._control, self._open.clock, self._open.readings, on_outcome=on_outcome, limit=limit)
        self._runner = runner
        try:
            await self._check_may_run()
            async with self._holding():
                return await self._run(runner, on_progress)
        finally:
            self._runner = None

    async def _run(self, runner: Runner, on_progress: OnProgress) -> JobSummary:
        loop = asyncio.get_running_loop()
        began, is_refused = loop.time(), False
        self._control.obey(await self._journal.run(begin_run))
        tasks = (
            loop.create_task(_tick(runner, on_progress)),
            loop.create_task(follow(self._control, self._journal)),
        )
        try:
            stopped = await run_all(self._open, self._client_for, runner, self._read_what_is_old)
        except PlanError:
            is_refused = True
            await self._journal.run(refuse_run)
            raise
        finally:
            for task in tasks:
                task.cancel()
            if not is_refused:
                on_progress(runner.describe())
        await self._journal.flush()
        summary = msgspec.structs.replace(await self.summarize(), stopped=stopped, seconds=loop.time() - began)
        await self._journal.run(partial(end_run, stopped, summary.remaining, time.time()))
        folder = self.folder or ""
        if await self._journal.run(lambda _: os.path.exists(folder)):  # or it was removed, or is a database
            await self._journal.run(partial(write_files, folder, self._place.title, summary))
        return summary

    async def preview(
        self, most: int = 10, *, file: StrPath | None = None, check_slots: bool = False, names: bool = False
    ) -> Preview:
        """What `run` would do: the first `most` changes, how long all will take, and what may not be meant.

        Call `prepare` first. Reads free slots once per calendar: only they show its zone. `file` gets all changes
        and warnings, as `.csv` or `.html`; raises `JournalError` if that fails. `check_slots` lists the events
        around the new times, and warns of slots that others hold; `names` reads the contacts, each once.
        """
        check_count("most", most, 0)
        title, find = self._place.title, self._find_client
        return await preview_job(self._open, find, most, file, title, check_slots=check_slots, names=names)

    def stop(self, reason: str = "it was interrupted", grace: float = GRACE_SECONDS) -> int:
        """Start no more rows; `run` returns when the requests that were sent have ended, within `grace` seconds.

        `reason` is why, for the summary. Returns how many rows these are.
        """
        check_seconds("grace", grace, may_be_zero=True)
        stopped = Stopped("interrupted", check_line("reason", reason))
        return self._runner.stop(stopped, grace) if self._runner is not None else 0

    async def _instruct(self, wanted: Wanted) -> bool:
        if self._given_client is None or self.folder is None:
            return await super()._instruct(wanted)
        if self._runner is None:
            raise describe_idle(self.name)
        is_new = await self._journal.run(partial(change_wanted, wanted, self.name))
        self._control.update(wanted, self.options)
        return is_new

    async def cancel(self) -> bool:
        """Leave out all open rows: they become `skipped`; returns whether the job was not cancelled before.

        Those in flight end. If nobody runs the job, it is done here; rows that may have been sent become `unknown`
        then, unless the job was opened with a client. `retry_failed` re-queues them all.
        """
        if self._given_client is None or self._runner is not None or self.folder is None:
            return await super().cancel()
        is_open = (await self.summarize()).remaining > 0
        await cancel_all(self._open, self._client_for)
        return is_open

    async def set_rate(self, rate: float | None) -> None:
        """Keep another `rate` from now on: rows per second and location; `None`: as the rate limit allows."""
        options = msgspec.structs.replace(self.options, rate=rate)
        if self._given_client is None or self.folder is None:
            await super().set_rate(rate)
        else:
            await self._journal.run(partial(set_rate, rate))
        self.options = options

    async def retry_failed(self) -> int:
        """Re-queue the rows that failed or were skipped; returns how many. `run` sends them, or its workers do."""
        self._check_is_own()
        async with self._holding():
            return await self._journal.run(retry_failed)

    async def verify(self) -> Verification:
        """Compare the calendar with what the job has changed. Reads only."""
        self._check_is_own()
        async with self._holding():
            await review_all(self._open, self._client_for, "sent")
        return await summarize_verdicts(self._journal)

    async def plan_undo(self) -> Undo:
        """Plan how to undo the job, field by field: rows for another job, and what was edited since. Reads only."""
        self._check_is_own()
        async with self._holding():
            await review_all(self._open, self._client_for, "to undo")
        return await plan_way_back(self._journal, self._client.version)

    async def _prepare_all(
        self, on_read: Callable[[int], None], on_changed: OnOutcome | None = None
    ) -> tuple[Stopped, ...]:
        stopped = await prepare_all(self._open, self._client_for, on_read, on_changed)
        self._prepared_at = self._open.clock.now()
        return stopped

    @property
    def _client(self) -> LeadConnector:
        if self._given_client is None:
            raise ConfigurationError(f"{escape(self.name)} was opened without a client; pass one to BulkJob.open")
        return self._given_client

    async def _wait_until_prepared(self) -> JobSummary:
        async for progress in self.watch():
            if progress.phase != "preparing":
                break
        return await self.summarize()

    async def _check_may_run(self) -> None:
        """A job of a database is run here only if no worker has it."""
        if self.folder is not None:
            return
        if await self._is_submitted():
            raise ConfigurationError(f"{self.name} was submitted to workers: use wait() or watch()")
        if self._client.shared is None:
            raise ConfigurationError(
                f"{self.name} is in a database, so others may take over: create the client with a shared store, "
                'shared=Shared("postgresql://db/leads")'
            )

    @asynccontextmanager
    async def _holding(self) -> AsyncGenerator[None]:
        """Hold all locations, where others could work on them as well; a block inside another one holds no more."""
        if not isinstance(self._place, DatabasePlace) or self._open.fence_for is not find_no_fence:
            yield
            return
        control = await connect_journal(self._place.address, self._place.job)
        try:
            async with hold_all(self.name, self._open.key, control) as held:
                self._open.fence_for = held.__getitem__
                yield
        finally:
            self._open.fence_for = find_no_fence
            await control.close()

    def _check_is_own(self) -> None:
        """Without a client, another process may be running the job."""
        _ = self._client

    def _find_client(self, location: str) -> LeadConnector:
        client = self._clients.get(location)
        if client is None:
            client = self._clients[location] = choose_client(self._client, location)
        return client


async def _tick(runner: Runner, on_progress: OnProgress) -> None:
    """Nothing is known before all locations are read."""
    while True:
        await asyncio.sleep(_TICK)
        if (progress := runner.describe()).total:
            on_progress(progress)
