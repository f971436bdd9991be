"""`reschedule --only`: it asks for the zone, and what is shown of the job says until when it waits."""

import json
import re
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from leadconnector_async.cli.job_report import print_status
from leadconnector_async.cli.jobs import build_undo_options
from leadconnector_async.cli.progress import JobScreen
from leadconnector_async.cli.reschedule import Running, reschedule
from leadconnector_async.jobs import JobOptions, JobProgress, JobStatus, JobSummary

Output = pytest.CaptureFixture[str]
pytestmark = pytest.mark.sandbox(appointments=4)
NOW = datetime(2027, 3, 10, 21, 59, 30, tzinfo=UTC)


async def test_hours_need_a_zone(plan: str, capsys: Output) -> None:
    """It is not guessed, and nothing is created."""
    assert await reschedule(plan, running=Running(only="22:00-06:00"), yes=True) == 2
    assert (
        "--only 22:00-06:00: add the zone of these times, such as --timezone Europe/London"
        in capsys.readouterr().err
    )
    assert await reschedule(plan, running=Running(only="22-6"), timezone="Europe/London", yes=True) == 2
    assert "'22-6' is not a pair of times of day" in capsys.readouterr().err
    assert not Path("day.job").exists()


async def test_a_dry_run_says_when_a_job_of_the_night_would_end(plan: str, capsys: Output) -> None:
    """The time until the hours begin counts."""
    begin = datetime.now(UTC) + timedelta(hours=3)
    only = f"{begin:%H:%M}-{begin + timedelta(hours=1):%H:%M}"
    assert await reschedule(plan, running=Running(only=only), timezone="UTC", dry_run=True, json_output=True) == 0
    said = capsys.readouterr()
    assert 3 * 3600 - 90 < json.loads(said.out)["remaining_seconds"] < 3 * 3600 + 90
    assert re.search(r"4 requests, about (2 h 59 min|3 h( 1 min)?), until ", said.err)


def test_a_wait_for_the_night_is_shown_with_its_end() -> None:
    """In a line of progress, and in the status."""
    out = StringIO()
    console = Console(file=out, width=80)
    resume_at = NOW.timestamp() + 30
    waiting = JobProgress(
        phase="paused", done=1, total=4, applied=1, failed=0, unknown=0, rate=0.0, resume_at=resume_at
    )
    JobScreen(console).show(waiting, 0.0)
    until = f"{datetime.fromtimestamp(resume_at).astimezone():%Y-%m-%d %H:%M}"
    assert out.getvalue() == f"paused: 1/4 done, paused outside of its hours, until {until}\n"
    summary = JobSummary(counts={"applied": 1, "pending": 3})
    status = JobStatus(summary=summary, by_location={}, last_change=None, phase="paused", resume_at=resume_at)
    print_status(console, "day.job", status, NOW)
    assert "Paused outside of its hours, until 22:00:00\n" in out.getvalue()


def test_an_undo_does_not_wait_for_the_night() -> None:
    """Everything else is as the job had it."""
    options = JobOptions(rate=5, only="22:00-06:00", only_timezone="Europe/London")
    assert build_undo_options(options) == JobOptions(rate=5, allow_past=True, skip_refused=True)
