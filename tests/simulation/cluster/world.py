"""A database, a calendar, an engine and some workers, and what must hold whatever happens to them."""

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import cast
from unittest import mock

from msgspec import Struct, structs

from leadconnector_async import AppointmentUpdate, JournalError, LeadConnector
from leadconnector_async.jobs import JobOptions, PlanRow
from leadconnector_async.jobs.clients import Clients
from leadconnector_async.jobs.journal.database import load_rows
from leadconnector_async.jobs.journal.groups import Hold
from leadconnector_async.jobs.journal.load import NewJob, load_job
from leadconnector_async.jobs.journal.tables import DEFINITIONS
from leadconnector_async.jobs.journal.writer import JournalWriter
from leadconnector_async.jobs.run.lease import Lease, begin_lease
from leadconnector_async.jobs.supervisor import Supervisor, WorkerSettings
from leadconnector_async.jobs.worker_events import WorkerEvent

from .calendar import Calendar, Put
from .database import Connection, Database, RemoteJournal
from .processes import PROCESS, Process, ProcessLoop, SimulatedThread
from .tickets import Engine, SimulatedTickets

BEGAN = 1_800_000_000.0
"""Seconds since the epoch when a schedule begins."""
_WATCH = """
    CREATE TEMP TABLE reopened (location text, state text);
    CREATE TEMP TRIGGER final_stays AFTER UPDATE OF state ON rows
    WHEN OLD.state IN ('applied', 'unchanged', 'skipped', 'failed', 'refused') AND NEW.state <> OLD.state
    BEGIN INSERT INTO reopened VALUES (OLD.location, NEW.state); END;
"""


class Row(Struct, array_like=True):
    """What became of a row."""

    event_id: str
    state: str
    location: str


class Owner(Struct, array_like=True):
    """Who holds a location."""

    epoch: int
    worker: int | None


class Held(Struct, array_like=True):
    """A location that somebody holds."""

    location: str
    epoch: int


class Text(Struct, array_like=True):
    """A text."""

    text: str


class SharingClients(Clients):
    """Clients whose limits other workers know: here nobody is near them."""

    async def _make(self, location: str) -> LeadConnector:
        client = self._kept[location] = cast("LeadConnector", self._client_for(location))
        self._returned[id(client)] = {location}
        return client


