"""A service whose jobs are in a Postgres database: it is one of their workers."""

import asyncio
import subprocess
import sys
import time
import uuid
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from leadconnector_async import (
    JobConflictError,
    JobNotFoundError,
    JournalError,
    LeadConnector,
    PlanError,
    Shared,
)
from leadconnector_async.jobs import BulkJob, JobService, database_runs
from leadconnector_async.sandbox import Sandbox

from ..cli.shell import build_environment
from ..conftest import MakeClient
from ..sharing.relay import relay
from .jobbing import FAST, QUICK_START, SLOW, follow, wait_for, week_later, writes

pytestmark = pytest.mark.sandbox(appointments=40, limits=FAST)
OFTEN = 0.7
"""Seconds between two looks: the lease is then the shortest that there is."""


@pytest.fixture
async def client(make_client: MakeClient, jobs_database: str) -> AsyncIterator[LeadConnector]:
    async with Shared(jobs_database) as shared:
        yield make_client(shared=shared, rate_limit=QUICK_START)


@pytest.fixture
async def service(jobs_database: str, client: LeadConnector) -> AsyncIterator[JobService]:
    async with JobService(jobs_database, client, take_over_every=OFTEN) as service:
        yield service


@pytest.fixture
def name() -> str:
    """Other tests use the same database."""
    return uuid.uuid4().hex[:12]


async def test_a_job_is_paused_resumed_and_finished_by_any_service(
    sandbox: Sandbox, service: JobService, jobs_database: str, client: LeadConnector, name: str
) -> None:
    """The one that got the job ends in the middle; it stays paused meanwhile, and each row is written once."""
    async with JobService(jobs_database, client, take_over_every=OFTEN) as first:
        await first.submit(name, week_later(sandbox, 30), options=SLOW)
        with pytest.raises(JobConflictError, match=f"There is already a job {name}"):
            await service.submit(name, week_later(sandbox, 1))
        await wait_for(service, name, lambda progress: progress.done >= 3)
        assert await service.pause(name)
        await first.set_rate(name, None)
    assert (await service.read_progress(name)).phase == "paused"
    assert await service.resume(name)
    assert (await follow(service, name))[-1].phase == "done"
    assert (await service.read_result(name)).summary.counts == {"applied": 30}
    assert [(one.phase, one.done) for one in await service.list_jobs() if one.name == name] == [("done", 30)]
    assert sorted(writes(sandbox)) == sorted(sandbox.appointment_ids[:30])


async def test_a_refused_job_says_so_and_runs_without_its_bad_rows(
    sandbox: Sandbox, service: JobService, name: str
) -> None:
    """And bad rows that need no calendar leave nothing behind."""
    with pytest.raises(PlanError):
        await service.submit(name, [{"event_id": "x", "start_time": "tomorrow"}])
    with pytest.raises(JobNotFoundError, match=rf"^There is no job {name}\.$"):
        await service.read_progress(name)
    await service.submit(name, [*week_later(sandbox, 2), {"event_id": "nowhere", "title": "x"}])
    refused = (await follow(service, name))[-1]
    assert (refused.phase, [fault.line for fault in refused.faults]) == ("refused", [3])
    with pytest.raises(JobConflictError, match="skip_refused"):
        await service.resume(name)
    assert await service.resume(name, skip_refused=True)
    assert (await follow(service, name))[-1].applied == 2
    [row] = (await service.read_result(name)).rows
    assert (row.line, row.state) == (3, "refused")


@pytest.mark.parametrize("when", ["running", "refused"])
async def test_a_job_is_cancelled(when: str, sandbox: Sandbox, service: JobService, name: str) -> None:
    """Its open rows are skipped."""
    rows = week_later(sandbox, 30)
    if when == "refused":
        rows.append({"event_id": "nowhere", "title": "x"})
    await service.submit(name, rows, options=SLOW)
    await wait_for(service, name, lambda progress: progress.phase == when)
    await service.cancel(name)
    done = await wait_for(service, name, lambda progress: progress.phase == "done")
    assert done.done == len(rows)
    assert (await service.read_result(name)).summary.counts.get("applied", 0) == len(writes(sandbox)) < 30
    with pytest.raises(JobConflictError, match="has ended"):
        await service.cancel(name)


@asynccontextmanager
async def serve_elsewhere(count: int, database: str, sandbox: Sandbox) -> AsyncIterator[list[Process]]:
    """Services in processes of their own."""
    command = [sys.executable, "-m", "tests.jobs.service_child", database]
    environment = build_environment(sandbox)
    processes = [
        await asyncio.create_subprocess_exec(*command, env=environment, stdin=subprocess.PIPE) for _ in range(count)
    ]
    try:
        yield processes
    finally:
        for one in processes:
            if one.returncode is None and one.stdin is not None:
                one.stdin.close()
            await one.wait()


