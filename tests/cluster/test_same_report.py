"""The same plan from a folder on one machine and from three workers: the same files, but for times."""

import re
from pathlib import Path

import pytest

from leadconnector_async.jobs import BulkJob, JobOptions

from .field import LONGEST, Field, lay_out, make_client
from .world import plan_week

LOCATIONS, ROWS, WORKERS = 3, 25, 3
OPTIONS = {"skip_refused": True, "concurrency": 4}
pytestmark = [pytest.mark.campaign(180), pytest.mark.timeout(180)]


async def plan_trouble(field: Field) -> list[dict[str, object]]:
    """Rows of each kind of end: applied, unchanged, failed, refused."""
    rows = (await plan_week(field.calendar)).rows
    rows[0]["assigned_user_id"] = "nobody"
    rows[1]["event_id"] = "unknown"
    rows[2]["before_title"] = "Another title"
    events = {str(one["id"]): one for one in await field.calendar.ask("appointments")}
    still = events[str(rows[3]["event_id"])]
    rows[3] = {"event_id": still["id"], "location_id": still["location_id"], "title": still["title"]}
    return rows


async def run_in_folder(folder: Path) -> dict[str, str]:
    """One process; the calendar is in its first state."""
    async with lay_out(folder, LOCATIONS, ROWS) as field:
        rows, options = await plan_trouble(field), JobOptions(**OPTIONS)  # type: ignore[arg-type]
        async with (
            make_client(field.calendar) as client,
            await BulkJob.create(folder / "week.job", client, rows, options=options) as job,
        ):
            await job.run()
            await job.write_report(folder / "files")
    return read_files(folder / "files")


async def run_by_workers(folder: Path) -> dict[str, str]:
    """Three of them, each with some of the locations; another calendar of the same seed."""
    async with lay_out(folder, LOCATIONS, ROWS, slots=1) as field:
        for _ in range(WORKERS):
            await field.start()
        await field.submit_rows("week", await plan_trouble(field), **OPTIONS)
        await field.watcher.until(lambda: field.watcher.has_ended("week"), LONGEST)
        async with await BulkJob.open(field.find_place("week")) as job:
            await job.write_report(folder / "files")
    return read_files(folder / "files")


def read_files(folder: Path) -> dict[str, str]:
    """By name, without what differs from run to run."""
    return {path.name: mask(path.read_text()) for path in sorted(folder.iterdir())}


def mask(text: str) -> str:
    """Without when and how long, trace ids, the place of the job, and the two charts that are drawn of times."""
    text = re.sub(r"aria-label=\"(Response times|Rows per).*?</svg>", r"\1", text, flags=re.DOTALL)
    text = re.sub(r"\"(began_at|ended_at|seconds)\": [^\n]*", r"\1", text)
    text = re.sub(r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\b|[\d.]+ (m?s|min|rows/s)\b", "TIME", text)
    return re.sub(r"0{8}-[\da-f-]{27}", "TRACE", text).replace("week.job", "week")


async def test_the_files_of_one_machine_and_of_three_workers_are_the_same(tmp_path: Path) -> None:
    """Summary, outcome files and report."""
    (tmp_path / "one").mkdir()
    (tmp_path / "three").mkdir()
    alone, together = await run_in_folder(tmp_path / "one"), await run_by_workers(tmp_path / "three")
    assert together.keys() == alone.keys()
    assert alone.keys() == {"summary.json", "report.html", "failed.csv"}
    for name, text in alone.items():
        assert together[name] == text, name
