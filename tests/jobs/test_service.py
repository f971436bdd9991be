"""A service runs the jobs of a folder, or of a database, beside others that share the place."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, closing, suppress
from pathlib import Path

import pytest

from leadconnector_async import (
    ConfigurationError,
    JobConflictError,
    JobNotFoundError,
    JournalError,
    LeadConnector,
    PlanError,
    ReadOnlyError,
    ReconnectRequiredError,
    Shared,
)
from leadconnector_async.jobs import (
    BulkJob,
    JobOptions,
    JobService,
    folder_run,
    folder_runs,
    polling,
    read_status,
)
from leadconnector_async.jobs.database_runs import DatabaseRuns
from leadconnector_async.jobs.folder_jobs import FolderJobs
from leadconnector_async.jobs.folder_runs import FolderRuns
from leadconnector_async.jobs.journal import database
from leadconnector_async.jobs.journal.folder import is_in_use
from leadconnector_async.jobs.journal.serving import DueJob, LocationStop, count_death, find_due
from leadconnector_async.jobs.run.lease import begin_lease
from leadconnector_async.jobs.service_clients import Borrowed
from leadconnector_async.sandbox import Sandbox

from ..conftest import MakeClient
from ..shortage import no_descriptors
from .jobbing import FAST, SLOW, follow, wait_for, week_later, writes

pytestmark = pytest.mark.sandbox(limits=FAST)

OFTEN = 0.05
"""Seconds between two looks."""
Row = dict[str, object]


@pytest.fixture(autouse=True)
def read_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that is watched is read as often as others look for jobs; otherwise each test waits half a second."""
    monkeypatch.setattr(polling, "EVERY", OFTEN)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "jobs"


@pytest.fixture
async def service(folder: Path, client: LeadConnector) -> AsyncIterator[JobService]:
    async with JobService(folder, client, take_over_every=OFTEN) as service:
        yield service


@pytest.fixture
async def other(service: JobService, folder: Path, make_client: MakeClient) -> AsyncIterator[JobService]:
    """That of another worker on the same folder."""
    async with JobService(folder, make_client(), take_over_every=OFTEN) as other:
        yield other


def plan(sandbox: Sandbox, count: int = 40) -> list[Row]:
    return week_later(sandbox, count)


async def look_some_more() -> None:
    """Long enough for several looks."""
    await asyncio.sleep(8 * OFTEN)


async def test_a_job_is_run_and_seen_by_every_service(
    sandbox: Sandbox, service: JobService, other: JobService
) -> None:
    """Progress to the end, result and list; an unknown name is a `JobNotFoundError` that shows no folder.

    The rate of a job that has ended is the same for whoever followed it and whoever asks later.
    """
    begun = await service.submit("day", plan(sandbox), options=JobOptions(rate=80))
    assert (begun.total, begun.workers) == (40, 1)
    seen = await follow(other, "day")
    assert [one.done for one in seen] == sorted(one.done for one in seen)
    assert (seen[-1].phase, seen[-1].applied, seen[-1].stopped) == ("done", 40, ())
    assert (seen[-1].rate, seen[-1].remaining_seconds) == (0.0, 0.0)
    for one in (service, other):
        progress = await one.read_progress("day")
        assert (progress.rate, progress.remaining_seconds) == (0.0, 0.0)
        result = await one.read_result("day")
        assert (result.summary.counts, result.rows, result.next_page) == ({"applied": 40}, (), None)
        [entry] = await one.list_jobs()
        assert (entry.name, entry.phase, entry.done) == ("day", "done", 40)
        with pytest.raises(JobNotFoundError, match=r"^There is no job night\.$"):
            await one.read_progress("night")
        with pytest.raises(JobNotFoundError):
            await follow(one, "night")
    assert sorted(writes(sandbox)) == sorted(sandbox.appointment_ids[:40])


async def test_a_restart_continues_a_job(sandbox: Sandbox, folder: Path, client: LeadConnector) -> None:
    """The service ends in the middle, the next one goes on; every row is written once."""
    async with JobService(folder, client, take_over_every=OFTEN) as service:
        await service.submit("day", plan(sandbox), options=SLOW)
        await wait_for(service, "day", lambda progress: progress.done >= 5)
    status = read_status(folder / "day.job")
    assert 0 < status.summary.remaining < 40
    assert "sent" not in status.summary.counts
    async with JobService(folder, client, take_over_every=OFTEN) as service:
        await service.set_rate("day", None)
        assert (await follow(service, "day"))[-1].phase == "done"
    assert sorted(writes(sandbox)) == sorted(sandbox.appointment_ids[:40])


