"""`JobService`: the jobs of a web server, or any program of several processes, run by whichever is alive."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Collection, Generator
from contextlib import aclosing, contextmanager
from types import TracebackType
from typing import Final, Self, get_args

from .._model import Model
from .._secret import Secret
from .._validation.settings import (
    check_choice,
    check_count,
    check_kind,
    check_line,
    check_path,
    check_seconds,
    to_text,
)
from .._validation.text import escape, show
from ..access import check_may_write
from ..client import LeadConnector, needs_location
from ..exceptions import ConfigurationError, JobConflictError, JobNotFoundError, RowFault
from .clients import Clients
from .database_runs import DatabaseRuns
from .folder_runs import FolderRuns
from .journal.counts import list_outcomes
from .journal.folder import FolderInUseError
from .journal.instructions import Wanted
from .journal.load import NewJob
from .journal.progress import summarize_end
from .journal.protocol import Journal
from .listing import JobEntry
from .places import conceal_place, parse_database
from .plan.rows import PlanRow
from .plan.sources import AnyRow, PlanRows, RowSource, check_source, read_any
from .polling import Poller
from .service_clients import check_client, make_client_for
from .states import NOT_APPLIED, JobOptions, JobProgress, JobSummary, RowOutcome, RowState
from .unit import ClientFor

_MOST_ROWS: Final = 10_000
"""On one page of a result."""


class JobResult(Model, frozen=True, kw_only=True):
    """The result of a job, so far or at its end, with one page of its rows."""

    summary: JobSummary
    """The number of rows in each state, and why the job stopped early."""
    rows: tuple[RowOutcome, ...]
    """In the order of the plan."""
    next_page: int | None
    """What `after` is for the next page; `None`: this is the last one."""


class JobService:
    """Runs the jobs of one process, or of several that share the place, such as the workers of a web server.

        async with JobService("jobs/", client) as service:
            await service.submit("move-online", rows)
            async for progress in service.watch("move-online"):
                ...

    `place` is a folder on a local disk, which is created if it is missing, or `postgresql://HOST/DATABASE`, for
    processes on many machines. One process at a time runs a job of a folder; if that process is killed, another one
    takes the job over, reads back the rows that were in flight, and continues. It looks for such jobs every
    `take_over_every` seconds. Jobs that were interrupted continue, and paused jobs stay paused, after a restart. A
    job that has stopped says why: it is not tried again before `resume`, except when the daily budget is restored,
    or a minute after the server could not be reached.

    `client` is the client of all jobs, whose `for_location` is called for rows of other locations; or a function
    that returns the client of a location, and may be async. The service caches what it returns, and closes it.
    `options` are for jobs that are submitted without their own, and `allow_plaintext` permits an unencrypted
    connection to a database. Names of jobs are 1 to 64 letters, digits, `.`, `_`
    and `-`. For a database the client needs a shared store.

    Every method raises `JobNotFoundError` if there is no such job, `ConfigurationError` for a name that is not
    valid, and `JournalError` if the place fails.
    """

    def __init__(
        self,
        place: str | os.PathLike[str],
        client: LeadConnector | ClientFor,
        *,
        options: JobOptions | None = None,
        take_over_every: float = 2.0,
        allow_plaintext: bool = False,
    ) -> None:
        given = conceal_place(place)
        del place
        check_client(client)
        self._client = client
        self._options = check_kind("options", JobOptions() if options is None else options, JobOptions)
        check_seconds("take_over_every", take_over_every)
        client_for = make_client_for(self._client)
        self._clients = Clients(client_for, shared=False)
        self._runs: FolderRuns | DatabaseRuns
        if isinstance(given, Secret):
            address = parse_database(given, allow_plaintext=allow_plaintext)
            self._check_is_shared()
            self._runs = DatabaseRuns(address, given, client_for, take_over_every, allow_plaintext=allow_plaintext)
        else:
            self._runs = FolderRuns(check_path("place", given), self._clients, take_over_every)
        self._poller = Poller(self._runs.poll)
        self._is_open = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    async def __aenter__(self) -> Self:
        """Begin to run jobs. Raises `JournalError` or `ConfigurationError` if the place cannot be used."""
        await self._runs.open()
        self._is_open = True
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    @property
    def is_running(self) -> bool:
        """Whether jobs are run here: not before `async with`, and not once it is to stop."""
        return self._is_open

    def stop(self) -> None:
        """Begin to stop: no job is taken, no more rows are sent, every `watch` ends. `aclose` waits."""
        self._is_open = False
        self._poller.close()
        self._runs.stop()

    async def aclose(self) -> None:
        """Stop, within ten seconds: rows in flight finish, and other processes can take the jobs."""
        self.stop()
        try:
            await self._runs.aclose()
        finally:
            await self._clients.aclose()

    async def submit(
        self,
        name: str,
        rows: RowSource,
        *,
        location_id: str | None = None,
        timezone: str | None = None,
        options: JobOptions | None = None,
    ) -> JobProgress:
        """Create a job and have it run. `rows` are whatever `BulkJob.create` accepts, and may be an async stream.

        `name` is the name of the new job. `timezone` is for wall-clock times in mappings, and `options` decide how
        it runs. With `location_id`, rows are for that location, and a row that names another one is refused;
        without it, rows that name none are for the location of the client. Returns once the plan is stored, with
        every row checked by itself. Raises `PlanError` with every bad row, `JobConflictError` if there is a job of
        this name, and `ReadOnlyError` if the client may only read: nothing is left behind then, nor if `rows` fail.
        If this is cancelled, there is no job, or a complete one. Rows that only the calendar shows to be bad are
        `faults` of the progress of a `refused` job.
        """
        check_source(rows)
        if location_id is not None:
            check_line("location_id", location_id)
        chosen = check_kind("options", self._options if options is None else options, JobOptions)
        if not self._is_open:
            raise ConfigurationError(
                "The service is not running: use `async with`, and submit before it is closed."
            )
        location = location_id
        if isinstance(self._client, LeadConnector):
            check_may_write(self._client.access, "JobService.submit")
            if location is None and not needs_location(self._client):
                location = self._client.location_id or ""
        checked = rows if location_id is None else _keep_to(location_id, rows, timezone)
        new = NewJob(location=location, timezone=timezone, options=chosen, submitted=True)
        try:
            with _named(name) as job:
                await self._runs.submit(job, checked, new)
        except (JobConflictError, FolderInUseError):
            raise JobConflictError(f"There is already a job {escape(name)}.") from None
        return await self.read_progress(name)

    async def read_progress(self, name: str) -> JobProgress:
        """Read the progress of a job, whichever process runs it: the time it takes does not depend on its size.

        `name` is the name of the job. A job that waits for a process to run it is `ready`. If it has stopped,
        `stopped` says why; if it is `refused`, `faults` has the first bad rows.
        """
        with _named(name) as job:
            return (await self._poller.read(job)).progress

    async def watch(self, name: str) -> AsyncGenerator[JobProgress]:
        """Yield the progress of a job now and whenever it changes, until it has ended or the service is stopped.

        `name` is the name of the job. It has ended if it is `done`, `refused`, or `stopped` until somebody resumes
        it. Any number of tasks can watch a job: it is read once for all of them, twice a second.
        """
        with _named(name) as job:
            async with aclosing(self._poller.watch(job)) as watching:
                async for progress in watching:
                    yield progress

    async def read_result(
        self,
        name: str,
        *,
        states: Collection[RowState] = NOT_APPLIED,
        after: int = 0,
        most: int = 100,
    ) -> JobResult:
        """Read the summary of a job, and a page of its rows in some states, by default those that were not applied.

        `name` is the name of the job, and `states` are those of the rows. A page has at most `most` rows; `after`
        is the `next_page` of the page before. The time it takes depends on the size of the job.
        """
        listed: object = states
        if not isinstance(listed, tuple | list | set | frozenset):
            raise ConfigurationError(f"states is {show(listed)}; pass a list of states of rows, such as ['failed']")
        chosen = [check_choice("states", state, get_args(RowState)) for state in states]
        check_count("after", after, 0)
        check_count("most", most, 1, _MOST_ROWS)

        def read(journal: Journal) -> JobResult:
            found, next_page = list_outcomes(chosen, after, most, journal)  # type: ignore[arg-type] # just checked
            return JobResult(summary=summarize_end(time.time(), journal), rows=tuple(found), next_page=next_page)

        with _named(name) as job:
            return await self._runs.read(job, read)

    async def list_jobs(self, prefix: str = "") -> list[JobEntry]:
        """List the jobs of the place, by the names that the other methods take.

        With a `prefix`, only those whose names begin with it are read.
        """
        return await self._runs.list_jobs(check_kind("prefix", prefix, str))

    async def pause(self, name: str) -> bool:
        """Pause a job until `resume`, also across restarts; returns whether it was running. Rows in flight finish.

        `name` is the name of the job.

        Raises `JobConflictError` if it has ended or stopped.
        """
        return await self._instruct(name, "pause")

    async def resume(self, name: str, *, skip_refused: bool = False) -> bool:
        """Continue a job that was paused or has stopped; returns whether it was.

        `name` is the name of the job. With `skip_refused`, a refused job runs without its bad rows. Raises
        `JobConflictError` if it has ended, is being cancelled, or was refused otherwise.
        """
        return await self._instruct(name, "run", skip_refused=skip_refused)

    async def cancel(self, name: str) -> bool:
        """Cancel a job, whatever it is doing: its open rows become `skipped`. Returns whether it was not before.

        `name` is the name of the job. Rows in flight finish, or are read back. Raises `JobConflictError` if it has
        ended.
        """
        return await self._instruct(name, "cancel")

    async def set_rate(self, name: str, rate: float | None) -> None:
        """Change the maximum `rate` of the job `name`: rows per second and location; `None`: no maximum."""
        checked = JobOptions(rate=rate).rate
        with _named(name) as job:
            await self._runs.set_rate(job, checked)

    async def _instruct(self, name: str, wanted: Wanted, *, skip_refused: bool = False) -> bool:
        with _named(name) as job:
            return await self._runs.instruct(job, wanted, skip_refused=skip_refused)

    def _check_is_shared(self) -> None:
        if isinstance(self._client, LeadConnector) and self._client.shared is None:
            raise ConfigurationError(
                "Jobs in a database are run by several processes, which must share the rate limit: create the"
                ' client with a shared store, shared=Shared("postgresql://db/leads")'
            )


@contextmanager
def _named(name: object) -> Generator[str]:
    """Check a name; say of a job that does not exist how the caller named it, and not where it would be."""
    text = to_text(name)
    if text is None:
        raise ConfigurationError(f"{show(name)} is not a valid job name: it must be a string")
    name = text
    try:
        yield text
    except JobNotFoundError:
        raise JobNotFoundError(f"There is no job {escape(name)}.") from None


def _keep_to(location: str, rows: RowSource, timezone: str | None) -> RowSource:
    """Refuse rows of other locations."""

    def check(line: int, row: AnyRow) -> PlanRow | RowFault:
        found = read_any(line, row, timezone)
        if isinstance(found, RowFault) or found.location_id in (None, location):
            return found
        reason = f"{show(found.location_id)} is not the location of this job"
        return RowFault(found.line, "location_id", reason, "leave it out")

    async def check_stream(stream: AsyncIterable[AnyRow]) -> AsyncIterator[AnyRow]:
        line = 0
        async for row in stream:
            line += 1
            yield check(line, row)

    if isinstance(rows, AsyncIterable):
        return check_stream(rows)
    return PlanRows(check(line, row) for line, row in enumerate(rows, start=1))
