"""Jobs of a database from the shell: handed to workers, followed, controlled; and the worker itself."""

import asyncio
import json
import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from leadconnector_async import LeadConnector, Shared
from leadconnector_async.cli.arguments import Account
from leadconnector_async.cli.control import cancel, pause, rate, report
from leadconnector_async.cli.jobs import resume, retry_failed, status, undo, verify
from leadconnector_async.cli.listing import list_all, purge
from leadconnector_async.cli.progress import describe_phase
from leadconnector_async.cli.reschedule import reschedule
from leadconnector_async.cli.session import JobSession
from leadconnector_async.cli.worker import worker
from leadconnector_async.jobs import BulkJob, JobProgress, following, handle, list_jobs, run_worker
from leadconnector_async.jobs import worker as worker_module
from leadconnector_async.sandbox import Sandbox

from ..jobs.jobbing import WEEK, picture, rows, writes
from ..servers import take_port
from .shell import build_environment, start

Output = pytest.CaptureFixture[str]
pytestmark = [pytest.mark.sandbox(appointments=12), pytest.mark.timeout(180)]


@pytest.fixture
async def database(account: Sandbox, postgres_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """An empty database with tables; the environment has the account of the sandbox, the folder a plan."""
    shared = Shared(postgres_url)
    await shared.migrate()
    await shared.aclose()
    monkeypatch.chdir(tmp_path)
    lines = ["event_id,start_time"]
    for event in map(account.appointment, account.appointment_ids):
        lines.append(f"{event.id},{(event.start_time + WEEK).isoformat()}")
    Path("day.csv").write_text("\n".join(lines) + "\n")
    return postgres_url


@asynccontextmanager
async def working(sandbox: Sandbox, url: str) -> AsyncIterator[None]:
    """A worker in this process."""
    stop = asyncio.Event()
    async with (
        Shared(url) as shared,
        LeadConnector(
            sandbox.token, base_url=sandbox.url, location_id=sandbox.location_id, shared=shared
        ) as client,
    ):
        task = asyncio.create_task(run_worker(url, client_for=lambda location: client, lease=2.0, stop=stop))
        try:
            yield
        finally:
            stop.set()
            await task


async def test_a_plan_is_moved_by_workers_and_back(account: Sandbox, database: str, capsys: Output) -> None:
    """Checked here, run there, followed to the end; then looked at, verified, reported and undone."""
    before = picture(account)
    job = f"{database}#day"
    shown = f"postgresql://{job.partition('@')[2]}"
    async with working(account, database):
        assert await reschedule("day.csv", job=job, yes=True) == 0
    said = capsys.readouterr()
    assert "12 to change" in said.err
    assert said.out.splitlines()[0].split() == ["applied", "12"]
    assert f"Write its files with: leadconnector report '{shown}'" in said.out
    assert sorted(writes(account)) == sorted(account.appointment_ids)
    assert os.listdir() == ["day.csv"]
    assert await status(job, json_output=True) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["counts"] == {"applied": 12}
    assert (document["phase"], document["exit_code"]) == ("done", 0)
    assert await list_all(database, json_output=True) == 0
    [entry] = json.loads(capsys.readouterr().out)["jobs"]
    assert (entry["name"], entry["phase"], entry["done"]) == (shown, "done", 12)
    assert await verify(job) == 0
    assert capsys.readouterr().out == "12 of 12 changes are as planned.\n"
    assert await report(job) == 0
    assert capsys.readouterr().out == "Files: day.report\n"
    assert sorted(os.listdir("day.report")) == ["report.html", "summary.json"]
    assert await undo(job, yes=True) == 0
    assert picture(account) == before
    capsys.readouterr()
    assert await purge(database, older_than="0h", yes=True, json_output=True) == 0
    assert json.loads(capsys.readouterr().out) == {"exit_code": 0, "removed": [shown, f"{shown}.undo"]}


async def test_a_job_is_left_to_workers_that_come_later(account: Sandbox, database: str, capsys: Output) -> None:
    """Detached; paused, with another rate and resumed before there is any worker; cancelled in the end."""
    job = f"{database}#day"
    assert await reschedule("day.csv", job=job, yes=True, detach=True) == 0
    assert "Submitted. Follow it with: leadconnector resume 'postgresql://" in capsys.readouterr().out
    assert await pause(job) == 0
    assert await rate(job, "20") == 0
    assert await status(job) == 5
    assert "State: paused, 0 workers" in capsys.readouterr().out
    assert not writes(account)
    async with working(account, database):
        assert await resume(job) == 0
    assert len(writes(account)) == 12
    capsys.readouterr()
    for command in (pause, cancel):
        assert await command(job) == 2
        assert "#day has ended (12 applied, 0 failed)" in capsys.readouterr().err


async def test_a_job_that_nobody_runs_is_cancelled_and_taken_up_again(
    account: Sandbox, database: str, capsys: Output
) -> None:
    """Exit code 1 as for any row that was left out; `retry-failed` runs it in its own process."""
    job = f"{database}#day"
    assert await reschedule("day.csv", job=job, yes=True, detach=True) == 0
    assert await cancel(job) == 0
    assert await status(job) == 1
    assert "12" in capsys.readouterr().out
    assert await retry_failed(job) == 0
    assert len(writes(account)) == 12


async def test_a_retry_of_a_job_that_workers_have_follows_it(
    account: Sandbox, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not end the pause, nor does it run the job beside them."""
    job, following = f"{database}#day", asyncio.Event()
    follow = JobSession.follow

    async def note(session: JobSession) -> int:
        following.set()
        return await follow(session)

    assert await reschedule("day.csv", job=job, yes=True, detach=True) == 0
    assert await pause(job) == 0
    monkeypatch.setattr(JobSession, "follow", note)
    retrying = asyncio.create_task(retry_failed(job))
    async with asyncio.timeout(20):
        await following.wait()
    assert not writes(account)
    async with working(account, database):
        assert await resume(job) == 0
        assert await retrying == 0
    assert len(writes(account)) == 12


async def test_rows_that_workers_refuse_are_named_and_left_out_on_request(
    account: Sandbox, database: str, capsys: Output
) -> None:
    """A job that was submitted without being checked: nothing is sent, exit code 2; then all but those rows."""
    job = f"{database}#day"
    event = account.appointment(account.appointment_ids[0])
    plan = [
        {"event_id": event.id, "start_time": (event.start_time + WEEK).isoformat()},
        {"event_id": "unknown", "title": "x"},
    ]
    client = LeadConnector(account.token, base_url=account.url, location_id=account.location_id)
    async with client, await BulkJob.create(job, client, rows(*plan)) as made:
        await made.submit()
    async with working(account, database):
        assert await resume(job, json_output=True) == 2
        said = capsys.readouterr()
        assert "the event is deleted or unknown; remove the row, or correct the id" in said.err
        assert json.loads(said.out)["error"]["type"] == "PlanError"
        assert not writes(account)
        assert await resume(job, skip_refused=True) == 1
    assert writes(account) == [event.id]


async def test_workers_that_are_missing_end_the_following_with_5(
    account: Sandbox, database: str, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the command that starts one; the job stays submitted."""
    for module in (following, handle):
        monkeypatch.setattr(module, "PATIENCE", 1.0)
    assert await reschedule("day.csv", job=f"{database}#day", yes=True) == 5
    said = capsys.readouterr().err
    assert "No worker has been seen for 1 s: start one with leadconnector worker postgresql://" in said
    async with working(account, database):
        assert await resume(f"{database}#day") == 0


async def test_ctrl_c_leaves_the_job_to_the_workers(account: Sandbox, database: str, tmp_path: Path) -> None:
    """It ends with 5 and says so; the job is as it was, and goes on without anybody who follows it."""
    job = f"{database}#day"
    environment = build_environment(account)
    process = await start(tmp_path, environment, "reschedule", "day.csv", "--job", job, "--yes")
    while [one.phase for one in await asyncio.to_thread(list_jobs, database)] != ["preparing"]:
        await asyncio.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = await process.communicate()
    assert process.returncode == 5
    assert "The job goes on." in err.decode()
    assert "Resume with: leadconnector resume 'postgresql://" in out.decode()
    async with working(account, database):
        while [one.phase for one in await asyncio.to_thread(list_jobs, database)] != ["done"]:
            await asyncio.sleep(0.05)
    assert len(writes(account)) == 12


@pytest.mark.parametrize(
    ("progress", "words"),
    [
        ({"phase": "preparing", "locations": 12, "prepared": 3}, ("reading locations", 3, 12)),
        ({"phase": "preparing"}, ("changing", 5, 9)),
        ({"phase": "paused"}, ("paused", 5, 9)),
        ({"phase": "running", "locations": 12, "prepared": 12}, ("changing", 5, 9)),
        ({}, ("changing", 5, 9)),
    ],
)
def test_progress_says_what_the_job_is_doing(progress: dict[str, object], words: tuple[str, int, int]) -> None:
    """While it is prepared, locations are counted; otherwise rows."""
    known = {"done": 5, "total": 9, "applied": 5, "failed": 0, "unknown": 0, "rate": 1.0}
    assert describe_phase(JobProgress(**known, **progress)) == words  # type: ignore[arg-type]


async def test_a_read_only_account_hands_nothing_to_workers(
    account: Sandbox, database: str, capsys: Output, tmp_path: Path
) -> None:
    """Neither a new job nor one that is to be continued, and it is no worker itself: exit code 2."""
    job, readers = f"{database}#day", Account(read_only=True)
    assert await reschedule("day.csv", job=job, yes=True, account=readers) == 2
    assert await reschedule("day.csv", job=job, yes=True, detach=True) == 0
    assert await pause(job) == 0
    assert await resume(job, account=readers) == 2
    assert "read" in capsys.readouterr().err
    process = await start(tmp_path, build_environment(account), "worker", database, "--read-only")
    _, err = await process.communicate()
    assert process.returncode == 2
    assert "read" in err.decode()
    assert [one.phase for one in await asyncio.to_thread(list_jobs, database)] == ["paused"]


async def test_a_declined_job_leaves_nothing(account: Sandbox, database: str, capsys: Output) -> None:
    """Nor does a dry run; the name can be used again."""
    job = f"{database}#day"
    assert await reschedule("day.csv", job=job) == 2
    assert await reschedule("day.csv", job=job, dry_run=True) == 0
    assert await list_all(database, json_output=True) == 0
    assert json.loads(capsys.readouterr().out)["jobs"] == []


@pytest.mark.parametrize(
    ("job", "words"),
    [
        ("{url}", "names no job; write postgresql://"),
        ("{url}#March plan", "'March plan' is not a valid job name: 1 to 64 letters"),
        ("sqlite:///x.db#march", "jobs of several machines need Postgres; on one machine, pass a folder"),
        ("postgresql://me:secret@127.0.0.1/x#march", "has a password, and other users can see the arguments"),
    ],
)
async def test_what_names_no_job_is_a_usage_error(
    job: str, words: str, account: Sandbox, database: str, capsys: Output
) -> None:
    """With exit code 2, whichever command it is; no password is shown."""
    place = job.format(url=database)
    for command in (status, pause, cancel, report, verify, resume):
        assert await command(place) == 2
        said = capsys.readouterr()
        assert words in said.err
        assert "secret" not in said.out + said.err
    assert await reschedule("day.csv", job=place, yes=True) == 2
    assert await status(f"{database}#missing") == 7
    assert "There is no job missing in postgresql://" in capsys.readouterr().err
    assert await reschedule("day.csv", detach=True) == 2


async def test_the_worker_command_ends_in_order(account: Sandbox, database: str, tmp_path: Path) -> None:
    """It says what happens as JSON lines, touches its file, and ends with 0 after SIGTERM."""
    environment = build_environment(account)
    process = await start(
        tmp_path, environment, "worker", database, "--json", "--lease", "2", "--health", "alive", "--slots", "3"
    )
    assert process.stderr is not None
    assert json.loads(await process.stderr.readline())["event"] == "WorkerStarted"
    while not (tmp_path / "alive").exists():
        await asyncio.sleep(0.05)
    assert await reschedule("day.csv", job=f"{database}#day", yes=True) == 0
    process.send_signal(signal.SIGTERM)
    out, err = await process.communicate()
    assert (process.returncode, json.loads(out)) == (0, {"exit_code": 0})
    events = {json.loads(line)["event"] for line in err.decode().splitlines() if line.startswith("{")}
    assert {"LocationTaken", "LocationFinished", "WorkerStopped"} <= events
    assert len(writes(account)) == 12


async def test_a_worker_names_what_it_prints(account: Sandbox, database: str, tmp_path: Path) -> None:
    """Without --json, a line has the time, the kind and each value with its name."""
    process = await start(tmp_path, build_environment(account), "worker", database, "--lease", "2")
    assert process.stderr is not None
    line = (await process.stderr.readline()).decode()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d worker_started worker=\d+\n", line)
    process.send_signal(signal.SIGTERM)
    await process.communicate()
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--slots", "0"), "slots is 0; it must be a whole number of at least 1"),
        (("--lease", "0.5"), "lease is 0.5; it must be at least 1 second"),
        (("--health", "none/alive"), "--health none/alive: the folder none does not exist"),
    ],
)
async def test_settings_of_a_worker_that_cannot_be_used_end_with_2(
    arguments: tuple[str, str], words: str, account: Sandbox, database: str, tmp_path: Path
) -> None:
    """Before it registers."""
    process = await start(tmp_path, build_environment(account), "worker", database, *arguments)
    _, err = await process.communicate()
    assert process.returncode == 2
    assert words in err.decode()


async def test_a_worker_without_a_database_gives_up(
    account: Sandbox, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It can be started again later, as its exit code says; nothing was sent."""
    monkeypatch.setattr(worker_module, "_START_SECONDS", 0.2)
    url = f"postgresql://127.0.0.1:{take_port()}/leads"
    assert await worker(url) == 5
    said = capsys.readouterr().err
    assert " database_lost worker=0 " in said
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d database_lost worker=0 reason=", said)
    assert not account.requests.of("update_appointment")


async def test_workers_change_a_few_rows_first(account: Sandbox, database: str, capsys: Output) -> None:
    """With `--canary`, the others follow only if the first were changed as planned."""
    account.faults.plan("update_appointment", ["422"] * 2)
    async with working(account, database):
        assert await reschedule("day.csv", job=f"{database}#day", yes=True, canary=2) != 0
        assert not writes(account)
        assert await reschedule("day.csv", job=f"{database}#again", yes=True, canary=2) == 0
    assert sorted(writes(account)) == sorted(account.appointment_ids)