async def test_a_job_that_cannot_be_read_just_now_is_taken_over_later(
    sandbox: Sandbox, folder: Path, client: LeadConnector, caplog: pytest.LogCaptureFixture
) -> None:
    """Its process was killed, and this one has a single file descriptor left: that is said once, not forever."""
    async with JobService(folder, client, take_over_every=OFTEN) as service:
        await service.submit("day", plan(sandbox), options=SLOW)
    journal = folder / "day.job" / database.JOURNAL
    with closing(database.open_beside(str(journal))) as running:
        running.write("UPDATE jobs SET phase = 'running'")
        kept = journal.with_name(f"{journal.name}-wal").read_bytes()
    journal.with_name(f"{journal.name}-wal").write_bytes(kept)  # as a killed process leaves it
    jobs = FolderJobs(str(folder))
    with no_descriptors(but=1):
        assert [jobs.list_due(frozenset()) for _ in range(2)] == [[], []]
    assert caplog.text.count("the job day is left alone for now: ") == 1
    assert jobs.list_due(frozenset()) == ["day"]


async def test_another_service_takes_over_at_once(
    sandbox: Sandbox, folder: Path, client: LeadConnector, make_client: MakeClient
) -> None:
    """A listener of the other one sees the whole job through."""
    async with JobService(folder, make_client(), take_over_every=OFTEN) as other:
        async with JobService(folder, client, take_over_every=OFTEN) as service:
            await service.submit("day", plan(sandbox), options=SLOW)
            following = asyncio.create_task(follow(other, "day"))
            await wait_for(service, "day", lambda progress: progress.done >= 5)
        await other.set_rate("day", None)
        assert (await following)[-1].phase == "done"
    assert sorted(writes(sandbox)) == sorted(sandbox.appointment_ids[:40])


TAKEN_OVER_WITHIN = 5.0


async def test_by_its_settings_a_job_is_taken_over_within_five_seconds(
    folder: Path, client: LeadConnector, make_client: MakeClient
) -> None:
    """After its process was killed.

    In a folder, its lock is free at once, and others look for it. In a database, others see the last heartbeat one
    sweep late at most, wait for a whole lease, and notice at the next sweep that it is over.
    """
    in_folder = JobService(folder, client)._runs
    assert isinstance(in_folder, FolderRuns)
    assert in_folder._every < TAKEN_OVER_WITHIN
    shared = Shared(f"sqlite:///{folder}.db")
    in_database = JobService("postgresql://db/leads?sslmode=verify-full", make_client(shared=shared))._runs
    assert isinstance(in_database, DatabaseRuns)
    lease = begin_lease(1, in_database._work.keywords["lease"], 0.0)
    assert lease.sweep_seconds + lease.seconds + lease.sweep_seconds < TAKEN_OVER_WITHIN


async def test_bad_rows_leave_nothing_behind(sandbox: Sandbox, service: JobService, folder: Path) -> None:
    """Nothing is sent, and the name can be used."""
    first, second = sandbox.appointment_ids[:2]
    bad: list[Row] = [{"event_id": first, "title": "x"}, {"event_id": second, "start_time": "tomorrow"}]
    with pytest.raises(PlanError) as caught:
        await service.submit("day", bad)
    assert [fault.line for fault in caught.value.faults] == [2]
    assert (list(folder.iterdir()), await service.list_jobs(), len(sandbox.requests)) == ([], [], 0)
    await service.submit("day", bad[:1])
    assert (await follow(service, "day"))[-1].phase == "done"


