"""Commands for jobs that somebody else may be running: what they print, and their exit codes."""

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from leadconnector_async import LeadConnector
from leadconnector_async.cli.control import report
from leadconnector_async.sandbox import Sandbox

from ..conftest import QUICK
from ..jobs.jobbing import FAST, at, rows, run, week_later

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
        ({"folder": ".", "html": "x.html"}, "--html and --folder are both given; keep only one of them"),
    ):
        assert await report("day.job", **options) == 2  # type: ignore[arg-type]
        assert words in capsys.readouterr().err
    assert Path("failed.csv").read_text() == Path("march.html").read_text() == "mine"
    assert await report("day.job", html="march.html", force=True) == 0
    assert Path("march.html").read_text() != "mine"


async def test_report_of_no_job_ends_with_7(clinic: Sandbox, capsys: Output) -> None:
    """As every command does; with `--json`, as the document."""
    assert await report("none.job", json_output=True) == 7
    said = json.loads(capsys.readouterr().out)
    assert said == {"exit_code": 7, "error": {"type": "JournalError", "message": "There is no job in none.job."}}
