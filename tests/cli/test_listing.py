"""`leadconnector jobs`: a table for people, JSON for programs."""

import json
from pathlib import Path

import pytest

from leadconnector_async import LeadConnector
from leadconnector_async.cli.listing import list_all as jobs
from leadconnector_async.jobs import BulkJob, JobOptions
from leadconnector_async.sandbox import Sandbox

from ..jobs.jobbing import rows, run, week_later

Output = pytest.CaptureFixture[str]


async def test_jobs_lists_the_jobs_of_a_folder(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    """One line each, with its name as other commands take it; never cut, whatever its length."""
    monkeypatch.chdir(tmp_path)
    long = "a" * 150 + ".job"
    await run("march.job", client, rows(*week_later(sandbox, 2)))
    async with await BulkJob.create(long, client, rows(*week_later(sandbox, 3)), options=JobOptions(rate=2.5)):
        pass
    assert await jobs() == 0
    heading, first, second = capsys.readouterr().out.splitlines()
    assert heading.split() == ["job", "state", "rows", "done", "failed", "unknown", "rate", "workers", "since"]
    assert first.split()[:8] == [long, "ready", "3", "0", "0", "0", "2.5/s", "0"]
    assert second.split()[:7] == ["march.job", "done", "2", "2", "0", "0", "0"]
    assert await jobs("march.job", json_output=True) == 0
    said = json.loads(capsys.readouterr().out)
    since = said["jobs"][0].pop("since")
    assert isinstance(since, float)
    assert said == {
        "exit_code": 0,
        "jobs": [
            {
                "name": "march.job",
                "phase": "done",
                "rows": 2,
                "done": 2,
                "failed": 0,
                "unknown": 0,
                "rate": None,
                "workers": 0,
            }
        ],
    }


async def test_a_folder_without_jobs_is_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    """Exit code 0; one that is missing ends with 7."""
    monkeypatch.chdir(tmp_path)
    assert await jobs() == 0
    assert capsys.readouterr().out == "There are no jobs here.\n"
    assert await jobs(json_output=True) == 0
    assert json.loads(capsys.readouterr().out) == {"exit_code": 0, "jobs": []}
    assert await jobs("none", json_output=True) == 7
    assert json.loads(capsys.readouterr().out)["error"]["type"] == "JournalError"