async def test_a_plan_that_the_calendar_shows_to_be_bad_is_seen_by_all(
    sandbox: Sandbox, service: JobService, other: JobService, folder: Path, make_client: MakeClient
) -> None:
    """Also after a restart; it is not tried again before somebody leaves the bad rows out."""
    first = sandbox.appointment_ids[0]
    await service.submit("day", [{"event_id": first, "title": "x"}, {"event_id": "nowhere", "title": "x"}])
    assert (await follow(other, "day"))[-1].phase == "refused"
    async with JobService(folder, make_client(), take_over_every=OFTEN) as restarted:
        requests = len(sandbox.requests)
        await look_some_more()
        for one in (service, other, restarted):
            progress = await one.read_progress("day")
            assert (progress.phase, [fault.line for fault in progress.faults]) == ("refused", [2])
            assert [entry.phase for entry in await one.list_jobs()] == ["refused"]
            with pytest.raises(JobConflictError, match="skip_refused"):
                await one.resume("day")
            with pytest.raises(JobConflictError, match="not running"):
                await one.pause("day")
            [row] = (await one.read_result("day")).rows
            assert (row.line, row.state) == (2, "refused")
        assert (len(sandbox.requests), writes(sandbox)) == (requests, [])
        assert await restarted.resume("day", skip_refused=True)
        assert (await follow(other, "day"))[-1].phase == "done"
    assert writes(sandbox) == [first]


async def test_a_paused_job_stays_paused_after_a_restart(
    sandbox: Sandbox, folder: Path, client: LeadConnector
) -> None:
    """Until it is resumed; a pause while no process runs the job counts as well."""
    async with JobService(folder, client, take_over_every=OFTEN) as service:
        await service.submit("day", plan(sandbox), options=SLOW)
        await wait_for(service, "day", lambda progress: progress.done >= 5)
        assert await service.pause("day")
        assert not await service.pause("day")
    async with JobService(folder, client, take_over_every=OFTEN) as service:
        await look_some_more()
        written = len(writes(sandbox))
        await look_some_more()
        assert (await service.read_progress("day")).phase == "paused"
        assert [one.phase for one in await service.list_jobs()] == ["paused"]
        assert len(writes(sandbox)) == written < 40
        await service.set_rate("day", None)
        assert await service.resume("day")
        assert not await service.resume("day")
        assert (await follow(service, "day"))[-1].applied == 40
    assert sorted(writes(sandbox)) == sorted(sandbox.appointment_ids[:40])


@pytest.mark.parametrize("when", ["running", "paused", "idle", "refused"])
async def test_a_job_is_cancelled_whatever_it_is_doing(
    when: str, sandbox: Sandbox, folder: Path, client: LeadConnector
) -> None:
    """Its open rows are skipped by whoever takes it next, and afterwards it has ended."""
    rows = plan(sandbox)
    if when == "refused":
        rows.append({"event_id": "nowhere", "title": "x"})
    async with JobService(folder, client, take_over_every=OFTEN) as service:
        await service.submit("day", rows, options=SLOW)
        if when != "refused":
            await wait_for(service, "day", lambda progress: progress.done >= 5)
        if when == "paused":
            await service.pause("day")
        if when == "refused":
            await follow(service, "day")
        if when != "idle":
            assert await service.cancel("day")
            await follow(service, "day")
        else:
            service.stop()
            await wait_for(service, "day", lambda progress: not progress.workers)
            assert await service.cancel("day")
    async with JobService(folder, client, take_over_every=OFTEN) as service:
        progress = (await follow(service, "day"))[-1]
        assert (progress.phase, progress.done, progress.unknown) == ("done", len(rows), 0)
        for wish in (service.pause, service.resume, service.cancel):
            with pytest.raises(JobConflictError, match="The job day has ended"):
                await wish("day")
        counts = (await service.read_result("day")).summary.counts
        assert counts["skipped"] + counts.get("applied", 0) == 40
        assert counts.get("applied", 0) == len(writes(sandbox))


async def test_a_job_that_has_stopped_says_why_and_is_not_tried_again(
    sandbox: Sandbox, folder: Path, make_client: MakeClient
) -> None:
    """A rejected token: each service asks no more; after a restart neither. Once it is mended, `resume` goes on."""
    async with AsyncExitStack() as stack:
        bad = make_client("pit-rejected")
        services = [
            await stack.enter_async_context(JobService(folder, bad, take_over_every=OFTEN)) for _ in range(2)
        ]
        await services[0].submit("day", plan(sandbox, 3))
        assert (await follow(services[1], "day"))[-1].phase == "stopped"
        services.append(await stack.enter_async_context(JobService(folder, bad, take_over_every=OFTEN)))
        requests = len(sandbox.requests)
        await look_some_more()
        assert len(sandbox.requests) == requests
        for one in services:
            progress = await one.read_progress("day")
            [stopped] = progress.stopped
            assert (progress.phase, stopped.kind) == ("stopped", "authentication")
            assert (await one.read_result("day")).summary.stopped == (stopped,)
    async with JobService(folder, make_client(), take_over_every=OFTEN) as service:
        await look_some_more()
        assert await service.resume("day")
        assert (await follow(service, "day"))[-1].phase == "done"
    assert len(writes(sandbox)) == 3


