"""The files of a job, written again: anywhere, by anybody, also while it runs; never over those of another job."""

import asyncio
import json
from pathlib import Path

import pytest

from leadconnector_async import ConfigurationError, JournalError, LeadConnector
from leadconnector_async.jobs import BulkJob
from leadconnector_async.sandbox import Sandbox

from ..jobbing import at, rows, run, week_later


def read(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.suffix != ".sqlite"}


async def test_the_files_of_a_job_are_written_anywhere(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    """The same as those in its folder, but for the seconds of the run; again at the same place too."""
    bad = at(sandbox.appointment(sandbox.appointment_ids[0]), assigned_user_id="nobody")
    await run(tmp_path / "day.job", client, rows(bad, *week_later(sandbox, 5)[1:]))
    first = read(tmp_path / "day.job")
    async with await BulkJob.open(tmp_path / "day.job") as job:
        await job.write_report(tmp_path / "new" / "report")
        await job.write_report(tmp_path / "new" / "report")
        await job.write_report(html=tmp_path / "one.html")
    second = read(tmp_path / "new" / "report")
    first.pop("lock")
    assert second.keys() == first.keys() == {"failed.csv", "summary.json", "report.html"}
    assert second["failed.csv"] == first["failed.csv"]
    assert second["report.html"] == first["report.html"] == (tmp_path / "one.html").read_text()
    assert json.loads(second["summary.json"]) | {"seconds": 0} == json.loads(first["summary.json"]) | {"seconds": 0}


async def test_a_report_is_written_while_another_process_runs_the_job(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    """It shows how far the job is, and leaves the job alone."""
    sandbox.faults.plan("update_appointment", ["ok", "ok", "stall 1"])
    async with await BulkJob.create(tmp_path / "day.job", client, rows(*week_later(sandbox, 5))) as job:
        done = asyncio.Event()
        running = asyncio.create_task(job.run(on_outcome=lambda outcome: done.set()))
        await done.wait()
        async with await BulkJob.open(tmp_path / "day.job") as other:
            await other.write_report(tmp_path / "report")
        seen = json.loads((tmp_path / "report" / "summary.json").read_text())["counts"]["applied"]
        summary = await running
    assert 1 <= seen < 5
    assert summary.counts == {"applied": 5}


@pytest.mark.parametrize("name", ["failed.csv", "report.html", "summary.json"])
async def test_the_files_of_others_are_left_alone(
    name: str, sandbox: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    """A plan called failed.csv, or the report of another job: the folder is refused, and nothing changes."""
    await run(tmp_path / "day.job", client, rows(*week_later(sandbox, 2)))
    other = tmp_path / "other"
    other.mkdir()
    (other / name).write_text("{}")
    async with await BulkJob.open(tmp_path / "day.job") as job:
        with pytest.raises(ConfigurationError, match=f"other contains a file {name}, which the job would"):
            await job.write_report(other)
    assert read(other) == {name: "{}"}


async def test_a_folder_that_cannot_be_written_is_named(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    """The journal is complete all the same."""
    await run(tmp_path / "day.job", client, rows(*week_later(sandbox, 2)))
    (tmp_path / "file").write_text("")
    async with await BulkJob.open(tmp_path / "day.job") as job:
        with pytest.raises(JournalError, match=r"file could not be written \(.*\)\. The journal is complete"):
            await job.write_report(tmp_path / "file")
        with pytest.raises(JournalError, match=r"x\.html could not be written"):
            await job.write_report(html=tmp_path / "none" / "x.html")


async def test_without_a_client_a_job_is_only_looked_at(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    """Whatever would change it, or needs the calendar, says what is missing."""
    await run(tmp_path / "day.job", client, rows(*week_later(sandbox, 2)))
    async with await BulkJob.open(tmp_path / "day.job") as job:
        assert (await job.summarize()).counts == {"applied": 2}
        assert job.name == job.folder == str(tmp_path / "day.job")
        changing = (job.prepare, job.recheck, job.run, job.retry_failed, job.leave_out_refused)
        for call in (*changing, job.verify, job.plan_undo):
            with pytest.raises(ConfigurationError, match=r"was opened without a client; pass one to BulkJob\.open"):
                await call()
    with pytest.raises(JournalError, match=r"There is no job in .*none"):
        await BulkJob.open(tmp_path / "none")
