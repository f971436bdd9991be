"""The worker of a process: what it takes, gives back and survives. On SQLite, with an engine in memory."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec
import pytest

from leadconnector_async import ConfigurationError, JournalError, LeadConnector, Shared
from leadconnector_async._sharing.membership import find_clock
from leadconnector_async.jobs import JobOptions, supervisor, visit
from leadconnector_async.jobs.clients import Clients
from leadconnector_async.jobs.journal import leases, phases
from leadconnector_async.jobs.journal.database import JOURNAL, SQLiteJournal
from leadconnector_async.jobs.journal.folder import fill_journal
from leadconnector_async.jobs.journal.groups import Entry
from leadconnector_async.jobs.journal.instructions import CANCELLED
from leadconnector_async.jobs.journal.load import NewJob
from leadconnector_async.jobs.journal.protocol import DatabaseAwayError
from leadconnector_async.jobs.journal.writer import JournalWriter, make_thread
from leadconnector_async.jobs.supervisor import Supervisor, WorkerSettings
from leadconnector_async.jobs.tickets import Ticket
from leadconnector_async.jobs.unit import ClientFor, OpenJob
from leadconnector_async.jobs.worker_events import (
    DatabaseBack,
    DatabaseLost,
    JobChanged,
    LocationFinished,
    LocationHandedBack,
    LocationTaken,
    WorkerEvent,
    WorkerStarted,
    WorkerStopped,
)
from leadconnector_async.jobs.worker_locations import WorkerLocations
from leadconnector_async.sandbox import BookedAppointment, Sandbox

from ..conftest import MakeClient
from ..jobs.jobbing import FAST, WEEK, at, rows, writes
from .memory_tickets import MemoryTickets

pytestmark = pytest.mark.sandbox(appointments=20, locations=3, limits=FAST)
LEASE = 3.0
"""Longer than a busy machine pauses a process."""
SHORT = 0.5


class World:
    """A job in one file, and the workers on it."""

    def __init__(self, folder: Path, client_for: ClientFor) -> None:
        self.folder = folder
        self.client_for = client_for
        self.tickets = MemoryTickets()
        self.lease = LEASE
        self.events: list[WorkerEvent] = []
        self.is_away = False
        self.connect_within = 0.6
        self.seconds = 0.0
        """By which the clock of the next worker has jumped."""

    async def connect(self) -> JournalWriter:
        if self.is_away:
            raise JournalError("the database is away")
        thread = make_thread()
        path = str(self.folder / JOURNAL)
        journal = await asyncio.get_running_loop().run_in_executor(thread, SQLiteJournal.open, path)
        return JournalWriter(journal, thread)

    def clock(self) -> float:
        return find_clock()() + self.seconds

    def execute(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        connection = sqlite3.connect(self.folder / JOURNAL, isolation_level=None, timeout=10)
        try:
            return connection.execute(statement, values).fetchall()
        finally:
            connection.close()

    def find(self, kind: type[WorkerEvent]) -> list[WorkerEvent]:
        return [one for one in self.events if type(one) is kind]

    async def wait(self, reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not reached():
                await asyncio.sleep(0.02)

    async def wait_for_phase(self, phase: str) -> None:
        await self.wait(lambda: self.execute("SELECT phase FROM jobs") == [(phase,)])

    @asynccontextmanager
    async def working(self, slots: int = 4) -> AsyncIterator[asyncio.Task[None]]:
        """A worker, until the end of the block."""
        stopping = asyncio.Event()
        clients = Clients(self.client_for)
        settings = WorkerSettings(
            slots=slots, lease=self.lease, clock=self.clock, connect_within=self.connect_within
        )
        made = Supervisor(settings, self.connect, self.tickets, clients, self.events.append)
        task = asyncio.create_task(made.run(stopping))
        try:
            yield task
            stopping.set()
            await asyncio.wait_for(task, 12)
        finally:
            task.cancel()
            await asyncio.wait([task])
            await clients.aclose()


@pytest.fixture
async def world(sandbox: Sandbox, make_client: MakeClient, tmp_path: Path) -> AsyncIterator[World]:
    """A submitted job that moves everybody of three locations by a week."""
    plan = rows(
        *(
            at(event, start=(event.start_time + WEEK).isoformat(), location_id=event.location_id)
            for event in list_single(sandbox)
        )
    )
    fill_journal(str(tmp_path), NewJob(location="", options=JobOptions(concurrency=2)), None, plan).close()
    async with Shared(f"sqlite:///{tmp_path}/limits.db") as shared:

        def client_for(location: str) -> LeadConnector:
            token = sandbox.issue_token(location_id=location)
            return make_client(token, location_id=location, shared=shared)

        made = World(tmp_path, client_for)
        made.execute("UPDATE jobs SET name = 'march', phase = 'preparing', submitted = 1")
        yield made


def list_single(sandbox: Sandbox) -> list[BookedAppointment]:
    return [event for event in sandbox.store if not event.rrule]


async def test_two_workers_carry_out_a_job(world: World, sandbox: Sandbox) -> None:
    """First all of it is read and ordered, then all is sent, each row once; nothing of the workers is left."""
    async with world.working(), world.working():
        await world.wait_for_phase("done")
    states = world.execute("SELECT state, COUNT(*) FROM rows GROUP BY state")
    assert states == [("applied", len(list_single(sandbox)))]
    assert sorted(writes(sandbox)) == sorted(event.id for event in list_single(sandbox))
    assert [(one.job, one.phase) for one in world.find(JobChanged)] == [("march", "running"), ("march", "done")]  # type: ignore[attr-defined]
    taken = world.find(LocationTaken)
    assert len(taken) == len(world.find(LocationFinished)) == 6
    assert world.execute("SELECT DISTINCT worker, ended, tries, epoch FROM locations") == [(None, 1, 0, 2)]
    assert world.execute("SELECT * FROM workers") == []
    assert len(world.find(WorkerStarted)) == len(world.find(WorkerStopped)) == 2


def list_owned(world: World) -> int:
    return len(world.execute("SELECT location FROM locations WHERE worker IS NOT NULL"))


def be_slow(world: World) -> None:
    """A worker is met in the middle of its work."""
    world.execute("UPDATE jobs SET rate = 8")


async def test_a_worker_that_ends_hands_its_locations_back(world: World, sandbox: Sandbox) -> None:
    """In the middle of a run; the next one goes on at once, and writes nothing twice."""
    be_slow(world)
    async with world.working():
        await world.wait(lambda: len(writes(sandbox)) >= 3)
    assert list_owned(world) == 0
    assert len(writes(sandbox)) < len(list_single(sandbox))
    assert world.find(LocationHandedBack)
    assert world.execute("SELECT DISTINCT tries FROM locations") == [(0,)]
    await finish(world, sandbox)


async def finish(world: World, sandbox: Sandbox) -> None:
    """Another worker carries the job out; nothing is written twice."""
    world.execute("UPDATE jobs SET rate = NULL")
    async with world.working():
        await world.wait_for_phase("done")
    assert sorted(writes(sandbox)) == sorted(event.id for event in list_single(sandbox))
    assert world.execute("SELECT DISTINCT state FROM rows") == [("applied",)]


async def test_a_worker_that_is_cancelled_leaves_nothing_taken(world: World, sandbox: Sandbox) -> None:
    """Nobody has to wait until it is dead for long enough."""
    be_slow(world)
    with suppress(asyncio.CancelledError):
        async with world.working() as task:
            await world.wait(lambda: len(writes(sandbox)) >= 3)
            task.cancel()
            await asyncio.wait_for(asyncio.wait([task]), 12)
    assert list_owned(world) == 0
    assert world.execute("SELECT * FROM workers") == []
    await finish(world, sandbox)


async def test_an_outage_is_waited_out(world: World, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is sent during it; afterwards the worker has another id, and goes on."""
    be_slow(world)
    commit = SQLiteJournal.commit_entries
    beat = leases.beat

    def fail(*given: object) -> None:
        if world.is_away:
            raise JournalError("the database is away")

    def commit_or_fail(journal: SQLiteJournal, entries: list[Entry]) -> None:
        fail()
        commit(journal, entries)

    def beat_or_fail(*given: object) -> bool:
        fail()
        return beat(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(SQLiteJournal, "commit_entries", commit_or_fail)
    monkeypatch.setattr(leases, "beat", beat_or_fail)
    async with world.working():
        await world.wait(lambda: len(writes(sandbox)) >= 3)
        world.is_away = True
        await world.wait(lambda: bool(world.find(DatabaseLost)))
        sent = len(sandbox.requests)
        await asyncio.sleep(1)
        assert len(sandbox.requests) == sent
        assert len(world.find(DatabaseLost)) == 1
        world.is_away = False
        await world.wait(lambda: bool(world.find(DatabaseBack)))
        world.execute("UPDATE jobs SET rate = NULL")
        await world.wait_for_phase("done")
    assert sorted(writes(sandbox)) == sorted(event.id for event in list_single(sandbox))
    first, second = world.find(WorkerStarted)
    assert first.worker != second.worker


async def test_a_full_database_is_not_tried_again_at_once(
    world: World, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything works but commits of rows: nothing is sent, no location is stopped, and the job ends later."""
    commit = SQLiteJournal.commit_entries
    is_full, world.lease = True, 1.0

    def commit_or_fail(journal: SQLiteJournal, entries: list[Entry]) -> None:
        if is_full:
            raise JournalError("could not extend file: no space left on device")
        commit(journal, entries)

    monkeypatch.setattr(SQLiteJournal, "commit_entries", commit_or_fail)
    async with world.working():
        await world.wait(lambda: len(world.find(DatabaseLost)) == 2)
        began = asyncio.get_running_loop().time()
        await world.wait(lambda: len(world.find(DatabaseLost)) == 5)
        assert asyncio.get_running_loop().time() - began >= 3 * world.lease / 2
        assert not writes(sandbox)
        is_full = False
        await world.wait_for_phase("done")
    assert world.execute("SELECT DISTINCT state FROM rows") == [("applied",)]


async def test_a_database_that_is_away_at_the_start_is_an_error(world: World) -> None:
    """After a while: it may just be starting, too."""
    world.is_away = True
    with pytest.raises(JournalError, match="the database is away"):
        async with world.working() as task:
            await asyncio.wait([task])
    assert len(world.find(DatabaseLost)) == 1


async def test_a_database_that_never_responds_is_away(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """As behind a proxy that stays connected: the worker connects again, and does not wait for ever."""
    answers, register, asked = threading.Event(), leases.register, 0

    def wait_or_register(*given: object) -> object:
        nonlocal asked
        asked += 1
        if asked == 1:
            answers.wait(30)
            raise JournalError("too late")
        return register(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(leases, "register", wait_or_register)
    world.lease, world.connect_within = SHORT, 60.0
    try:
        async with world.working():
            await world.wait(lambda: bool(world.find(WorkerStarted)))
            answers.set()  # so that the connections that were given up can be closed
    finally:
        answers.set()
    assert [one.reason for one in world.find(DatabaseLost)] == ["The database has not responded within 1.5 s."]  # type: ignore[attr-defined]


async def test_a_lease_that_has_expired_is_not_used(world: World, sandbox: Sandbox) -> None:
    """As after a freeze: it registers anew without asking, and takes its locations again."""
    be_slow(world)
    async with world.working():
        await world.wait(lambda: len(writes(sandbox)) >= 3)
        world.seconds = LEASE
        await world.wait(lambda: len(world.find(WorkerStarted)) == 2)
        assert [one.reason for one in world.find(DatabaseLost)] == ["its lease has expired"]  # type: ignore[attr-defined]
        world.execute("UPDATE jobs SET rate = NULL")
        await world.wait_for_phase("done")
    assert sorted(writes(sandbox)) == sorted(event.id for event in list_single(sandbox))


async def test_a_worker_that_others_have_buried_registers_anew(world: World, sandbox: Sandbox) -> None:
    """Its row is gone when it beats."""
    be_slow(world)
    async with world.working():
        await world.wait(lambda: len(writes(sandbox)) >= 3)
        world.execute("DELETE FROM workers")
        await world.wait(lambda: len(world.find(WorkerStarted)) == 2)
        world.execute("UPDATE jobs SET rate = NULL")
        await world.wait_for_phase("done")
    assert sorted(writes(sandbox)) == sorted(event.id for event in list_single(sandbox))


async def test_the_locations_of_a_dead_worker_are_taken_over(world: World, sandbox: Sandbox) -> None:
    """Once its beat has not changed for a whole lease of its own."""
    (worker,) = world.execute(
        "INSERT INTO workers (lease, host, pid, version, state, slots) VALUES (?, '', 1, '', '', 1) RETURNING id",
        SHORT,
    )
    world.execute("UPDATE locations SET worker = ?, epoch = 1", *worker)
    async with world.working():
        await world.wait_for_phase("done")
    assert world.execute("SELECT id FROM workers WHERE id = ?", *worker) == []
    assert world.execute("SELECT DISTINCT epoch FROM locations") == [(3,)]


async def test_a_location_without_a_client_stops_alone(world: World, sandbox: Sandbox) -> None:
    """Its reason names the error, and nothing that the error says; the others are carried out."""
    first = sandbox.location_ids[0]
    find = world.client_for

    def client_for(location: str) -> object:
        if location == first:
            raise LookupError("no token for hunter2")
        return find(location)

    world.client_for = client_for  # type: ignore[assignment]
    async with world.working():
        await world.wait_for_phase("done")
    query = "SELECT stop_kind, stop_reason, resume_at, ended FROM locations WHERE location = ?"
    assert world.execute(query, first) == [("authentication", "client_for raised LookupError", None, 0)]
    assert world.execute("SELECT DISTINCT state FROM rows WHERE location <> ?", first) == [("applied",)]
    assert world.execute("SELECT DISTINCT state FROM rows WHERE location = ?", first) == [("loaded",)]


async def test_a_fault_of_ours_stops_one_location(
    world: World, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And never the worker. The reason says where it happened, and shows no value."""
    first = sandbox.location_ids[0]
    prepare = visit.prepare_location

    async def fail(job: OpenJob, location: str, *given: object) -> object:
        if location == first:
            return {}[f"hunter2 {location}"]
        return await prepare(job, location, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(visit, "prepare_location", fail)
    async with world.working():
        await world.wait_for_phase("done")
    ((kind, reason),) = world.execute("SELECT stop_kind, stop_reason FROM locations WHERE location = ?", first)
    assert kind == "internal"
    assert str(reason).startswith("KeyError in ")
    assert "hunter2" not in str(reason)
    assert world.execute("SELECT DISTINCT state FROM rows WHERE location <> ?", first) == [("applied",)]


async def test_a_client_without_a_shared_store_ends_the_worker(world: World, make_client: MakeClient) -> None:
    """It is a setting: nothing was sent, and what was taken is free."""
    world.client_for = lambda location: make_client(location_id=location)
    with pytest.raises(ConfigurationError, match="returned a client without a shared store"):
        async with world.working() as task:
            await asyncio.wait([task])
    assert list_owned(world) == 0
    assert world.execute("SELECT DISTINCT tries, stop_kind FROM locations") == [(0, None)]


async def test_a_location_that_ends_workers_is_stopped(world: World, sandbox: Sandbox) -> None:
    """The others are carried out."""
    first = sandbox.location_ids[0]
    world.execute("UPDATE locations SET tries = 10 WHERE location = ?", first)
    async with world.working():
        await world.wait_for_phase("done")
    query = "SELECT stop_kind, stop_reason, epoch FROM locations WHERE location = ?"
    assert world.execute(query, first) == [("internal", "it ended 10 workers in a row without progress", 0)]


async def test_a_pause_hands_all_locations_back(world: World, sandbox: Sandbox) -> None:
    """Nobody takes them until the job is to run again."""
    be_slow(world)
    async with world.working():
        await world.wait(lambda: len(writes(sandbox)) >= 3)
        world.execute("UPDATE jobs SET wanted = 'pause'")
        await world.wait(lambda: list_owned(world) == 0)
        sent = len(sandbox.requests)
        await asyncio.sleep(1)
        assert len(sandbox.requests) == sent
        assert world.execute("SELECT phase FROM jobs") == [("running",)]
        world.execute("UPDATE jobs SET wanted = 'run', rate = NULL")
        await world.wait_for_phase("done")
    assert sorted(writes(sandbox)) == sorted(event.id for event in list_single(sandbox))


async def test_a_new_rate_is_obeyed_while_it_runs(world: World, sandbox: Sandbox) -> None:
    """Without it, the job would take an hour."""
    world.execute("UPDATE jobs SET rate = 0.001")
    async with world.working():
        await world.wait(lambda: len(writes(sandbox)) >= 1)
        world.execute("UPDATE jobs SET rate = NULL")
        await world.wait_for_phase("done")


async def test_a_cancelled_job_leaves_out_what_was_not_sent(world: World, sandbox: Sandbox) -> None:
    """What was sent is applied; no row stays open."""
    be_slow(world)
    async with world.working():
        await world.wait(lambda: len(writes(sandbox)) >= 3)
        world.execute("UPDATE jobs SET wanted = 'cancel'")
        await world.wait_for_phase("done")
    applied = {str(one) for (one,) in world.execute("SELECT event_id FROM rows WHERE state = 'applied'")}
    assert applied == set(writes(sandbox))
    assert world.execute("SELECT DISTINCT reason FROM rows WHERE state <> 'applied'") == [(CANCELLED,)]
    assert world.execute("SELECT DISTINCT ended FROM locations") == [(1,)]


async def test_a_job_is_cancelled_before_it_runs(world: World, sandbox: Sandbox) -> None:
    """Nothing was read, and nothing is."""
    world.execute("UPDATE jobs SET wanted = 'cancel'")
    async with world.working():
        await world.wait_for_phase("done")
    assert len(sandbox.requests) == 0
    assert world.execute("SELECT DISTINCT state, reason FROM rows") == [("skipped", CANCELLED)]


async def test_refused_rows_keep_the_job_from_running(world: World, sandbox: Sandbox) -> None:
    """All of it is read; then nothing is sent, unless they are to be left out."""
    event = list_single(sandbox)[0]
    sandbox.delete_appointment(event.id)
    async with world.working():
        await world.wait_for_phase("refused")
        assert writes(sandbox) == []
        assert world.execute("SELECT COUNT(*) FROM faults") == [(1,)]
        options = msgspec.json.encode(JobOptions(skip_refused=True)).decode()
        world.execute("UPDATE facts SET value = ? WHERE name = 'options'", options)
        world.execute("UPDATE jobs SET phase = 'preparing'")
        await world.wait_for_phase("done")
    assert sorted(writes(sandbox)) == sorted(one.id for one in list_single(sandbox) if one.id != event.id)


async def test_options_that_cannot_be_read_stop_the_job(world: World, sandbox: Sandbox) -> None:
    """Whoever may write to the table may write anything."""
    world.execute("UPDATE facts SET value = ? WHERE name = 'options'", '{"concurrency": "os.system"}')
    async with world.working():
        await world.wait_for_phase("stopped")
    assert world.execute("SELECT stop_kind, stop_reason FROM jobs") == [
        ("internal", "the options of the job cannot be read")
    ]
    assert len(sandbox.requests) == 0


@pytest.mark.sandbox(appointments=20, locations=3, limits=FAST, faults={"update_appointment": ["422"] * 200})
async def test_errors_are_counted_for_all_workers_together(world: World, sandbox: Sandbox) -> None:
    """Neither of the two has as many as the job may have."""
    options = msgspec.json.encode(JobOptions(concurrency=1, rate=10, max_errors=6)).decode()
    world.execute("UPDATE facts SET value = ? WHERE name = 'options'", options)
    world.execute("UPDATE jobs SET rate = 10")
    async with world.working(slots=2), world.working(slots=1):
        await world.wait_for_phase("stopped")
        await world.wait(lambda: list_owned(world) == 0)
    ((kind, reason),) = world.execute("SELECT stop_kind, stop_reason FROM jobs")
    assert (kind, str(reason).partition(" ")[2]) == ("errors", "rows have failed; max_errors is 6")
    ((failed,),) = world.execute("SELECT COUNT(*) FROM rows WHERE state = 'failed'")
    assert 6 <= int(str(failed)) <= 6 + 3 * 2
    changes = [(event.job, event.phase) for event in world.events if isinstance(event, JobChanged)]
    assert ("march", "stopped") in changes


@pytest.mark.sandbox(appointments=20, locations=3, limits=FAST, faults={"update_appointment": ["422"] * 5})
async def test_a_job_that_was_resumed_counts_anew(world: World, sandbox: Sandbox) -> None:
    """What has failed before stops it no more."""
    options = msgspec.json.encode(JobOptions(concurrency=1, max_errors=3)).decode()
    world.execute("UPDATE facts SET value = ? WHERE name = 'options'", options)
    async with world.working():
        await world.wait_for_phase("stopped")
        await world.wait(lambda: list_owned(world) == 0)
        sandbox.faults.clear()
        journal = SQLiteJournal.open(str(world.folder / JOURNAL))
        with journal.commit():
            phases.count_anew(journal)
            journal.write("UPDATE jobs SET phase = 'running', stop_kind = NULL, stop_reason = NULL")
        journal.close()
        await world.wait_for_phase("done")
    ((failed, others),) = world.execute("SELECT SUM(state = 'failed'), SUM(state <> 'applied') FROM rows")
    assert int(str(failed)) >= 3
    assert failed == others


async def test_a_ticket_that_is_cancelled_leaves_its_location_to_others(world: World, sandbox: Sandbox) -> None:
    """The engine may cancel it, such as one that has forgotten the worker: the worker lives on, and goes on."""
    running: list[asyncio.Task[object]] = []
    work = WorkerLocations.work

    async def note(locations: WorkerLocations, ticket: Ticket) -> None:
        running.append(asyncio.current_task())  # type: ignore[arg-type]
        await work(locations, ticket)

    be_slow(world)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(WorkerLocations, "work", note)
        async with world.working():
            await world.wait(lambda: len(writes(sandbox)) >= 3)
            for one in running:
                one.cancel()
            world.execute("UPDATE jobs SET rate = NULL")
            await world.wait_for_phase("done")
    assert sorted(writes(sandbox)) == sorted(event.id for event in list_single(sandbox))


async def test_a_job_is_cancelled_although_a_location_has_no_client(world: World, sandbox: Sandbox) -> None:
    """Its rows are left out as well, once: nobody takes it again and again."""
    find, first, is_away = world.client_for, sandbox.location_ids[0], False

    def client_for(location: str) -> object:
        if is_away and location == first:
            raise LookupError("its token was revoked")
        return find(location)

    world.client_for = client_for  # type: ignore[assignment]
    be_slow(world)
    async with world.working():
        await world.wait(lambda: len(writes(sandbox)) >= 3)
    is_away = True
    world.execute("UPDATE jobs SET wanted = 'cancel'")
    world.execute(
        "UPDATE rows SET state = 'sent' WHERE number = (SELECT MAX(number) FROM rows WHERE location = ?)", first
    )
    async with world.working():
        await world.wait_for_phase("done")
    assert set(world.execute("SELECT DISTINCT state FROM rows WHERE location = ?", first)) >= {
        ("skipped",),
        ("unknown",),
    }
    assert world.execute("SELECT DISTINCT ended FROM locations") == [(1,)]


@pytest.mark.parametrize("phase", ["preparing", "running"])
async def test_options_that_are_nested_too_deeply_stop_the_job(world: World, sandbox: Sandbox, phase: str) -> None:
    """And no worker, whether it takes a location or moves the job on."""
    world.execute("UPDATE facts SET value = ? WHERE name = 'options'", '{"unknown": ' + "[" * 100_000)
    world.execute("INSERT INTO faults (line, column_name, reason, hint) VALUES (2, '', '', '')")
    world.execute("UPDATE locations SET prepared = ?", int(phase == "preparing"))
    async with world.working():
        await world.wait_for_phase("stopped")
    assert len(sandbox.requests) == 0


HOSTILE = "os.system('id')"


def plant(world: World, location: str) -> None:
    """Write the same into every column of a location's rows that can be changed, whatever it is for."""
    for row in world.execute("PRAGMA table_info(rows)"):
        name = str(row[1])
        if name not in ("job", "location", "number", "state", "read_at"):
            world.execute(f"UPDATE rows SET {name} = ? WHERE location = ?", HOSTILE, location)  # noqa: S608


@pytest.mark.parametrize("phase", ["preparing", "running"])
async def test_values_that_nobody_has_written_stop_one_location(world: World, sandbox: Sandbox, phase: str) -> None:
    """The worker goes on without another registration, and carries the other locations out."""
    first = sandbox.location_ids[0]
    be_slow(world)
    if phase == "preparing":
        plant(world, first)
    async with world.working():
        await world.wait(lambda: len(writes(sandbox)) >= 3)
        if phase == "running":
            plant(world, first)
        world.execute("UPDATE jobs SET rate = NULL")
        await world.wait_for_phase("done")
    assert world.execute("SELECT DISTINCT state FROM rows WHERE location <> ?", first) == [("applied",)]
    assert world.execute("SELECT stop_kind FROM locations WHERE location = ?", first) == [("internal",)]
    assert len(world.find(WorkerStarted)) == 1


async def test_a_location_that_cannot_be_taken_keeps_nobody_from_the_others(world: World, sandbox: Sandbox) -> None:
    """Its epoch has no successor: whoever gets its ticket goes on with the next one. It stops, and says why."""
    first = sandbox.location_ids[0]
    world.execute("UPDATE locations SET epoch = ? WHERE location = ?", 2**63 - 1, first)
    async with world.working():
        query = "SELECT COUNT(*) FROM locations WHERE prepared = 1"
        await world.wait(lambda: world.execute(query) == [(2,)])
        await world.wait_for_phase("done")
    [(tries, kind, reason)] = world.execute(
        "SELECT tries, stop_kind, stop_reason FROM locations WHERE location = ?", first
    )
    assert (tries, kind) == (leases.MOST_TRIES, "internal")
    assert reason == "10 attempts in a row to take it have failed (DamagedError)"
    assert len(world.find(WorkerStarted)) == 1


async def test_a_location_whose_statements_fail_when_it_is_taken_stops_in_the_end(
    world: World, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time the worker registers anew, as if the database had been away; the others are carried out."""
    monkeypatch.setattr(supervisor, "_FAILING_SECONDS", 0.01)
    first = sandbox.location_ids[0]
    world.execute(
        "CREATE TRIGGER broken BEFORE UPDATE ON locations WHEN NEW.epoch > OLD.epoch AND OLD.location = ?"
        " BEGIN SELECT RAISE(ABORT, 'disk image is malformed'); END".replace("?", f"'{first}'")
    )
    async with world.working(slots=1):
        await world.wait(lambda: world.execute("SELECT 1 FROM locations WHERE stop_kind = 'internal'") == [(1,)])
        await world.wait_for_phase("done")
    assert world.execute("SELECT location, tries FROM locations WHERE stop_kind = 'internal'") == [
        (first, leases.MOST_TRIES)
    ]
    assert world.execute("SELECT DISTINCT state FROM rows WHERE location <> ?", first) == [("applied",)]


async def test_a_database_that_is_full_stops_no_location(
    world: World, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often that is seen while a location is taken or written: it is not the location's fault."""
    monkeypatch.setattr(supervisor, "_FAILING_SECONDS", 0.01)
    take, commit, failures = leases.take, SQLiteJournal.commit_entries, 0

    def fail(*given: object) -> None:
        nonlocal failures
        failures += 1
        if failures <= 3 * leases.MOST_TRIES:
            raise DatabaseAwayError("no space left on device")

    def take_or_fail(*given: object) -> object:
        if failures < 2 * leases.MOST_TRIES:
            fail()
        return take(*given)  # type: ignore[arg-type]

    def commit_or_fail(journal: SQLiteJournal, entries: list[Entry]) -> None:
        fail()
        commit(journal, entries)

    monkeypatch.setattr(leases, "take", take_or_fail)
    monkeypatch.setattr(SQLiteJournal, "commit_entries", commit_or_fail)
    async with world.working(slots=1):
        await world.wait_for_phase("done")
    assert failures > 3 * leases.MOST_TRIES
    assert world.execute("SELECT DISTINCT stop_kind FROM locations") == [(None,)]
    assert world.execute("SELECT DISTINCT state FROM rows") == [("applied",)]


async def test_a_location_whose_statements_always_fail_stops_in_the_end(
    world: World, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time the worker loses all that it holds; the other locations end, and the reason can be read."""
    monkeypatch.setattr(supervisor, "_FAILING_SECONDS", 0.01)
    world.execute(
        "CREATE TRIGGER broken BEFORE UPDATE ON rows WHEN OLD.location = ?"
        " BEGIN SELECT RAISE(ABORT, 'disk image is malformed'); END".replace("?", f"'{sandbox.location_ids[1]}'")
    )
    async with world.working(slots=1):
        await world.wait(
            lambda: world.execute("SELECT COUNT(*) FROM locations WHERE stop_kind = 'internal'") == [(1,)]
        )
        assert world.execute("SELECT tries FROM locations WHERE stop_kind = 'internal'") == [(leases.MOST_TRIES,)]