def find_owner(database: str, name: str) -> int:
    """The process that works on a job."""
    import psycopg  # only these tests need it

    query = """
        SELECT workers.pid FROM leadconnector_jobs.jobs
        JOIN leadconnector_jobs.locations ON locations.job = jobs.id
        JOIN leadconnector_jobs.workers ON workers.id = locations.worker
        WHERE jobs.name = %s
    """
    with psycopg.connect(database) as connection:
        [(pid,)] = connection.execute(query, (name,)).fetchall()
    return int(pid)


@pytest.mark.campaign(180)
async def test_a_job_survives_the_kill_of_its_process(
    sandbox: Sandbox, jobs_database: str, client: LeadConnector, name: str
) -> None:
    """`kill -9`, with requests under way: another one takes over, every row is written, and each once."""
    rows, place = week_later(sandbox, 40), f"{jobs_database}#{name}"
    async with serve_elsewhere(2, jobs_database, sandbox) as processes:
        async with await BulkJob.create(place, client, rows, options=SLOW) as job:
            await job.submit()
            async with asyncio.timeout(60):
                while len(writes(sandbox)) < 5:
                    await asyncio.sleep(0.02)
            owner = find_owner(jobs_database, name)
            [killed] = [one for one in processes if one.pid == owner]
            killed.kill()
            await killed.wait()
            killed_at, written = time.monotonic(), len(writes(sandbox))
            assert written < len(rows)
            await job.set_rate(None)
            async with asyncio.timeout(60):
                summary = await job.wait()
    assert summary.counts == {"applied": len(rows)}
    assert sorted(writes(sandbox)) == sorted(sandbox.appointment_ids)
    took = next(one.at for one in sandbox.requests if one.at > killed_at) - killed_at
    sys.stdout.write(f"the job was taken over {took:.1f} s after kill -9 of its worker\n")


async def test_a_lost_connection_is_replaced(service: JobService, jobs_database: str, name: str) -> None:
    """The next question is asked on another one."""
    import psycopg  # only these tests need it

    with pytest.raises(JobNotFoundError):
        await service.read_progress(name)
    with psycopg.connect(jobs_database, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    with pytest.raises(JobNotFoundError):
        await service.read_progress(name)


async def test_all_who_wait_for_a_database_that_is_away_wait_together(make_client: MakeClient) -> None:
    """For one connection. Otherwise each would wait for those before it to give up as well, longer and longer."""
    connections: list[asyncio.StreamWriter] = []
    all_ask, seen = asyncio.Event(), asyncio.Event()

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        seen.set()
        await all_ask.wait()
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        url = f"postgresql://127.0.0.1:{server.sockets[0].getsockname()[1]}/jobs"
        service = JobService(url, make_client(shared=Shared(url)))
        asking = [asyncio.create_task(service.list_jobs()) for _ in range(10)]
        await seen.wait()
        all_ask.set()
        failures = await asyncio.gather(*asking, return_exceptions=True)
        assert len(connections) == 1
        assert {type(one) for one in failures} == {JournalError}
        assert len({id(one) for one in failures}) == len(asking)
        await service.aclose()


@pytest.mark.parametrize("how", ["patience", "close"])
async def test_a_database_that_is_frozen_keeps_nobody_waiting_without_end(
    how: str, jobs_database: str, client: LeadConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connections stay open and nothing comes: whoever asks is told in the end, and the service closes."""
    async with relay(jobs_database) as frozen:
        service = JobService(frozen.url, client)
        with pytest.raises(JobNotFoundError):
            await service.read_progress("x")
        frozen.running.clear()
        frozen.received.clear()
        if how == "patience":
            monkeypatch.setattr(database_runs, "_ANSWER_SECONDS", 0.2)
        asking = [asyncio.create_task(service.read_progress("x")) for _ in range(5)]
        await frozen.received.wait()
        if how == "patience":
            failures = await asyncio.gather(*asking, return_exceptions=True)
            assert {type(one) for one in failures} == {JournalError}
        await service.aclose()
        for one in asking:
            one.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        frozen.running.set()


def test_no_password_is_shown(client: LeadConnector) -> None:
    """Neither by the service nor by what it holds."""
    service = JobService("postgresql://me:pass-w0rd-zzzz@db/leads?sslmode=verify-full", client)
    assert "zzzz" not in repr(service)
    assert "zzzz" not in repr(vars(service))
    assert "zzzz" not in repr(vars(service._runs))
