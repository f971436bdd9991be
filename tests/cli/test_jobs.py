"""The commands of a job, as a user runs them."""

import asyncio
import json
import os
import pty
import re
import signal
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace
from openpyxl import Workbook

from leadconnector_async.cli.exit_codes import HELP, MEANINGS, code_for, code_of
from leadconnector_async.exceptions import (
    AuthenticationError,
    ConfigurationError,
    DailyLimitError,
    JournalError,
    OutcomeUnknownError,
    PlanError,
    SlotUnavailableError,
    TransportError,
)
from leadconnector_async.jobs import JobSummary, Stopped
from leadconnector_async.jobs.states import RowState
from leadconnector_async.sandbox import Limits, Sandbox

from ..jobs.jobbing import FAST, picture, writes
from .shell import COMMAND, build_environment, run, start

WEEK = timedelta(weeks=1)


@pytest.fixture
async def clinic() -> AsyncIterator[Sandbox]:
    async with Sandbox(limits=FAST, appointments=60) as sandbox:
        yield sandbox


def write_plan(clinic: Sandbox, folder: Path, *more: str) -> Path:
    """All appointments move by a week."""
    lines = ["event_id,start_time,assigned_user_id"]
    for event in map(clinic.appointment, clinic.appointment_ids):
        lines.append(f"{event.id},{(event.start_time + WEEK).isoformat()},")
    path = folder / "day.csv"
    path.write_text("\n".join([*lines, *more]) + "\n", encoding="utf-8-sig")
    return path


async def test_a_workbook_is_a_plan(clinic: Sandbox, tmp_path: Path) -> None:
    """Of the sheet that the command names, where several have something in them."""
    event = clinic.appointment(clinic.appointment_ids[0])
    workbook, zone = Workbook(), "America/New_York"
    workbook.create_sheet("Notes").append(["Call back"])
    sheet = workbook.create_sheet("March")
    sheet.append(["Event ID", "Start Time"])
    sheet.append([event.id, (event.start_time + WEEK).astimezone(ZoneInfo(zone)).replace(tzinfo=None)])
    workbook.save(tmp_path / "day.xlsx")
    command = ["reschedule", "day.xlsx", "--timezone", zone, "--yes"]
    environment = build_environment(clinic)
    refused = await run(tmp_path, environment, *command, "--sheet", "April")
    assert refused.code == 2
    assert "there is no sheet 'April'; set the sheet to one of 'Sheet', 'Notes', 'March'" in refused.err
    assert not writes(clinic)
    done = await run(tmp_path, environment, *command, "--sheet", "March")
    assert done.code == 0, done.err
    assert clinic.appointment(event.id).start_time == event.start_time + WEEK


async def test_a_plan_goes_from_dry_run_to_undo(clinic: Sandbox, tmp_path: Path) -> None:
    """Each command says what it did, and the calendar shows it; a dry run leaves nothing behind."""
    write_plan(clinic, tmp_path)
    environment = build_environment(clinic)
    before = picture(clinic)
    dry = await run(tmp_path, environment, "reschedule", "day.csv", "--dry-run")
    assert (dry.code, dry.out) == (0, "")
    assert "60 to change" in dry.err
    assert "-> Wed 2027-03-17" in dry.err
    assert [path.name for path in tmp_path.iterdir()] == ["day.csv"]
    assert not writes(clinic)
    refused = await run(tmp_path, environment, "reschedule", "day.csv")
    assert refused.code == 2
    assert "Add --yes" in refused.err
    assert not writes(clinic)
    done = await run(tmp_path, environment, "reschedule", "day.csv", "--yes", "--canary", "5", "--json")
    assert done.code == 0
    assert json.loads(done.out)["counts"] == {"applied": 60}
    assert {path.name for path in (tmp_path / "day.job").iterdir()} >= {
        "journal.sqlite",
        "report.html",
        "summary.json",
    }
    status = await run(tmp_path, environment, "status", "day.job", "--json")
    assert (status.code, json.loads(status.out)["remaining"]) == (0, 0)
    verified = await run(tmp_path, environment, "verify", "day.job")
    assert (verified.code, verified.out) == (0, "60 of 60 changes are as planned.\n")
    clinic.edit_appointment(clinic.appointment_ids[0], title="By hand")
    kept = replace(before[clinic.appointment_ids[0]], title="By hand")
    differs = await run(tmp_path, environment, "verify", "day.job", "--json")
    assert (differs.code, len(json.loads(differs.out)["differing"])) == (1, 1)
    undone = await run(tmp_path, environment, "undo", "day.job", "--yes")
    assert undone.code == 0
    assert "Not undone, or not completely" in undone.err
    assert picture(clinic) == before | {kept.id: kept}


