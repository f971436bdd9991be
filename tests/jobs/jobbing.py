"""What tests of jobs share."""

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from pathlib import Path

from leadconnector_async import LeadConnector, RateLimit
from leadconnector_async.jobs import (
    BulkJob,
    JobOptions,
    JobProgress,
    JobService,
    JobSummary,
    PlanRow,
    RowFault,
    iterate_plan,
)
from leadconnector_async.jobs.journal.database import SQLiteJournal
from leadconnector_async.jobs.journal.protocol import Journal
from leadconnector_async.jobs.journal.tables import KINDS
from leadconnector_async.sandbox import BookedAppointment, Limits, Sandbox

FAST = Limits(max_requests=100_000, interval=1.0)
"""The limit is out of the way."""
QUICK_START = RateLimit(interval=FAST.interval)
"""What a client assumes at first. A shared store that was just started gives out nothing for longer than that."""
SLOW = JobOptions(rate=4)
"""Forty rows take ten seconds: however busy the machine is, whoever has seen the first ones is in the middle."""
WEEK = timedelta(weeks=1)


def rows(*cells: Mapping[str, object], timezone: str | None = None) -> list[PlanRow | RowFault]:
    """A plan out of its cells."""
    return list(iterate_plan([json.dumps(dict(one)) for one in cells], format="jsonl", timezone=timezone))


def at(event: BookedAppointment, *, start: str | None = None, **cells: object) -> dict[str, object]:
    """Cells for one appointment."""
    return {"event_id": event.id, **({} if start is None else {"start_time": start}), **cells}


async def run(
    place: Path | str, client: LeadConnector, plan: Iterable[PlanRow | RowFault], **options: object
) -> JobSummary:
    """A job from its beginning to its end."""
    chosen = JobOptions(**options)  # type: ignore[arg-type]
    async with await BulkJob.create(place, client, plan, options=chosen) as job:
        return await job.run()


async def follow(service: JobService, name: str) -> list[JobProgress]:
    """All progress of a job of a service, to its end."""
    async with asyncio.timeout(60):
        return [progress async for progress in service.watch(name)]


async def wait_for(service: JobService, name: str, is_so: Callable[[JobProgress], bool]) -> JobProgress:
    """Until its progress is as it should be."""
    async with asyncio.timeout(60):
        while not is_so(progress := await service.read_progress(name)):
            await asyncio.sleep(0.02)
    return progress


async def do(job: BulkJob, statement: str) -> None:
    """Change rows of this job: a database has others, too. The statement ends with its conditions."""

    def write(journal: Journal) -> None:
        journal.write(f"{statement} AND job = ?", (journal.hold.job,))

    await job._journal.run(write)


async def select(job: BulkJob, query: str) -> list[tuple[object, ...]]:
    """What the journal of a job holds, and in a database no other."""

    def read(journal: Journal) -> list[tuple[object, ...]]:
        if isinstance(journal, SQLiteJournal):
            return journal.sqlite.raw.execute(query).fetchall()
        return select_of_one(journal, query)

    return await job._journal.run(read)


def select_of_one(journal: Journal, query: str) -> list[tuple[object, ...]]:
    """By a session of its own, whose tables are those of one job."""
    import psycopg  # only these tests need it

    from leadconnector_async.integrations.postgres_journal import PostgresJournal

    assert isinstance(journal, PostgresJournal)
    with psycopg.connect(journal.session.connection.info.dsn) as connection:
        for table in KINDS:
            key = {"jobs": "id", "workers": "NULL"}.get(table, "job")
            view = f"SELECT * FROM leadconnector_jobs.{table} WHERE {key} = {journal.hold.job}"  # noqa: S608 - a number
            connection.execute(f"CREATE TEMP VIEW {table} AS {view}".encode())
        return connection.execute(query.encode()).fetchall()


def writes(sandbox: Sandbox) -> list[str]:
    """The events whose changes were applied, in their order."""
    return [str(one.event_id) for one in sandbox.requests.of("update_appointment") if one.applied]


def picture(sandbox: Sandbox) -> dict[str, BookedAppointment]:
    """The whole state."""
    return {event.id: event for event in sandbox.store}


def week_later(sandbox: Sandbox, most: int = 250) -> list[dict[str, object]]:
    """Cells that move everybody by a week."""
    return [
        at(event, start=(event.start_time + WEEK).isoformat())
        for event in map(sandbox.appointment, sandbox.appointment_ids[:most])
    ]


def of_one_doctor(sandbox: Sandbox, most: int, status: str = "confirmed") -> list[BookedAppointment]:
    """Appointments of one person, one after the other, all of which take their time."""
    first = sandbox.appointment(sandbox.appointment_ids[0])
    events = [event for event in sandbox.store if event.assigned_user_id == first.assigned_user_id]
    chosen = sorted(events, key=lambda event: event.start_time)[:most]
    for event in chosen:
        sandbox.edit_appointment(event.id, appointment_status=status)
    return [sandbox.appointment(event.id) for event in chosen]


def exchange(events: list[BookedAppointment]) -> list[dict[str, object]]:
    """Each wants the time of the next, the last that of the first."""
    targets = [*events[1:], events[0]]
    return [
        at(event, start=target.start_time.isoformat(), end_time=target.end_time.isoformat())
        for event, target in zip(events, targets, strict=True)
    ]