class World:
    """One schedule."""

    def __init__(self, dice: random.Random, sizes: list[int], *, lease: float, concurrency: int) -> None:
        self.dice = dice
        self.lease = lease
        self.loop = cast("ProcessLoop", asyncio.get_running_loop())
        self.options = JobOptions(concurrency=concurrency, max_reading_age=60.0)
        self.database = Database(dice)
        self.calendar = Calendar(dice, sizes)
        self.engine = Engine(dice)
        self.processes: list[Process] = []
        self.connections: list[Connection] = []
        self.broken: list[str] = []
        self.events: list[str] = []
        """What workers have reported, to find out how it came."""
        self._threads: list[SimulatedThread] = []
        self._leases: dict[object, tuple[Process, Lease]] = {}
        """By the ids of workers."""
        self._takers: dict[tuple[str, int], Process] = {}
        self.calendar.on_put = self._check_put
        self.database.on_commit = self._check_commit
        self.database.on_take = self._note_take
        self.database.on_burial = self._check_burial

    def fill(self) -> None:
        """Submit the job."""
        journal = self.database.journal
        journal.sqlite.script("; ".join(DEFINITIONS.values()))
        journal.write("INSERT INTO jobs (id, name, phase, rows, made_at) VALUES (1, 'march', 'ready', 0, 0)")
        plan = [
            PlanRow(line, str(event["id"]), AppointmentUpdate(title="moved"), str(event["locationId"]))
            for line, event in enumerate(self.calendar.events.values(), 2)
        ]
        load_job(journal, partial(load_rows, journal), plan, NewJob(location="", options=self.options))
        journal.write("UPDATE jobs SET phase = 'preparing', submitted = 1")
        journal.sqlite.script(_WATCH)

    async def work(self, process: Process, stopping: asyncio.Event) -> None:
        """What the process of a worker does."""
        settings = WorkerSettings(slots=4, lease=self.lease, clock=process.clock, connect_within=1000.0)
        clients = SharingClients(partial(self.calendar.connect, process))
        tickets = SimulatedTickets(self.engine)

        def emit(event: WorkerEvent) -> None:
            now = self.loop.time()
            self.events.append(f"{now:.3f} {process}: {structs.replace(event, at=round(now, 3))}")

        await Supervisor(settings, partial(self.open, process), tickets, clients, emit).run(stopping)

    async def open(self, process: Process) -> JournalWriter:
        """Connect to the database."""
        await asyncio.sleep(self.database.delay)
        if self.database.is_away:
            raise JournalError("the database is away")
        return JournalWriter(*self.connect(process))

    def connect(self, process: Process) -> tuple[RemoteJournal, SimulatedThread]:
        """A new connection of a process."""
        thread = SimulatedThread()
        self._threads.append(thread)
        connection = Connection(self.database, process, thread, self.lease / 2)
        self.connections.append(connection)
        return RemoteJournal(connection, self.database.journal.at(Hold(1))), thread

    def is_finished(self) -> bool:
        """Whether the job is done."""
        return self.database.journal.read_one(Text, "SELECT phase FROM jobs") == Text("done")

    async def end(self) -> None:
        """Leave nothing running, and nothing open."""
        for thread in self._threads:
            thread.end()
        for process in self.processes:
            process.bury()
        me = asyncio.current_task()
        while running := [task for task in self.loop.tasks if task is not me]:
            for task in running:
                task.cancel()
            await asyncio.wait(running)
        self.database.journal.close()

    def check(self) -> None:
        """The laws of a whole schedule: no row is lost or written twice, and what has ended stays as it is."""
        journal = self.database.journal
        for row in journal.read(Row, "SELECT event_id, state, location FROM rows ORDER BY number"):
            if row.state != "applied":
                self._break(f"rows of {row.location} are {row.state} in the end")
            if (times := self.calendar.applied[row.event_id]) != 1:
                self._break(f"rows of {row.location} were written {times} times")
        for row in journal.read(Row, "SELECT '', state, location FROM reopened"):
            self._break(f"rows of {row.location} had ended, and became {row.state}")

    @property
    def takes(self) -> int:
        """How often a location was taken."""
        return len(self._takers)

    def list_owners(self) -> list[Process]:
        """The processes that hold locations."""
        query = "SELECT location, epoch FROM locations WHERE worker IS NOT NULL ORDER BY location"
        return [self._takers[one.location, one.epoch] for one in self.database.journal.read(Held, query)]

    def _break(self, law: str) -> None:
        if law not in self.broken:
            self.broken.append(law)

    def _find_owner(self, location: str) -> Owner:
        query = "SELECT epoch, worker FROM locations WHERE location = ?"
        found = self.database.journal.read_one(Owner, query, (location,))
        assert found is not None
        return found

    def _note_take(self, process: Process, location: str, epoch: int, former: object) -> None:
        if former is not None and self._can_write(former):
            self._break(f"{process} took {location} from {self._leases[former][0]}, which could still write")
        self._takers[location, epoch] = process

    def begin_lease(self, worker: int, *settings: object) -> Lease:
        """That of a worker, seen by its process and by the judge."""
        begun = begin_lease(worker, *settings)  # type: ignore[arg-type]
        self._leases[worker] = cast("Process", PROCESS.get()), begun
        return begun

    def _check_burial(self, worker: object) -> None:
        if self._can_write(worker):
            self._break(f"{self._leases[worker][0]} was buried while it could still write")

    def _can_write(self, worker: object) -> bool:
        if worker not in self._leases:
            return False  # its process has never learnt that it was registered
        process, lease = self._leases[worker]
        return not process.is_dead and lease.until() > self.loop.time() * process.rate

    def _check_put(self, put: Put) -> None:
        owner = self._find_owner(put.location)
        if owner.worker is None or self._takers[put.location, owner.epoch] is not put.process:
            self._break(f"{put.process} wrote to {put.location}, which it did not hold")
        query = "SELECT state FROM rows WHERE event_id = ?"
        found = self.database.journal.read_one(Text, query, (put.event,))
        if found is None or found.text != "sent":
            self._break(f"{put.process} sent rows of {put.location} without an intent")

    def _check_commit(self, process: Process, hold: Hold) -> None:
        owner = self._find_owner(hold.location)
        if self._takers[hold.location, owner.epoch] is not process:
            self.broken.append(
                f"{self.loop.time():.3f} {process} changed rows of {hold.location}, which is another's"
            )


@contextmanager
def wall_clock(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Seconds since the epoch go by with the loop's."""
    with mock.patch("time.time", side_effect=lambda: BEGAN + loop.time()):
        yield