async def test_bad_rows_end_with_2_and_each_is_named(clinic: Sandbox, tmp_path: Path) -> None:
    """On stderr, with line and hint; a plan that is no text, or not there, is said as well."""
    write_plan(clinic, tmp_path, "unknown,2027-03-17T09:00:00", "other,tomorrow")
    environment = build_environment(clinic)
    bad = await run(tmp_path, environment, "reschedule", "day.csv", "--yes")
    assert (bad.code, bad.out) == (2, "")
    assert "line 62, start_time: 2027-03-17T09:00:00 has no offset; write it with an offset" in bad.err
    assert "line 63, start_time" in bad.err
    (tmp_path / "latin.csv").write_bytes("event_id,title\na,Café\n".encode("latin-1"))
    for plan, words in (("latin.csv", "not valid UTF-8"), ("none.csv", "No such file")):
        ended = await run(tmp_path, environment, "reschedule", plan, "--yes")
        assert ended.code == 2
        assert words in ended.err
    assert not clinic.requests
    assert sorted(path.name for path in tmp_path.iterdir()) == ["day.csv", "latin.csv"]


async def test_a_plan_comes_from_stdin_too(clinic: Sandbox, tmp_path: Path) -> None:
    """JSON lines; the job gets a folder of its own in the current directory."""
    text = json.dumps({"eventId": clinic.appointment_ids[0], "title": "From a pipe"}) + "\n"
    environment = build_environment(clinic)
    ended = await run(tmp_path, environment, "reschedule", "-", "--format", "jsonl", "--yes", text=text)
    assert ended.code == 0
    assert clinic.appointment(clinic.appointment_ids[0]).title == "From a pipe"
    (folder,) = tmp_path.iterdir()
    assert folder.name.startswith("leadconnector-")


async def test_failed_rows_end_with_1_and_come_back_as_a_plan(clinic: Sandbox, tmp_path: Path) -> None:
    """`failed.csv` can be fed back once its reason is gone, and `retry-failed` does the same."""
    event_id = clinic.appointment_ids[0]
    (tmp_path / "day.csv").write_text(
        f"event_id,title,assigned_user_id\n{event_id},x,nobody\n{clinic.appointment_ids[1]},x,\n"
    )
    environment = build_environment(clinic)
    ended = await run(tmp_path, environment, "reschedule", "day.csv", "--yes")
    assert ended.code == 1
    assert "failed" in ended.out
    failed = tmp_path / "day.job" / "failed.csv"
    assert "not part of calendar team" in failed.read_text()
    again = await run(tmp_path, environment, "retry-failed", "day.job")
    assert again.code == 1
    failed.write_text(failed.read_text().replace("nobody", clinic.appointment(event_id).assigned_user_id))
    assert (await run(tmp_path, environment, "reschedule", str(failed), "--yes")).code == 0
    assert clinic.appointment(event_id).title == "x"


async def test_too_many_errors_end_with_3(clinic: Sandbox, tmp_path: Path) -> None:
    """By number, by part, and on the first rows."""
    rows = "".join(f"{event_id},x,nobody\n" for event_id in clinic.appointment_ids)
    environment = build_environment(clinic)
    for name, flags in (
        ("number", ("--max-errors", "5")),
        ("part", ("--max-errors", "10%")),
        ("canary", ("--canary", "3")),
    ):
        (tmp_path / f"{name}.csv").write_text(f"event_id,title,assigned_user_id\n{rows}")
        ended = await run(tmp_path, environment, "reschedule", f"{name}.csv", "--yes", *flags)
        assert ended.code == 3, ended
        assert f"leadconnector resume {name}.job" in ended.out
    bad = await run(tmp_path, environment, "reschedule", "number.csv", "--max-errors", "many", "--job", "other.job")
    assert bad.code == 2
    assert "--max-errors" in bad.err


async def test_a_refused_token_ends_with_4_and_an_exhausted_day_with_8(clinic: Sandbox, tmp_path: Path) -> None:
    """Both can be resumed; the day says when."""
    write_plan(clinic, tmp_path)
    revoked = await run(
        tmp_path, build_environment(clinic, LEADCONNECTOR_TOKEN="pit-x"), "reschedule", "day.csv", "--yes"
    )
    assert revoked.code == 4
    assert "Private Integration" in revoked.out + revoked.err
    clinic.limits = Limits(max_requests=100_000, interval=1.0, daily=len(clinic.requests) + 40)
    spent = await run(tmp_path, build_environment(clinic), "resume", "day.job")
    assert spent.code == 8
    assert "Resume after " in spent.out
    clinic.limits = FAST
    assert (await run(tmp_path, build_environment(clinic), "resume", "day.job")).code == 0
    assert sorted(writes(clinic)) == sorted(clinic.appointment_ids)