NOW = 1000.0


@pytest.mark.parametrize(
    ("job", "stops", "due"),
    [
        (DueJob("preparing", "run", 0, None, None), [], None),
        (DueJob("preparing", "run", 1, None, None), [], 0.0),
        (DueJob("running", "run", 1, None, None), [], 0.0),
        (DueJob("running", "pause", 1, None, None), [], 0.0),
        (DueJob("stopped", "run", 1, "interrupted", NOW), [], 0.0),
        (DueJob("stopped", "run", 1, "errors", NOW), [LocationStop("daily", NOW + 9)], None),
        (DueJob("stopped", "run", 1, "internal", NOW), [], None),
        (DueJob("stopped", "run", 1, None, NOW), [], None),
        (DueJob("stopped", "run", 1, None, NOW), [LocationStop("authentication", None)], None),
        (DueJob("stopped", "run", 1, None, NOW), [LocationStop("daily", None)], None),
        (DueJob("stopped", "run", 1, None, NOW), [LocationStop("daily", NOW + 9000)], NOW + 9000),
        (
            DueJob("stopped", "run", 1, None, NOW),
            [
                LocationStop("daily", NOW + 9000),
                LocationStop("authentication", None),
                LocationStop("unreachable", None),
            ],
            NOW + 60,
        ),
        (DueJob("stopped", "cancel", 1, "internal", NOW), [], 0.0),
        (DueJob("refused", "run", 1, None, None), [], None),
        (DueJob("refused", "cancel", 1, None, None), [], 0.0),
        (DueJob("done", "run", 1, None, NOW), [], None),
        (DueJob("done", "cancel", 1, None, NOW), [], None),
    ],
)
def test_when_a_job_is_run_by_itself(job: DueJob, stops: list[LocationStop], due: float | None) -> None:
    """What was left by a dead process at once; what stopped, only if time may have helped."""
    assert find_due(job, stops) == due


async def test_of_two_who_submit_at_once_one_wins(
    sandbox: Sandbox, service: JobService, other: JobService, folder: Path
) -> None:
    """The other one is told, without the folder's path; the plan of the winner is run, once."""
    rows = plan(sandbox, 10)
    results = await asyncio.gather(
        *(one.submit("day", rows) for one in (service, other) * 3), return_exceptions=True
    )
    errors = [one for one in results if isinstance(one, Exception)]
    assert len(errors) == 5
    for error in errors:
        assert isinstance(error, JobConflictError)
        assert str(folder) not in str(error)
    await follow(other, "day")
    assert sorted(writes(sandbox)) == sorted(sandbox.appointment_ids[:10])
    with pytest.raises(JobConflictError, match=r"^There is already a job day\.$"):
        await other.submit("day", rows)


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_submission_that_is_cancelled_leaves_nothing_behind(
    is_async: bool, sandbox: Sandbox, service: JobService, other: JobService, folder: Path
) -> None:
    """However far its rows had come; the name can be used at once."""
    read = asyncio.Event()
    loop = asyncio.get_running_loop()

    def generate() -> Iterator[Row]:
        for number in range(1_000_000):
            if number == 5_000:
                loop.call_soon_threadsafe(read.set)
            yield {"event_id": f"e{number}", "title": "x"}

    async def stream() -> AsyncIterator[Row]:
        for row in generate():
            yield row

    submitting = asyncio.create_task(service.submit("day", stream() if is_async else generate()))
    await read.wait()
    with pytest.raises(JobNotFoundError):
        await other.read_progress("day")
    submitting.cancel()
    with suppress(asyncio.CancelledError):
        await submitting
    assert list(folder.iterdir()) == []
    assert await other.list_jobs() == []
    await other.submit("day", plan(sandbox, 2))
    assert (await follow(other, "day"))[-1].phase == "done"


