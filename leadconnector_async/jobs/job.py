"""`BulkJob`: many appointments, moved safely, with a journal.

Rule: everything is checked before anything is sent, the intent of every request is on the disk before it leaves,
and whatever ends the process, the job goes on from its folder.

Knows all rooms of the jobs but the files for people (`outcomes`).
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Final, Self

import msgspec

from .._file_lock import close_lock, open_lock, try_lock
from ..client import LeadConnector
from ..exceptions import ConfigurationError, JournalError, RowFault
from . import ledger
from .intake import MOST_NAMED, take_in
from .journal import Connect, Journal
from .plan import build_plan_error
from .preparation import Preparation, forget_old_readings, list_faults
from .review import Reviewer, Undo, Verification
from .rows import PlanRow
from .runner import Runner
from .scribe import Scribe, make_thread
from .states import JobOptions, JobProgress, JobSummary, RowOutcome, Stopped

JOURNAL: Final = "journal.sqlite"
_LOCK: Final = "lock"
_TICK: Final = 0.2
_OPEN: Final = """
    SELECT location, SUM(parks IS NULL) FROM rows WHERE state IN ('ready', 'sent') GROUP BY location
"""
_AGAIN: Final = """
    UPDATE rows SET state = 'ready', rank = MIN(rank, 999999), reason = '', read_at = 0
    WHERE state IN ('failed', 'skipped') AND updates IS NOT NULL AND parks IS NULL
"""

OnOutcome = Callable[[RowOutcome], None]
OnProgress = Callable[[JobProgress], None]


class BulkJob:
    """A plan that is carried out, with a journal in a folder.

        async with await BulkJob.create("day.job", client, iterate_plan(file)) as job:
            await job.prepare()
            summary = await job.run()

    A job whose process has ended, in whatever way, goes on: `BulkJob.open(folder, client)`, then `run`. One process
    at a time works on a job. `client` gives the location for rows that name none; others are reached by
    `client.for_location`.
    """

    def __init__(self, folder: str, client: LeadConnector, scribe: Scribe, options: JobOptions, lock: int) -> None:
        self.folder = folder
        self.options = options
        self._client = client
        self._scribe = scribe
        self._lock = lock
        self._runner: Runner | None = None
        self._stopped: Stopped | None = None
        self._clients: dict[str, LeadConnector] = {}

    @classmethod
    async def create(
        cls,
        folder: str | os.PathLike[str],
        client: LeadConnector,
        rows: Iterable[PlanRow | RowFault],
        *,
        options: JobOptions | None = None,
        connect: Connect | None = None,
        thread: Executor | None = None,
    ) -> Self:
        """Begin a job in a new folder: check all rows by themselves. Nothing is asked of the server yet.

        Raises `PlanError` with every bad row; the folder is gone then. Raises `ConfigurationError` if the folder
        holds a job already.
        """
        path = os.fspath(folder)
        chosen, thread = options or JobOptions(), thread or make_thread()
        lock = _enter(path, new=True)
        try:
            fill = partial(_fill, path, rows, client.location_id or "", chosen, connect)
            journal = await asyncio.get_running_loop().run_in_executor(thread, fill)
        except BaseException:
            close_lock(lock)
            shutil.rmtree(path, ignore_errors=True)
            raise
        return cls(path, client, Scribe(journal, thread), chosen, lock)

    @classmethod
    async def open(
        cls,
        folder: str | os.PathLike[str],
        client: LeadConnector,
        *,
        connect: Connect | None = None,
        thread: Executor | None = None,
    ) -> Self:
        """Open a job that was begun. Raises `JournalError` if there is none, or if another process works on it."""
        path = os.fspath(folder)
        thread = thread or make_thread()
        lock = _enter(path, new=False)
        try:
            reopen = partial(_reopen, path, client.location_id or "", connect)
            journal = await asyncio.get_running_loop().run_in_executor(thread, reopen)
            options = msgspec.json.decode(journal.get_fact("options") or "{}", type=JobOptions)
        except BaseException:
            close_lock(lock)
            raise
        return cls(path, client, Scribe(journal, thread), options, lock)

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
        try:
            await self._scribe.close()
        finally:
            close_lock(self._lock)

    async def prepare(self, on_read: Callable[[int], None] = lambda count: None) -> JobSummary:
        """Hold every row against the calendar and decide the order. Reads only; `on_read` is told how many rows.

        A location that cannot be read is among `stopped`, and its rows stay `loaded`. Raises `PlanError` with all
        rows that cannot be carried out, unless `skip_refused` is set.
        """
        await self._scribe.run(forget_old_readings)
        stopped = await self._prepare(on_read).run()
        faults, count = await self._scribe.run(partial(list_faults, MOST_NAMED))
        if count and not self.options.skip_refused:
            raise build_plan_error(faults, count)
        return msgspec.structs.replace(await self.summarize(), stopped=stopped)

    async def run(
        self,
        *,
        limit: int | None = None,
        on_outcome: OnOutcome = lambda outcome: None,
        on_progress: OnProgress = lambda progress: None,
    ) -> JobSummary:
        """Carry out all rows that are open, or at most `limit` of them. Goes on where it ended.

        Rows fail by themselves and stop nobody; see `JobSummary` for what came of them, and for why it ended early.
        Raises `PlanError` as `prepare` does, and `JournalError` when the journal fails: nothing more is sent then.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._stopped = None
        unread = (await self.prepare()).stopped
        reviewer = Reviewer(self._scribe, self._find_client)
        await reviewer.settle_unknown()
        stopped = await self._run_once(limit, on_outcome, on_progress)
        if not stopped and limit is None and await reviewer.settle_unknown():
            stopped = await self._run_once(limit, on_outcome, on_progress)
        stopped = (*unread, *stopped)
        await self._scribe.flush()
        summary = await self.summarize()
        return msgspec.structs.replace(summary, stopped=stopped, seconds=loop.time() - began)

    async def _run_once(
        self, limit: int | None, on_outcome: OnOutcome, on_progress: OnProgress
    ) -> tuple[Stopped, ...]:
        loads = await self._scribe.run(_count_open)
        if self._stopped is not None:
            return (self._stopped,)
        self._runner = runner = Runner(
            self._scribe,
            self.options,
            self._find_client,
            refresh=self._prepare(lambda count: None).refresh,
            on_outcome=on_outcome,
            limit=limit,
        )
        ticker = asyncio.get_running_loop().create_task(_tick(runner, on_progress))
        try:
            return await runner.run(loads)
        finally:
            ticker.cancel()
            self._runner = None
            on_progress(runner.describe())

    def stop(self, reason: str = "it was interrupted") -> None:
        """Start nothing more; `run` returns when what has left has ended, within ten seconds."""
        self._stopped = Stopped("interrupted", reason)
        if self._runner is not None:
            self._runner.stop(self._stopped)

    async def summarize(self) -> JobSummary:
        """Where the job stands, by its journal."""
        return await self._scribe.run(summarize)

    async def retry_failed(self) -> int:
        """Put the rows that failed or were skipped on their turn again; returns how many. `run` sends them."""
        return await self._scribe.run(lambda journal: journal.write(_AGAIN))

    async def verify(self) -> Verification:
        """Compare the calendar with what the job has done. Reads only."""
        return await Reviewer(self._scribe, self._find_client).verify()

    async def plan_undo(self) -> Undo:
        """Plan the way back: rows for another job, and what somebody has changed since. Reads only."""
        return await Reviewer(self._scribe, self._find_client).plan_undo()

    def _prepare(self, on_read: Callable[[int], None]) -> Preparation:
        return Preparation(self._scribe, self.options, self._find_client, on_read)

    def _find_client(self, location: str) -> LeadConnector:
        client = self._clients.get(location)
        if client is None:
            own = location in ("", self._client.location_id)
            client = self._clients[location] = self._client if own else self._client.for_location(location)
        return client


