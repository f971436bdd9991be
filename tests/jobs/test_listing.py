"""Jobs in a list: what each is doing, and how far it is, read without disturbing it."""

import asyncio
import os
import time
from pathlib import Path

import pytest

from leadconnector_async import ConfigurationError, JournalError, LeadConnector
from leadconnector_async.jobs import BulkJob, JobOptions, list_jobs
from leadconnector_async.sandbox import Sandbox

from .jobbing import at, rows, run, week_later


async def test_each_job_of_a_folder_says_how_far_it_is(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By name; an undo stands beside its job; what is no job is not listed."""
    monkeypatch.chdir(tmp_path)
    before = time.time()
    bad = at(sandbox.appointment(sandbox.appointment_ids[0]), assigned_user_id="nobody")
    await run("march.job", client, rows(bad, *week_later(sandbox, 5)[1:]))
    await run(os.path.join("march.job", "undo"), client, rows(*week_later(sandbox, 2)))
    async with await BulkJob.create("april.job", client, rows(*week_later(sandbox, 3)), options=JobOptions(rate=5)):
        pass
    async with await BulkJob.create("stopped.job", client, rows(*week_later(sandbox, 12)[5:])) as job:
        await job.run(limit=2)
    Path("notes.txt").write_text("")
    os.mkdir("empty")
    found = list_jobs()
    assert [(one.name, one.phase) for one in found] == [
        ("april.job", "ready"),
        ("march.job", "done"),
        ("march.job/undo", "done"),
        ("stopped.job", "stopped"),
    ]
    april, march, _, stopped = found
    assert (april.rows, april.done, april.rate, april.workers) == (3, 0, 5.0, 0)
    assert (march.rows, march.done, march.failed, march.unknown, march.rate) == (5, 5, 1, 0, None)
    assert (stopped.rows, stopped.done) == (7, 2)
    assert all(before < one.since < time.time() for one in found)
    assert list_jobs("march.job") == [march]
    assert [one.name for one in list_jobs(tmp_path)] == [str(tmp_path / one.name) for one in found]


async def test_a_job_that_runs_is_shown_as_running(sandbox: Sandbox, client: LeadConnector, tmp_path: Path) -> None:
    """With its process counted as a worker, which is not disturbed."""
    sandbox.faults.plan("update_appointment", ["ok", "stall 1"])
    async with await BulkJob.create(tmp_path / "day.job", client, rows(*week_later(sandbox, 3))) as job:
        assert [(one.phase, one.workers) for one in list_jobs(tmp_path)] == [("preparing", 1)]
        done = asyncio.Event()
        running = asyncio.create_task(job.run(on_outcome=lambda outcome: done.set()))
        await done.wait()
        [entry] = await asyncio.to_thread(list_jobs, tmp_path)
        assert (entry.phase, entry.workers) == ("running", 1)
        assert 1 <= entry.done < 3
        assert (await running).counts == {"applied": 3}


async def test_what_is_not_a_folder_is_named(tmp_path: Path) -> None:
    """A file, something that is missing, a torn journal."""
    with pytest.raises(JournalError, match=r"none cannot be read \(No such file"):
        list_jobs(tmp_path / "none")
    (tmp_path / "day.job").mkdir()
    (tmp_path / "day.job" / "journal.sqlite").write_bytes(b"no journal" * 100)
    with pytest.raises(JournalError, match=r"day\.job"):
        list_jobs(tmp_path)
    with pytest.raises(ConfigurationError, match="place is None"):
        list_jobs(None)  # type: ignore[arg-type]
