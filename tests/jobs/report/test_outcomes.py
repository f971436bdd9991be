"""Outcome files: whole, in the form of a plan, and safe to open."""

import csv
import json
import os
import shutil
import stat
from functools import partial
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from leadconnector_async import AppointmentUpdate, JournalError, LeadConnector, PlanError
from leadconnector_async._system.files import replace_file
from leadconnector_async.jobs import BulkJob, JobSummary, PlanRow, Shift, iterate_plan, parse_shift, read_plan
from leadconnector_async.jobs.journal.database import JOURNAL, SQLiteJournal, load_rows
from leadconnector_async.jobs.journal.facts import set_fact
from leadconnector_async.jobs.journal.load import load_plan
from leadconnector_async.jobs.report.outcomes import write_outcomes
from leadconnector_async.sandbox import Sandbox

from ..jobbing import rows, run, writes
from ..shelf import keep, retitle, write

TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30) | st.sampled_from(
    ["=1+1", "+49 30", "-", "@home", 'a,"b"', "a\rb", "a\r\nb", "a;b;c;d", "'", "\ufeffx", "true", "a\u2028b"]
)
TIMES = st.sampled_from(["2027-03-13T09:00:00-05:00", "2027-11-07T01:30:00Z", "2027-06-01T08:00:00+05:30"])
MOVES = st.fixed_dictionaries({}, optional={"start_time": TIMES}) | st.fixed_dictionaries(
    {"shift": st.sampled_from(["+2d", "-90m", "1w2d3h", "9999w9999d", "99999h999999m", "+0m"])},
    optional={"timezone": st.sampled_from(["America/New_York", "Europe/London"])},
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "title": TEXTS,
        "description": TEXTS,
        "address": TEXTS,
        "calendar_id": TEXTS,
        "appointment_status": st.sampled_from(["confirmed", "noshow"]),
        "to_notify": st.booleans(),
        "location_id": st.sampled_from(["here", "there"]),
        "before_start_time": TIMES,
        "before_title": TEXTS,
    },
)
CELLS = st.builds(lambda event_id, fields, move: {"event_id": event_id, **fields, **move}, TEXTS, FIELDS, MOVES)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@example([{"event_id": "a", "title": "=HYPERLINK(1)\r2"}, {"event_id": "b", "shift": "-99999h999999m"}])
@given(st.lists(CELLS, min_size=1, max_size=5, unique_by=lambda cells: str(cells["event_id"]).strip()))
def test_what_failed_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, cells: list[dict[str, object]]
) -> None:
    """Every row that a plan can hold, whatever its texts begin with; only the line is another one."""
    plan = [row for row in rows(*cells) if isinstance(row, PlanRow)]
    if not plan:
        return
    folder = tmp_path_factory.mktemp("fed", numbered=True)
    journal = SQLiteJournal.create(str(folder / JOURNAL))
    load_plan(journal, partial(load_rows, journal), plan, "here")
    set_fact("location", "here", journal)
    journal.write("UPDATE rows SET state = 'failed', reason = '=cmd', trace_id = '+1'")
    write_outcomes(journal, str(folder), JobSummary(counts={"failed": len(plan)}))
    journal.close()
    with (folder / "failed.csv").open(newline="") as file:
        back = read_plan(file)
    assert [msgspec.structs.replace(row, line=0) for row in back] == [
        msgspec.structs.replace(row, line=0, location_id=None if row.location_id == "here" else row.location_id)
        for row in plan
    ]
    shutil.rmtree(folder)


@given(st.integers(-79_992, 79_992), st.integers(0, 6_999_939))
def test_every_shift_is_written_as_it_is_read(days: int, minutes: int) -> None:
    """However far it goes."""
    shift = Shift(days, minutes if days >= 0 else -minutes)
    assert parse_shift(str(shift)) == shift