def summarize(journal: Journal) -> JobSummary:
    """Where a job stands, by its journal."""
    return JobSummary(
        counts=ledger.count_states(journal),
        repeated=journal.count("repeated = 1 AND parks IS NULL"),
    )


def _reopen(path: str, location: str, connect: Connect | None) -> Journal:
    journal = Journal.open(os.path.join(path, JOURNAL), connect)
    kept = journal.get_fact("location")
    if kept != location:
        journal.close()
        raise ConfigurationError(f"The job in {path} is for location {kept!r}, and the client for {location!r}.")
    return journal


def _enter(path: str, *, new: bool) -> int:
    """Make or enter the folder, and keep other processes out of it."""
    exists = os.path.exists(os.path.join(path, JOURNAL))
    if not new and not exists:
        raise JournalError(f"There is no job in {path}.")
    if new and exists:
        with suppress(JournalError):
            Journal.open(os.path.join(path, JOURNAL)).close()
            raise ConfigurationError(f"{path} holds a job already: resume it, or give another folder.")
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        lock = open_lock(os.path.join(path, _LOCK))
    except OSError as error:
        raise JournalError(f"The folder {path} cannot be used ({error.strerror}).") from error
    if not try_lock(lock):
        close_lock(lock)
        raise JournalError(f"Another process works on {path}.")
    if new:
        for name in (JOURNAL, f"{JOURNAL}-wal", f"{JOURNAL}-shm"):
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(path, name))
    return lock


def _fill(
    path: str, rows: Iterable[PlanRow | RowFault], location: str, options: JobOptions, connect: Connect | None
) -> Journal:
    journal = Journal.create(os.path.join(path, JOURNAL), connect)
    try:
        take_in(journal, rows, location)
        journal.set_fact("options", msgspec.json.encode(options).decode())
        journal.set_fact("location", location)
        journal.set_fact("made_at", str(time.time()))
        journal.settle()
    except BaseException:
        journal.close()
        raise
    return journal


def _count_open(journal: Journal) -> dict[str, int]:
    return {str(location): int(str(count)) for location, count in journal.read(_OPEN)}


async def _tick(runner: Runner, on_progress: OnProgress) -> None:
    while True:
        await asyncio.sleep(_TICK)
        on_progress(runner.describe())
