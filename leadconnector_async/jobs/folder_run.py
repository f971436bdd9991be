"""A job of a folder that this process runs for a service, from the lock of its folder until that is released."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from functools import partial
from typing import Final

from .._call.emit import LOGGER
from .._validation.text import escape
from ..exceptions import LeadConnectorError, PlanError
from .clients import Clients
from .instructing import write_beside
from .job import BulkJob
from .journal.folder import is_still_there
from .journal.protocol import Journal
from .journal.serving import count_death, find_first_location, read_due, record_stop
from .journal.writer import make_thread, open_aside
from .opening import OpenedJob, close_opened, take_folder
from .places import FolderPlace
from .service_clients import Borrowed
from .states import Stopped, describe_stop
from .worker_locations import explain_internal

_GRACE_SECONDS: Final = 8.0
"""What rows in flight get when the service is stopped; all of it may take ten seconds."""
_POISON: Final = "it ended 10 processes in a row without progress"


class FolderRun:
    """A run of a job whose folder is locked."""

    def __init__(self, path: str, opened: OpenedJob, thread: Executor) -> None:
        self.task: asyncio.Task[None] | None = None
        self._path = path
        self._opened = opened
        self._thread = thread
        self._job: BulkJob | None = None
        self._is_told = False
        """Whether its journal says why it failed, or was removed."""

    def is_there(self) -> bool:
        """Whether its folder, which is locked, was not removed: there may even be that of another job by now."""
        return self._opened.lock is not None and is_still_there(self._path, self._opened.lock)

    def stop(self, reason: str) -> None:
        """Send no more rows; those in flight get a while to end."""
        if self._job is not None:
            self._job.stop(reason, _GRACE_SECONDS)

    async def run(self, clients: Clients, is_stopped: Callable[[], bool]) -> str | None:
        """Run the job, and release its folder. Returns why it failed, if that could not be written down."""
        borrowed = Borrowed(clients)
        try:
            job = await self._open(borrowed)
            async with job:
                await self._carry_out(job, is_stopped)
        except Exception as error:
            reason = explain(error).reason
            LOGGER.error("%s has failed: %s", escape(self._path), reason)
            return None if self._is_told else reason
        finally:
            await borrowed.give_back()
        return None

    async def close(self) -> None:
        """Release the folder of a job that is not run after all."""
        await asyncio.get_running_loop().run_in_executor(self._thread, close_opened, self._opened)
        self._thread.shutdown(wait=False)

    async def _open(self, borrowed: Borrowed) -> BulkJob:
        """Find the client of the job. If there is none, the job says why."""
        try:
            loop = asyncio.get_running_loop()
            location = await loop.run_in_executor(self._thread, find_first_location, self._opened.journal)
            client = await borrowed.find(location)
            job = self._job = BulkJob(self._opened, client, self._thread, borrowed.find)
        except BaseException as error:
            try:
                if isinstance(error, Exception):
                    await self._record(error)
            finally:
                await self.close()
            raise
        return job

    async def _carry_out(self, job: BulkJob, is_stopped: Callable[[], bool]) -> None:
        """Run the job, unless it is too late for that. Why it ended early is in its journal afterwards."""
        if is_stopped():
            return
        try:
            summary = await job.run()
        except PlanError as error:
            LOGGER.warning("%s was refused: %s", escape(self._path), error)
        except Exception as error:
            await self._record(error)
            raise
        else:
            for stopped in summary.stopped:
                LOGGER.warning("%s has stopped: %s", escape(self._path), stopped.reason)

    async def _record(self, error: Exception) -> None:
        stopped = explain(error)
        if not self.is_there():
            self._is_told = True
            return
        with suppress(LeadConnectorError):  # the disk is full, for example: only this process knows then
            record = partial(record_stop, stopped.kind, stopped.reason)
            await open_aside(partial(write_beside, self._path, record))
            self._is_told = True


async def take_run(path: str) -> FolderRun | None:
    """Lock the folder of a job that is due; `None` if another process was quicker. Raises `JournalError`."""
    thread = make_thread()
    try:
        opened = await take_folder(FolderPlace(path), thread)
    except BaseException:
        thread.shutdown(wait=False)
        raise
    run = FolderRun(path, opened, thread)
    try:
        may_run = await asyncio.get_running_loop().run_in_executor(thread, _check_may_run, opened.journal)
    except BaseException:
        await run.close()
        raise
    if may_run:
        return run
    await run.close()
    return None


def explain(error: Exception) -> Stopped:
    """Why a job stops for an error, without values of foreign errors."""
    if isinstance(error, LeadConnectorError):
        return describe_stop(error, "") or Stopped("internal", str(error))
    return explain_internal(error, "")


def _check_may_run(journal: Journal) -> bool:
    """Whether the job is still due; it is not run any more once it has ended many processes in a row."""
    due = read_due(journal)
    if due is None or due > time.time():
        return False
    if count_death(journal):
        return True
    record_stop("internal", _POISON, journal)
    return False
