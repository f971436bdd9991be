"""The jobs of a folder of jobs, each in a folder of its own, as one process of several runs them.

The lock of a job's folder decides who runs it. Every process looks for jobs that no process runs: they were just
submitted, or their process has died or was stopped. What a job should do, and why it stopped, is in its journal.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar

from .._call.emit import LOGGER
from .._validation.text import escape, show_error
from ..exceptions import ConfigurationError, JobNotFoundError, JournalError
from .clients import Clients
from .folder_jobs import FolderJobs
from .folder_run import FolderRun, take_run
from .instructing import write_beside
from .journal.instructions import Wanted, set_rate
from .journal.load import NewJob
from .journal.protocol import Journal
from .journal.serving import change_instruction
from .journal.writer import make_thread, open_aside
from .listing import JobEntry
from .opening import create_job
from .places import FolderPlace
from .plan.sources import RowSource
from .polling import Polled

_MOST_AT_ONCE: Final = 64
"""Jobs that one process takes: each has a thread and open files. The others wait."""
_CLOSE_SECONDS: Final = 9.5
T = TypeVar("T")


class FolderRuns:
    """The jobs of a folder. `every`: seconds between two looks."""

    def __init__(self, folder: str, clients: Clients, every: float) -> None:
        self._jobs = FolderJobs(folder)
        self._clients = clients
        self._every = every
        self._runs: dict[str, FolderRun] = {}
        self._taking = False
        """One more is about to be taken."""
        self._looking: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._is_stopped = False
        self._complaint = ""

    async def open(self) -> None:
        """Begin to look for jobs. Raises `JournalError` if the folder cannot be used."""
        folder = self._jobs.folder
        try:
            await open_aside(partial(os.makedirs, folder, 0o700, exist_ok=True))
        except OSError as error:
            raise JournalError(f"The folder {escape(folder)} cannot be used ({error.strerror}).") from error
        self._looking = asyncio.create_task(self._look())

    async def submit(self, name: str, rows: RowSource, new: NewJob) -> None:
        """Create a job, and begin to run it unless too many run here: then it waits for its turn.

        If this is cancelled, there is no job, or a complete one.
        """
        path, thread = self._jobs.find(name), make_thread()
        try:
            opened = await create_job(FolderPlace(path), rows, new, thread)
        except BaseException:
            thread.shutdown(wait=False)
            raise
        run = FolderRun(path, opened, thread)
        if len(self._runs) + self._taking < _MOST_AT_ONCE:
            self._begin(name, run)
        else:
            await run.close()

    async def poll(self, name: str) -> Polled:
        """Read the progress of a job. Raises `JournalError`."""
        return await open_aside(partial(self._jobs.poll, name))

    async def read(self, name: str, work: Callable[[Journal], T]) -> T:
        """Read the journal of a job, also while it runs. Raises `JournalError`."""
        return await open_aside(partial(self._jobs.read, name, work))

    async def instruct(self, name: str, wanted: Wanted, *, skip_refused: bool) -> bool:
        """Change what a job should do; returns whether that is new. Raises `JobConflictError`, `JournalError`."""
        work = partial(change_instruction, name, wanted, skip_refused)
        changed = await open_aside(partial(write_beside, self._jobs.find(name), work))
        has_failed = self._jobs.failures.pop(name, None) is not None
        self._wake.set()
        return changed or has_failed

    async def set_rate(self, name: str, rate: float | None) -> None:
        """Change the maximum rate of a job."""
        await open_aside(partial(write_beside, self._jobs.find(name), partial(set_rate, rate)))

    async def list_jobs(self, prefix: str = "") -> list[JobEntry]:
        """List the jobs whose names begin with `prefix`, by name. Raises `JournalError`."""
        return await open_aside(partial(self._jobs.list_jobs, prefix))

    def stop(self) -> None:
        """Begin to stop: no job is taken, and no more rows are sent."""
        self._is_stopped = True
        self._wake.set()
        for run in self._runs.values():
            run.stop("the service was stopped")

    async def aclose(self) -> None:
        """Stop, and wait until no job runs here, for at most ten seconds."""
        self.stop()
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])
        tasks = [run.task for run in self._runs.values() if run.task is not None]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=_CLOSE_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _look(self) -> None:
        """Take the jobs that are due, every few seconds."""
        while not self._is_stopped:
            self._wake.clear()
            try:
                for name in await open_aside(partial(self._jobs.list_due, frozenset(self._runs))):
                    await self._take(name)
                await self._stop_removed()
                self._complaint = ""
            except Exception as error:  # whatever it is, later jobs must be taken over
                if show_error(error) != self._complaint:
                    self._complaint = show_error(error)
                    LOGGER.warning("no jobs are taken over: %s", self._complaint)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._every)

    async def _take(self, name: str) -> None:
        if self._is_stopped or name in self._runs or len(self._runs) >= _MOST_AT_ONCE:
            return
        self._taking = True
        try:
            run = await take_run(self._jobs.find(name))
        except (JobNotFoundError, ConfigurationError):
            return
        except JournalError as error:  # usually: another process was quicker
            LOGGER.debug("the job %s is not taken over: %s", escape(name), error)
            return
        finally:
            self._taking = False
        if run is not None:
            LOGGER.debug("the job %s is taken over", escape(name))
            self._begin(name, run)

    def _begin(self, name: str, run: FolderRun) -> None:
        self._runs[name] = run
        self._jobs.failures.pop(name, None)
        run.task = asyncio.create_task(self._run(name, run))

    async def _run(self, name: str, run: FolderRun) -> None:
        try:
            failure = await run.run(self._clients, lambda: self._is_stopped)
            if failure is not None and self._runs.get(name) is run:
                self._jobs.failures[name] = failure
        finally:
            if self._runs.get(name) is run:  # otherwise its folder was removed, and there is another job
                del self._runs[name]
            self._wake.set()

    async def _stop_removed(self) -> None:
        runs = tuple(self._runs.values())
        there = await open_aside(lambda: [run.is_there() for run in runs])
        for run, is_there in zip(runs, there, strict=True):
            if not is_there:
                run.stop("its folder was removed")