async def test_failed_rows_are_sent_by_feeding_them_back(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    """The file is a plan: those that failed, and no others, are sent again, to the times that were planned."""
    sandbox.faults.plan("update_appointment", ["400", "ok", "422"])
    cells = [
        {"event_id": one, "shift": "+7d", "timezone": "America/New_York", "ignore_free_slot_validation": True}
        for one in sandbox.appointment_ids[:8]
    ]
    summary = await run(tmp_path / "first", client, rows(*cells))
    assert summary.counts == {"applied": 6, "failed": 2}
    failed = read(tmp_path / "first/failed.csv")
    assert list(failed[0]) == [
        *("event_id", "ignore_free_slot_validation", "start_time", "end_time", "outcome_state", "outcome_reason"),
        *("outcome_line", "outcome_attempts", "outcome_trace_id"),
    ]
    before = len(writes(sandbox))
    with (tmp_path / "first/failed.csv").open(newline="") as file:
        summary = await run(tmp_path / "second", client, iterate_plan(file))
    assert summary.counts == {"applied": 2}
    assert sorted(writes(sandbox)[before:]) == sorted(row["event_id"] for row in failed)


async def test_a_row_whose_outcome_is_unknown_is_not_moved_twice(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    """A shift is written as the times that it led to: fed back, a row that was applied after all stays."""
    ids = sandbox.appointment_ids[:3]
    cells = [{"event_id": one, "shift": "+168h", "ignore_free_slot_validation": True} for one in ids]
    await keep(tmp_path / "first", client, rows(*cells))
    write(tmp_path / "first", "UPDATE rows SET state = 'unknown'")
    assert not (tmp_path / "first/failed.csv").exists()
    with (tmp_path / "first/unknown.csv").open(newline="") as file:
        summary = await run(tmp_path / "second", client, iterate_plan(file))
    assert summary.counts == {"unchanged": 3}


async def test_files_without_rows_are_not_there(sandbox: Sandbox, client: LeadConnector, tmp_path: Path) -> None:
    """Nor are those of an earlier run, once their rows have been applied; what is there is for its owner only."""
    sandbox.faults.plan("update_appointment", ["400", "503-after-apply", "ok"])
    async with await BulkJob.create(tmp_path / "job", client, rows(*retitle(sandbox))) as job:
        await job.run()
        first = {path.name for path in (tmp_path / "job").glob("*.*") if "journal" not in path.name}
        await job.retry_failed()
        await job.run()
    assert first == {"failed.csv", "summary.json", "report.html"}
    assert not (tmp_path / "job/failed.csv").exists()
    assert not (tmp_path / "job/unknown.csv").exists()
    assert stat.S_IMODE((tmp_path / "job/summary.json").stat().st_mode) == 0o600


async def test_what_only_makes_room_is_not_shown(sandbox: Sandbox, client: LeadConnector, tmp_path: Path) -> None:
    """Helpers of the job are no rows of the plan."""
    await keep(tmp_path / "job", client, rows(*retitle(sandbox, 3)))
    page = write(tmp_path / "job", "UPDATE rows SET state = 'failed', repeated = 1, parks = 1 WHERE number = 2")
    assert sandbox.appointment_ids[1] not in page
    assert {path.name for path in (tmp_path / "job").glob("*.csv")} == set()


async def test_a_reason_is_no_formula(sandbox: Sandbox, client: LeadConnector, tmp_path: Path) -> None:
    """A server's words stand on one line, not too long, and a spreadsheet does not compute them."""
    await keep(tmp_path / "job", client, rows(*retitle(sandbox, 4)))
    long = "x" * 200_000
    write(
        tmp_path / "job",
        "UPDATE rows SET state = 'failed', reason = '=HYPERLINK(\"x\")', trace_id = '@SUM(1)'",
        "UPDATE rows SET reason = char(9) || '+1' || char(13) || char(10) || 'two' WHERE number = 2",
        f"UPDATE rows SET reason = '{long}' WHERE number = 3",  # noqa: S608
    )
    found = read(tmp_path / "job/failed.csv")
    assert [row["outcome_reason"] for row in found[:2]] == ['\'=HYPERLINK("x")', "'+1 two"]
    assert {row["outcome_trace_id"] for row in found} == {"'@SUM(1)"}
    assert len(found[2]["outcome_reason"]) == 2000


async def test_the_summary_has_the_same_keys_always(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    """Every state is counted, those without rows too, of the job and of each location."""
    sandbox.faults.plan("update_appointment", ["400", "lose-response"])
    await keep(tmp_path / "job", client, rows(*retitle(sandbox), {"event_id": "nowhere", "title": "x"}))
    found = json.loads((tmp_path / "job/summary.json").read_text())
    counts = dict.fromkeys(("loaded", "unchanged", "pending", "sent", "unknown", "skipped"), 0)
    counts |= {"refused": 1, "applied": 11, "failed": 1}
    assert found["counts"] == counts
    assert found["by_location"] == {sandbox.location_id: counts}
    assert (found["total"], found["remaining"], found["stopped"]) == (13, 0, [])
    assert found["requests"] >= 12
    assert found["began_at"].endswith("+00:00")
    assert list(found) == [
        *("plan", "counts", "total", "remaining", "repeated", "requests", "began_at", "ended_at", "seconds"),
        *("stopped", "by_location"),
    ]


async def test_rows_that_may_have_been_told_twice_are_listed(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    """Whatever came of them."""
    sandbox.faults.plan("update_appointment", ["half-body", "503-after-apply", "reset"])
    await keep(tmp_path / "job", client, rows(*retitle(sandbox)))
    page = write(tmp_path / "job", "UPDATE rows SET repeated = 1 WHERE number IN (2, 5)")
    listed = {row["event_id"] for row in read(tmp_path / "job/repeated.csv")}
    assert {sandbox.appointment_ids[1], sandbox.appointment_ids[4]} <= listed
    assert "Contacts may have been notified twice" in page


def test_what_a_plan_cannot_say_is_not_dropped_silently(tmp_path: Path) -> None:
    """A row made in Python may set null: fed back, the file is refused until somebody has looked."""
    journal = SQLiteJournal.create(str(tmp_path / JOURNAL))
    update = AppointmentUpdate(title="Visit", address=None, description=" x ")
    plan = [PlanRow(1, "a", update), PlanRow(2, "b", AppointmentUpdate(title="y"))]
    load_plan(journal, partial(load_rows, journal), plan, "")
    journal.write("UPDATE rows SET state = 'failed'")
    write_outcomes(journal, str(tmp_path), JobSummary(counts={"failed": 2}))
    journal.close()
    assert [row["left_out"] for row in read(tmp_path / "failed.csv")] == ["description address", ""]
    with (tmp_path / "failed.csv").open(newline="") as file, pytest.raises(PlanError, match="left_out: unknown"):
        read_plan(file)


@pytest.mark.parametrize("broken", ["replace", "fsync", "text"])
def test_a_crash_leaves_the_old_file_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    """Whether it comes while the new one is written, brought to the disk or put in place."""
    path = tmp_path / "failed.csv"
    replace_file(str(path), ["old"])
    (tmp_path / "failed.csv.new").write_text("left by a process that was killed")

    def crash(*_: object) -> None:
        raise OSError(28, "No space left on device")

    def texts() -> object:
        yield "new"
        if broken == "text":
            crash()

    if broken != "text":
        monkeypatch.setattr(os, broken, crash)
    with pytest.raises(OSError, match="No space"):
        replace_file(str(path), texts())  # type: ignore[arg-type]
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    monkeypatch.undo()
    replace_file(str(path), ["new"])
    assert path.read_text() == "new"


async def test_files_that_cannot_be_written_are_an_error_of_the_journal(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All rows are done by then, and the job can be opened again."""

    def crash(*_: object) -> None:
        raise OSError(28, "No space left on device")

    async with await BulkJob.create(tmp_path / "job", client, rows(*retitle(sandbox))) as job:
        monkeypatch.setattr(os, "replace", crash)
        with pytest.raises(JournalError, match="No space"):
            await job.run()
        monkeypatch.undo()
    assert len(writes(sandbox)) == 12
    async with await BulkJob.open(tmp_path / "job", client) as job:
        assert (await job.run()).counts == {"applied": 12}
    assert (tmp_path / "job/summary.json").exists()
