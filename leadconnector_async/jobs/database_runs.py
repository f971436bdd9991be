"""The jobs of a database, as a service sees them: workers run them, and this process is one of the workers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from copy import copy
from functools import partial
from typing import Final, TypeVar

from .._call.emit import LOGGER
from .._secret import Secret
from .._sharing.url import StoreAddress
from .._validation.text import show_error
from ..exceptions import JobNotFoundError, JournalError, LeadConnectorError
from .job import BulkJob
from .journal.groups import Hold
from .journal.instructions import Wanted, set_rate
from .journal.load import NewJob
from .journal.progress import find_phase, list_jobs
from .journal.protocol import Journal
from .journal.serving import check_instruction, find_job, read_progress
from .journal.writer import JournalWriter, make_thread
from .listing import JobEntry, build_entry
from .opening import connect_journal, create_job
from .places import DatabasePlace, check_name
from .plan.sources import RowSource
from .polling import Polled
from .unit import ClientFor
from .worker import run_worker

_RETRY_SECONDS: Final = 5.0
"""After the worker has failed to start."""
_LEASES: Final = 1.5
"""The lease of the worker, in looks: its locations are taken over one look after it has expired, at most."""
_LEAST_LEASE: Final = 1.0
_CLOSE_SECONDS: Final = 9.5
_END_SECONDS: Final = 0.5
"""For what is being asked when the service is closed."""
_ANSWER_SECONDS: Final = 30.0
"""For a response of the database. What a service asks is short, so only a frozen database takes longer."""
T = TypeVar("T")


class DatabaseRuns:
    """The jobs of a database. `every`: seconds between two looks for dead workers."""

    def __init__(
        self, address: StoreAddress, url: Secret, client_for: ClientFor, every: float, *, allow_plaintext: bool
    ) -> None:
        self._address = address
        self._url = url
        self._allow_plaintext = allow_plaintext
        lease = max(_LEAST_LEASE, _LEASES * every)
        self._stopping = asyncio.Event()
        self._work = partial(
            run_worker,
            url,
            client_for=client_for,
            lease=lease,
            stop=self._stopping,
            allow_plaintext=allow_plaintext,
        )
        self._working: asyncio.Task[None] | None = None
        self._reader: JournalWriter | None = None
        self._is_closed = False
        self._connecting: asyncio.Task[JournalWriter | LeadConnectorError] | None = None

    async def open(self) -> None:
        """Begin to work. Raises `ConfigurationError` for tables or an extra that are missing."""
        with suppress(JournalError):  # the database is away: the worker waits for it
            await self._find_reader()
        self._working = asyncio.create_task(self._keep_working())

    async def submit(self, name: str, rows: RowSource, new: NewJob) -> None:
        """Create a job for the workers. If this is cancelled, there is no job, or a complete one."""
        thread = make_thread()
        try:
            opened = await create_job(DatabasePlace(self._address, check_name(name)), rows, new, thread)
            await asyncio.get_running_loop().run_in_executor(thread, opened.journal.close)
        finally:
            thread.shutdown(wait=False)

    async def poll(self, name: str) -> Polled:
        """Read the progress of a job. Raises `JournalError`."""
        return Polled(await self.read(name, partial(read_progress, time.time())), None)

    async def read(self, name: str, work: Callable[[Journal], T]) -> T:
        """Run a function on the journal of a job. Raises `JournalError`."""
        job = check_name(name)

        def read(journal: Journal) -> T:
            return work(journal.at(Hold(find_job(job, journal))))

        return await self._ask(read)

    async def instruct(self, name: str, wanted: Wanted, *, skip_refused: bool) -> bool:
        """Change what a job should do; returns whether that is new. Raises `JobConflictError`, `JournalError`."""
        reading = await self.read(name, partial(read_progress, time.time()))
        check_instruction(name, wanted, reading, skip_refused=skip_refused)
        async with await BulkJob.open(Secret(f"{self._url}#{name}"), allow_plaintext=self._allow_plaintext) as job:
            if skip_refused:
                await job.leave_out_refused()
            return await {"run": job.resume, "pause": job.pause, "cancel": job.cancel}[wanted]()

    async def set_rate(self, name: str, rate: float | None) -> None:
        """Change the maximum rate of a job."""
        await self.read(name, partial(set_rate, rate))

    async def list_jobs(self, prefix: str = "") -> list[JobEntry]:
        """List the jobs whose names begin with `prefix`, in the order in which they were created."""
        now = time.time()
        return [
            build_entry(job.name, find_phase(job.phase, job.find_wanted(now)), job, job.workers)
            for job in await self._ask(list_jobs)
            if job.name.startswith(prefix)
        ]

    def stop(self) -> None:
        """Begin to stop: nothing is taken, and no more rows are sent."""
        self._stopping.set()

    async def aclose(self) -> None:
        """Stop, and wait until the worker has handed back its locations, for at most ten seconds."""
        self.stop()
        if self._working is not None:
            await asyncio.wait([self._working], timeout=_CLOSE_SECONDS)
            self._working.cancel()
            await asyncio.gather(self._working, return_exceptions=True)
        self._is_closed = True
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait([self._connecting])
        if (reader := self._reader) is not None:
            closing = asyncio.create_task(self._forget_reader(reader))
            if not (await asyncio.wait([closing], timeout=_END_SECONDS))[0]:
                reader.break_off()
            await closing

    async def _keep_working(self) -> None:
        """Work until the service is stopped, whatever happens to the database."""
        complaint = ""
        while not self._stopping.is_set():
            try:
                await self._work()
            except Exception as error:
                if (text := show_error(error)) != complaint:
                    complaint = text
                    LOGGER.error("no jobs are worked on here: %s", text)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), _RETRY_SECONDS)

    async def _ask(self, work: Callable[[Journal], T]) -> T:
        """Ask the database; once more on a new connection if the last one has been lost meanwhile."""
        was_open = self._reader is not None
        reader = await self._find_reader()
        try:
            return await _run(reader, work)
        except JobNotFoundError:
            raise
        except JournalError:
            await self._forget_reader(reader)
            if not was_open or self._is_closed:
                raise
        return await _run(await self._find_reader(), work)

    async def _find_reader(self) -> JournalWriter:
        """The open connection, or one that all who need it wait for together, however it ends."""
        if self._reader is not None:
            return self._reader
        if self._connecting is None or self._connecting.done():
            self._connecting = asyncio.create_task(self._connect())
        found = await asyncio.shield(self._connecting)
        if isinstance(found, JournalWriter):
            return found
        raise copy(found)

    async def _connect(self) -> JournalWriter | LeadConnectorError:
        try:
            self._reader = await connect_journal(self._address, None)
        except LeadConnectorError as error:
            return error.with_traceback(None)
        return self._reader

    async def _forget_reader(self, reader: JournalWriter | None) -> None:
        if reader is None or self._reader is not reader:  # another task was as quick
            return
        self._reader = None
        with suppress(LeadConnectorError):
            await reader.close()


async def _run(reader: JournalWriter, work: Callable[[Journal], T]) -> T:
    """Ask, and wait for a while: a database that is frozen keeps its connections, and never responds."""
    asked = asyncio.ensure_future(reader.run(work))
    try:
        if not (await asyncio.wait([asked], timeout=_ANSWER_SECONDS))[0]:
            reader.break_off()
        return await asked
    finally:
        asked.cancel()