async def test_an_interrupt_ends_soon_with_5_and_the_job_goes_on(clinic: Sandbox, tmp_path: Path) -> None:
    """It says so, starts nothing more, and tells how to go on."""
    write_plan(clinic, tmp_path)
    environment = build_environment(clinic)
    process = await start(tmp_path, environment, "reschedule", "day.csv", "--yes", "--rate", "20")
    await wait_for_writes(clinic, 5)
    process.send_signal(signal.SIGINT)
    out, err = await process.communicate()
    assert process.returncode == 5
    assert b"Ctrl-C again stops at once" in err
    assert b"leadconnector resume day.job" in out
    assert len(writes(clinic)) < 60
    assert (await run(tmp_path, environment, "resume", "day.job")).code == 0
    assert sorted(writes(clinic)) == sorted(clinic.appointment_ids)


async def test_a_second_interrupt_ends_at_once_with_130_and_the_job_goes_on(
    clinic: Sandbox, tmp_path: Path
) -> None:
    """On a terminal: what is under way is left to the journal."""
    write_plan(clinic, tmp_path)
    clinic.faults.plan("update_appointment", ["ok"] * 5 + ["stall 9"] * 10)
    environment = build_environment(clinic)
    master, slave = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        "reschedule",
        "day.csv",
        "--yes",
        cwd=tmp_path,
        env=environment,
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    await wait_for_writes(clinic, 6)
    process.send_signal(signal.SIGINT)
    shown = b""
    while b"Ctrl-C again stops at once" not in shown:
        shown += await asyncio.to_thread(os.read, master, 65536)
    process.send_signal(signal.SIGINT)
    assert await process.wait() == 130
    os.close(master)
    assert (await run(tmp_path, environment, "resume", "day.job")).code == 0
    assert sorted(writes(clinic)) == sorted(clinic.appointment_ids)


async def test_a_journal_that_is_no_journal_ends_with_7(clinic: Sandbox, tmp_path: Path) -> None:
    """Torn, missing, or in use by another process."""
    environment = build_environment(clinic)
    assert (await run(tmp_path, environment, "resume", "none.job")).code == 7
    (tmp_path / "day.job").mkdir()
    (tmp_path / "day.job" / "journal.sqlite").write_bytes(b"no journal" * 100)
    torn = await run(tmp_path, environment, "status", "day.job")
    assert torn.code == 7
    assert "journal" in torn.err


async def wait_for_writes(clinic: Sandbox, count: int) -> None:
    while len(writes(clinic)) < count:
        await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("counts", "stops", "code"),
    [
        ({"applied": 3, "unchanged": 1}, (), 0),
        ({"applied": 3, "failed": 1}, (), 1),
        ({"applied": 3, "skipped": 1}, (), 1),
        ({"applied": 3, "refused": 1}, (), 1),
        ({"failed": 20, "pending": 3}, ("errors",), 3),
        ({"loaded": 3}, ("authentication",), 4),
        ({"pending": 3}, ("interrupted",), 5),
        ({"pending": 3}, ("unreachable",), 5),
        ({"sent": 3}, (), 5),
        ({"unknown": 1, "failed": 1}, (), 6),
        ({"pending": 3}, ("daily",), 8),
        ({"pending": 3, "unknown": 1}, ("daily", "authentication"), 4),
        ({"pending": 3, "failed": 9}, ("errors", "interrupted"), 5),
    ],
)
def test_what_came_of_a_job_is_one_code(counts: dict[RowState, int], stops: tuple[str, ...], code: int) -> None:
    """The most urgent one where several hold."""
    stopped = tuple(Stopped(kind, "x") for kind in stops)  # type: ignore[arg-type]
    assert code_of(JobSummary(counts=counts, stopped=stopped)) == code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SlotUnavailableError("x", outcome="not_applied"), 1),
        (PlanError("x"), 2),
        (ConfigurationError("x"), 2),
        (AuthenticationError("x", outcome="not_applied"), 4),
        (TransportError("x", outcome="not_applied"), 5),
        (OutcomeUnknownError("x", outcome="unknown"), 6),
        (JournalError("x"), 7),
        (DailyLimitError("x", outcome="not_applied"), 8),
    ],
)
def test_what_came_of_a_call_is_one_code(error: Exception, code: int) -> None:
    """The same meanings as for a job."""
    assert code_for(error) == code  # type: ignore[arg-type]


def test_every_exit_code_is_in_the_help_and_on_the_page() -> None:
    """With its meaning, from one table; and no other."""
    page = (Path(__file__).parents[2] / "docs/pages/reference/command-line.md").read_text()
    rows = [line for line in page.splitlines() if re.match(r"\| \d+ \|", line)]
    assert rows == [f"| {code} | {meaning} |" for code, meaning in MEANINGS.items()]
    assert HELP.split("  \n")[1:] == [f"{code} {meaning}" for code, meaning in MEANINGS.items()]
