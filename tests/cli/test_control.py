"""Commands for jobs that somebody else may be running: what they print, and their exit codes."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from leadconnector_async import LeadConnector
from leadconnector_async.cli.control import cancel, pause, rate, report
from leadconnector_async.cli.exit_codes import code_of
from leadconnector_async.cli.jobs import resume
from leadconnector_async.jobs import BulkJob, JobOptions, JobSummary, PlanRow, RowFault, list_jobs
from leadconnector_async.sandbox import Sandbox

from ..conftest import QUICK
from ..jobs.jobbing import FAST, at, rows, run, week_later, writes

Output = pytest.CaptureFixture[str]


@pytest.fixture
async def clinic(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Sandbox]:
    """A sandbox, and an empty folder in which commands run."""
    async with Sandbox(limits=FAST, appointments=12) as sandbox:
        monkeypatch.chdir(tmp_path)
        yield sandbox


@pytest.fixture
async def client(clinic: Sandbox) -> AsyncIterator[LeadConnector]:
    options = {"base_url": clinic.url, "location_id": clinic.location_id}
    async with LeadConnector(clinic.token, retry=QUICK, **options) as client:
        yield client


async def test_report_writes_the_files_again(clinic: Sandbox, client: LeadConnector, capsys: Output) -> None:
    """Into the folder of the job, into another one, or the HTML report alone; stdout says where they are."""
    bad = at(clinic.appointment(clinic.appointment_ids[0]), assigned_user_id="nobody")
    await run("day.job", client, rows(bad, *week_later(clinic, 5)[1:]))
    os.unlink("day.job/report.html")
    assert await report("day.job") == 0
    assert capsys.readouterr().out == "Files: day.job\n"
    assert await report("day.job", folder="march") == 0
    assert capsys.readouterr().out == "Files: march\n"
    assert sorted(os.listdir("march")) == ["failed.csv", "report.html", "summary.json"]
    assert await report("day.job", html="march.html", json_output=True) == 0
    assert json.loads(capsys.readouterr().out) == {"job": "day.job", "exit_code": 0, "written": "march.html"}
    assert Path("march.html").read_text() == Path("day.job/report.html").read_text()


async def test_report_overwrites_nothing_by_mistake(clinic: Sandbox, client: LeadConnector, capsys: Output) -> None:
    """Neither a file nor the files of another job: exit code 2, and what to do."""
    await run("day.job", client, rows(*week_later(clinic, 2)))
    Path("failed.csv").write_text("mine")
    Path("march.html").write_text("mine")
    for options, words in (
        ({"html": "march.html"}, "march.html already exists; choose another name, or add --force to overwrite it"),
        ({"folder": "."}, ". contains a file failed.csv, which the job would overwrite: choose another folder."),
        ({"folder": ".", "html": "x.html"}, "--html and --folder cannot be used together; give only one of them"),
    ):
        assert await report("day.job", **options) == 2  # type: ignore[arg-type]
        assert words in capsys.readouterr().err
    assert Path("failed.csv").read_text() == Path("march.html").read_text() == "mine"
    assert await report("day.job", html="march.html", force=True) == 0
    assert Path("march.html").read_text() != "mine"


@asynccontextmanager
async def running(
    client: LeadConnector, plan: list[PlanRow | RowFault]
) -> AsyncIterator[tuple[BulkJob, asyncio.Task[JobSummary]]]:
    """A job in `day.job` that runs, at two rows per second, until it has ended."""
    async with await BulkJob.create("day.job", client, plan, options=JobOptions(rate=2)) as job:
        begun = asyncio.Event()
        task = asyncio.create_task(job.run(on_outcome=lambda outcome: begun.set()))
        await begun.wait()
        yield job, task
        await task


async def test_a_running_job_is_paused_sped_up_and_continued(
    clinic: Sandbox, client: LeadConnector, capsys: Output
) -> None:
    """Each command says what follows, also when there is nothing to do; the run then ends as any other."""
    async with running(client, rows(*week_later(clinic, 12))) as (job, task):
        assert await resume("day.job") == 0
        assert capsys.readouterr().out == "day.job is running.\n"
        assert await pause("day.job") == 0
        assert capsys.readouterr().out == "day.job is paused.\n"
        assert await pause("day.job", json_output=True) == 0
        assert json.loads(capsys.readouterr().out) == {"job": "day.job", "exit_code": 0, "changed": False}
        assert await rate("day.job", "off") == 0
        assert capsys.readouterr().out == "day.job has no maximum rate.\n"
        [entry] = await asyncio.to_thread(list_jobs, "day.job")
        assert (entry.phase, entry.rate, entry.workers) == ("paused", None, 1)
        while job._control.wanted != "pause":  # within half a second: a row may have been sent until then
            await asyncio.sleep(0.01)
        while (done := list_jobs("day.job")[0].done) < len(writes(clinic)):  # the rows in flight end
            await asyncio.sleep(0.01)
        await asyncio.sleep(1.2)
        assert len(writes(clinic)) == done < 12
        assert await resume("day.job", json_output=True) == 0
        assert json.loads(capsys.readouterr().out) == {"job": "day.job", "exit_code": 0, "changed": True}
    assert task.result().counts == {"applied": 12}


async def test_a_running_job_is_cancelled(clinic: Sandbox, client: LeadConnector, capsys: Output) -> None:
    """The rows in flight end, the others are skipped; the run ends as one with rows that were left out."""
    async with running(client, rows(*week_later(clinic, 12))) as (_, task):
        assert await cancel("day.job", json_output=True) == 0
        assert json.loads(capsys.readouterr().out) == {"job": "day.job", "exit_code": 0, "changed": True}
    counts = task.result().counts
    assert counts.keys() == {"applied", "skipped"}
    assert sum(counts.values()) == 12
    assert code_of(task.result()) == 1
    assert counts["applied"] == len(writes(clinic))


async def test_a_job_that_nobody_runs_is_only_cancelled(
    clinic: Sandbox, client: LeadConnector, capsys: Output
) -> None:
    """Pausing it makes no sense: exit code 2, and what to run instead. Its rate is kept for the next run."""
    async with await BulkJob.create("day.job", client, rows(*week_later(clinic, 3))):
        pass
    assert await pause("day.job") == 2
    assert capsys.readouterr().err == "Nobody runs day.job; leadconnector resume day.job runs it here\n"
    assert await rate("day.job", "2.5") == 0
    assert capsys.readouterr().out == "day.job changes at most 2.5 rows per second and location.\n"
    assert [one.rate for one in list_jobs()] == [2.5]
    for text, words in (
        ("fast", "'fast' is not a valid rate; write a number such as 5 or 0.5, or off"),
        ("0", "rate is 0.0; it must be greater than 0"),
        ("nan", "rate is nan; it must be greater than 0"),
    ):
        assert await rate("day.job", text) == 2
        assert words in capsys.readouterr().err
    assert await cancel("day.job") == 0
    assert capsys.readouterr().out == "day.job is cancelled.\n"
    assert [(one.phase, one.done, one.failed) for one in list_jobs()] == [("done", 3, 3)]
    for command in (pause, cancel):
        assert await command("day.job") == 2
        assert capsys.readouterr().err == "day.job has ended (0 applied, 3 failed)\n"
    assert not writes(clinic)


@pytest.mark.parametrize("command", [pause, cancel, lambda job, **options: rate(job, "5", **options), report])
async def test_a_job_that_does_not_exist_ends_with_7(
    command: Callable[..., Awaitable[int]], clinic: Sandbox, capsys: Output
) -> None:
    """Whatever is to be done with it."""
    assert await command("none.job", json_output=True) == 7
    said = json.loads(capsys.readouterr().out)
    assert said == {
        "exit_code": 7,
        "error": {"type": "JobNotFoundError", "message": "There is no job in none.job."},
    }