async def test_a_process_runs_no_more_jobs_at_once_than_it_can(
    sandbox: Sandbox, folder: Path, service: JobService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many are submitted: each takes a thread and open files. The others wait for their turn."""
    monkeypatch.setattr(folder_runs, "_MOST_AT_ONCE", 2)
    names = [f"job{number}" for number in range(5)]
    for number, name in enumerate(names):
        rows: list[Row] = [{"event_id": sandbox.appointment_ids[number], "title": "x"}]
        await service.submit(name, rows, options=JobOptions(rate=1))
        assert sum(is_in_use(str(folder / f"{one}.job")) for one in names) <= 2
    for name in names:
        assert (await follow(service, name))[-1].phase == "done"
    assert sorted(writes(sandbox)) == sorted(sandbox.appointment_ids[:5])


async def test_rows_that_fail_leave_nothing_behind(service: JobService, folder: Path) -> None:
    """Such as those of a client that has disconnected; its own error is raised."""

    async def stream() -> AsyncIterator[Row]:
        yield {"event_id": "x", "title": "x"}
        raise ConnectionResetError("gone")

    with pytest.raises(ConnectionResetError, match="gone"):
        await service.submit("day", stream())
    assert list(folder.iterdir()) == []


async def test_a_job_whose_folder_is_removed_is_stopped(
    sandbox: Sandbox, service: JobService, other: JobService, folder: Path
) -> None:
    """Its listeners are told, and a new job of the same name runs."""
    await service.submit("day", plan(sandbox), options=SLOW)
    await wait_for(service, "day", lambda progress: progress.done >= 3)
    await asyncio.to_thread(shutil.rmtree, folder / "day.job")
    await look_some_more()
    written = len(writes(sandbox))
    await look_some_more()
    assert len(writes(sandbox)) == written < 40
    with pytest.raises(JobNotFoundError):
        await other.read_progress("day")
    await other.submit("day", plan(sandbox, 3))
    await follow(service, "day")
    assert (await other.read_result("day")).summary.total == 3


@pytest.mark.parametrize("is_full_for_ever", [False, True])
async def test_a_job_whose_disk_is_full_is_not_tried_again_and_says_why(
    is_full_for_ever: bool,
    sandbox: Sandbox,
    service: JobService,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whether or not that can be written down; once there is space, it is resumed."""
    tries = 0

    def fail(*_: object) -> None:
        nonlocal tries
        tries += 1
        raise JournalError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(database.SQLiteJournal, "commit_entries", fail)
        if is_full_for_ever:
            patch.setattr(folder_run, "write_beside", fail)
        await service.submit("day", plan(sandbox, 5))
        await follow(service, "day")
        tried = tries
        await look_some_more()
        assert tries == tried
        progress = await service.read_progress("day")
        assert (progress.phase, [one.reason for one in progress.stopped]) == ("stopped", ["the disk is full"])
        assert (await service.list_jobs())[0].phase == "stopped"
    assert "the disk is full" in caplog.text
    assert await service.resume("day")
    assert (await follow(service, "day"))[-1].applied == 5


async def test_a_job_that_ends_its_processes_is_given_up(
    sandbox: Sandbox, folder: Path, client: LeadConnector
) -> None:
    """After ten of them without progress."""
    async with JobService(folder, client, take_over_every=OFTEN) as service:
        await service.submit("day", plan(sandbox, 30), options=SLOW)
        await wait_for(service, "day", lambda progress: progress.done >= 1)
        await service.pause("day")
    with closing(database.open_beside(str(folder / "day.job" / "journal.sqlite"))) as journal:
        for tries in range(9, -1, -1):
            journal.write("UPDATE jobs SET phase = 'running', stop_kind = NULL")  # as a killed process leaves it
            if tries:
                assert count_death(journal)
    async with JobService(folder, client, take_over_every=OFTEN) as service:
        progress = await wait_for(service, "day", lambda progress: progress.phase == "stopped")
    assert [one.reason for one in progress.stopped] == ["it ended 10 processes in a row without progress"]


async def test_a_job_that_was_not_submitted_is_left_alone(
    sandbox: Sandbox, folder: Path, client: LeadConnector
) -> None:
    """Somebody else may be about to run it; `resume` hands it to the service."""
    async with await BulkJob.create(folder / "day.job", client, plan(sandbox, 2)):
        pass
    async with JobService(folder, client, take_over_every=OFTEN) as service:
        await look_some_more()
        assert ((await service.read_progress("day")).phase, len(sandbox.requests)) == ("ready", 0)
        assert await service.resume("day")
        assert (await follow(service, "day"))[-1].phase == "done"


@pytest.mark.parametrize(
    "name", ["", "..", "../x", "a/b", "a\\b", "x" * 65, "a b", "day#1", "x\0", "ü", "a%2fb", 7]
)
async def test_a_name_cannot_lead_elsewhere(name: str, sandbox: Sandbox, service: JobService, folder: Path) -> None:
    """Neither into another folder nor into another part of a URL."""
    if name == "..":
        await service.submit(name, plan(sandbox, 1))
        await follow(service, name)
        assert [one.name for one in folder.iterdir()] == ["...job"]
        return
    calls = [service.read_progress, service.pause, service.resume, service.cancel, service.read_result]
    for call in calls:
        with pytest.raises(ConfigurationError, match="not a valid job name"):
            await call(name)
    with pytest.raises(ConfigurationError, match="not a valid job name"):
        await service.submit(name, plan(sandbox, 1))
    assert list(folder.iterdir()) == []


async def test_a_thousand_listeners_cost_one_reader(
    sandbox: Sandbox, service: JobService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All see the end; those that leave early free what they hold, and the last one ends the reading."""
    polls = 0
    poll = service._runs.poll

    async def count(name: str) -> object:
        nonlocal polls
        polls += 1
        return await poll(name)

    monkeypatch.setattr(service._poller, "_read", count)
    await service.submit("day", plan(sandbox, 30), options=JobOptions(rate=30))
    before = polls
    listening = [asyncio.create_task(follow(service, "day")) for _ in range(1_000)]
    await asyncio.sleep(0.2)
    for one in listening[:900]:
        one.cancel()
    for one in listening[900:]:
        assert (await one)[-1].phase == "done"
    assert polls - before < 500
    assert service._poller._watches == {}
    again = service.watch("day")
    assert (await anext(again)).phase == "done"
    await again.aclose()
    assert service._poller._watches == {}


async def test_a_service_that_is_closed_ends_its_listeners(sandbox: Sandbox, service: JobService) -> None:
    """Without an error: the stream of a web server ends, and its client connects again elsewhere."""
    await service.submit("day", plan(sandbox), options=SLOW)
    listening = asyncio.create_task(follow(service, "day"))
    await wait_for(service, "day", lambda progress: progress.done >= 1)
    service.stop()
    assert (await listening)[-1].phase in ("preparing", "running", "ready")
    with pytest.raises(ConfigurationError, match="not running"):
        await service.submit("night", plan(sandbox, 1))


@pytest.mark.sandbox(limits=FAST, appointments=20)
async def test_a_service_that_is_closed_does_not_wait_for_a_server_that_hangs(
    sandbox: Sandbox, folder: Path, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row in flight gets its time, and is read back by the next service before it is sent again."""
    monkeypatch.setattr(folder_run, "_GRACE_SECONDS", 0.2)
    sandbox.faults.plan("update_appointment", ["stall 30"])
    async with JobService(folder, make_client(), take_over_every=OFTEN) as service:
        await service.submit("day", plan(sandbox, 1))
        async with asyncio.timeout(30):
            while not sandbox.requests.of("update_appointment"):
                await asyncio.sleep(0.01)
    async with JobService(folder, make_client(), take_over_every=OFTEN) as service:
        assert (await follow(service, "day"))[-1].applied == 1
    assert len(writes(sandbox)) == 1


@pytest.mark.sandbox(limits=FAST, appointments=20, locations=2)
async def test_each_location_has_its_client(sandbox: Sandbox, folder: Path, make_client: MakeClient) -> None:
    """`client_for` is asked once for each; rows must name their location, or be of that of the submission."""
    asked: list[str] = []

    async def client_for(location: str) -> LeadConnector:
        asked.append(location)
        return make_client(sandbox.issue_token(location_id=location), location_id=location)

    first, second = sandbox.location_ids
    rows: list[Row] = [
        {"event_id": event, "title": "x", "location_id": location}
        for location in (first, second)
        for event in sandbox.find_appointment_ids(location)[:3]
    ]
    async with JobService(folder, client_for, take_over_every=OFTEN) as service:
        await service.submit("both", rows)
        assert (await follow(service, "both"))[-1].applied == 6
        assert sorted(asked) == sorted([first, second])
        with pytest.raises(PlanError, match="neither the row nor the client has a location"):
            await service.submit("day", [{"event_id": "x", "title": "x"}])
        with pytest.raises(PlanError) as caught:
            await service.submit("day", rows, location_id=first)
        assert [(one.line, one.column) for one in caught.value.faults] == [(4, "location_id")] * 0 + [
            (line, "location_id") for line in (4, 5, 6)
        ]

        async def stream() -> AsyncIterator[Row]:
            for row in rows:
                yield row

        with pytest.raises(PlanError):
            await service.submit("day", stream(), location_id=first)


async def test_an_error_of_the_users_function_stops_the_job_and_shows_nothing(
    sandbox: Sandbox, folder: Path
) -> None:
    """Of a foreign error only its type is shown: it may hold a token."""
    errors: list[Exception] = [ValueError("pit-secret"), ReconnectRequiredError("connect the app again")]

    def client_for(location: str) -> LeadConnector:
        raise errors.pop(0)

    async with JobService(folder, client_for, take_over_every=OFTEN) as service:
        for reason in ("client_for raised ValueError", "connect the app again"):
            name = reason.split()[0]
            await service.submit(name, plan(sandbox, 1), location_id=sandbox.location_id)
            progress = (await follow(service, name))[-1]
            [stopped] = progress.stopped
            assert (progress.phase, stopped.kind, stopped.reason) == ("stopped", "authentication", reason)


async def test_a_job_whose_failure_cannot_be_written_down_is_let_go(
    sandbox: Sandbox, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was missing for that: another process may have it."""

    def fail(*_: object) -> LeadConnector:
        raise MemoryError

    def find(self: Borrowed, location: str) -> None:
        raise ConfigurationError("no client")

    monkeypatch.setattr(folder_run, "write_beside", fail)
    monkeypatch.setattr(Borrowed, "find", find)
    async with JobService(folder, fail, take_over_every=OFTEN) as service:
        await service.submit("day", plan(sandbox, 2), location_id=sandbox.location_id)
        assert (await follow(service, "day"))[-1].phase == "stopped"
        assert not is_in_use(str(folder / "day.job"))


async def test_pages_of_rows(sandbox: Sandbox, service: JobService) -> None:
    """In the order of the plan, and only those in the chosen states."""
    rows = [*plan(sandbox, 5), *({"event_id": f"no{number}", "title": "x"} for number in range(7))]
    await service.submit("day", rows, options=JobOptions(skip_refused=True))
    assert (await follow(service, "day"))[-1].failed == 7
    lines: list[int] = []
    after: int | None = 0
    pages = 0
    while after is not None:
        page = await service.read_result("day", after=after, most=3)
        lines += [row.line for row in page.rows]
        after, pages = page.next_page, pages + 1
    assert (lines, pages) == ([6, 7, 8, 9, 10, 11, 12], 3)
    applied = await service.read_result("day", states=["applied"], most=5)
    assert ([row.line for row in applied.rows], applied.next_page) == ([1, 2, 3, 4, 5], None)
    for wrong in ({"states": ["x"]}, {"after": -1}, {"most": 0}, {"most": 10_001}):
        with pytest.raises(ConfigurationError):
            await service.read_result("day", **wrong)  # type: ignore[arg-type]


async def test_what_cannot_work_is_refused_at_once(
    folder: Path, client: LeadConnector, make_client: MakeClient, sandbox: Sandbox
) -> None:
    """A client that may only read, a database without a shared store, and settings of a wrong kind."""
    for wrong in ("token", None, LeadConnector):
        with pytest.raises(ConfigurationError, match="it must be a LeadConnector"):
            JobService(folder, wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="shared store"):
        JobService("postgresql://db/leads", client)
    with pytest.raises(ConfigurationError, match="take_over_every"):
        JobService(folder, client, take_over_every=0)
    async with JobService(folder, make_client(access="read"), take_over_every=OFTEN) as service:
        with pytest.raises(ReadOnlyError):
            await service.submit("day", plan(sandbox, 1))
    (folder / "file").write_text("")
    with pytest.raises(JournalError, match="cannot be used"):
        async with JobService(folder / "file", client):
            pass
    with pytest.raises(ConfigurationError, match="not running"):
        await JobService(folder, client).submit("day", [])
