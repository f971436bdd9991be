"""What a new user sees of a plan before the question, in this process."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from leadconnector_async import LeadConnector
from leadconnector_async.cli import reschedule as cli_reschedule
from leadconnector_async.cli.arguments import ACCOUNT, Account, Shown
from leadconnector_async.cli.reschedule import reschedule
from leadconnector_async.sandbox import BookedAppointment, Sandbox

from ..conftest import QUICK
from ..jobs.jobbing import FAST, writes
from .test_job_sessions import answer

Output = pytest.CaptureFixture[str]
NEW_YORK = ZoneInfo("America/New_York")


@pytest.fixture
async def clinic(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Sandbox]:
    """A sandbox that the command works for, in an empty folder."""
    async with Sandbox(limits=FAST, appointments=60) as sandbox:

        def make_client(
            account: Account = ACCOUNT, reserve: int | None = None, *, to_write: str | None = None, place: str = ""
        ) -> LeadConnector:
            return LeadConnector(sandbox.token, base_url=sandbox.url, location_id=sandbox.location_id, retry=QUICK)

        monkeypatch.setattr(cli_reschedule, "make_client", make_client)
        monkeypatch.chdir(tmp_path)
        yield sandbox


def pick(clinic: Sandbox, count: int) -> list[BookedAppointment]:
    """Confirmed appointments of the calendar in New York."""
    zones = {one.id: one.zone for one in clinic.store.calendars.values()}
    events = [clinic.appointment(one) for one in clinic.appointment_ids]
    chosen = [one for one in events if zones[one.calendar_id] == NEW_YORK.key][:count]
    for event in chosen:
        clinic.edit_appointment(event.id, appointment_status="confirmed")
    return [clinic.appointment(event.id) for event in chosen]


def write_plan(*lines: str) -> str:
    Path("day.csv").write_text("\n".join(["event_id,start_time,end_time,title", *lines]) + "\n")
    return "day.csv"


def show_wall(event: BookedAppointment, days: int) -> str:
    return f"{event.start_time.astimezone(NEW_YORK) + timedelta(days=days):%Y-%m-%d %H:%M}"


async def test_mistakes_that_can_be_sent_are_named_before_the_question(
    clinic: Sandbox, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong zone, an old `noshow` and an appointment of a month: each in words, and nothing is sent."""
    stale, month, plain = pick(clinic, 3)
    clinic.edit_appointment(stale.id, appointment_status="noshow")
    end = f"{month.end_time.astimezone(NEW_YORK) + timedelta(days=32):%Y-%m-%d %H:%M}"
    plan = write_plan(
        f"{stale.id},{show_wall(stale, 1)},,",
        f"{month.id},{show_wall(month, 1)},{end},",
        f"{plain.id},{show_wall(plain, 1)},,",
    )
    answer(monkeypatch, "n")
    assert await reschedule(plan, timezone="Europe/London") == 2
    said = capsys.readouterr().err
    before, asked, _ = said.partition("Change 3 appointments? [y/N]")
    assert asked
    assert "Warning: 3 rows give their times in a zone that is not the calendar's." in before
    assert "the plan says Europe/London, the calendar shows UTC-05:00: Wed 2027-03-10 " in before
    assert "Warning: 1 row makes an appointment longer than a day." in before
    assert "Warning: 1 row keeps the status showed or noshow at a time in the future." in before
    assert not writes(clinic)


async def test_a_dry_run_has_the_warnings_in_its_document(clinic: Sandbox, capsys: Output) -> None:
    """Each with its kind, count, words and first row."""
    (event,) = pick(clinic, 1)
    plan = write_plan(f"{event.id},2027-03-12T23:00:00-05:00,,")
    assert await reschedule(plan, dry_run=True, json_output=True) == 0
    (warning,) = json.loads(capsys.readouterr().out)["warnings"]
    assert (warning["kind"], warning["count"], warning["line"]) == ("night", 1, 2)
    assert warning["event_id"] == event.id
    assert warning["text"] == "1 row moves an appointment to the night (22:00-06:00)"
    assert warning["example"].endswith("-> Fri 2027-03-12 23:00 (UTC-05:00)")


async def test_all_changes_are_written_to_a_file_before_the_question(
    clinic: Sandbox, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It can be signed off before anything is sent. An existing file is only overwritten with `--force`."""
    events = pick(clinic, 3)
    plan = write_plan(*(f"{one.id},{show_wall(one, 1)},," for one in events))
    answer(monkeypatch, "n", "n")
    assert await reschedule(plan, timezone=NEW_YORK.key, shown=Shown(preview="day.html")) == 2
    assert "All changes, to be signed off: day.html\n" in capsys.readouterr().err.partition("[y/N]")[0]
    page = Path("day.html").read_text(encoding="utf-8")
    assert all(event.id in page for event in events)
    clinic.requests.clear()
    assert await reschedule(plan, shown=Shown(preview="day.html")) == 2
    assert "day.html already exists; choose another name, or add --force" in capsys.readouterr().err
    assert not clinic.requests
    Path("day.html").write_text("old", encoding="utf-8")
    assert await reschedule(plan, timezone=NEW_YORK.key, shown=Shown(preview="day.html", force=True)) == 2
    assert Path("day.html").read_text(encoding="utf-8") == page
    assert not writes(clinic)


async def test_a_preview_of_another_kind_is_refused(clinic: Sandbox, capsys: Output) -> None:
    """Before anything is read."""
    (event,) = pick(clinic, 1)
    assert await reschedule(write_plan(f"{event.id},,,New title"), shown=Shown(preview="day.xlsx")) == 2
    assert "day.xlsx: a preview is a file that ends in .csv or .html" in capsys.readouterr().err
    assert not clinic.requests


async def test_a_preview_never_overwrites_its_plan(clinic: Sandbox, capsys: Output) -> None:
    """Not with `--force` either, nor through a link: the plan would be lost before anything is changed."""
    (event,) = pick(clinic, 1)
    plan = write_plan(f"{event.id},,,New title")
    before = Path(plan).read_bytes()
    Path("link.csv").symlink_to(plan)
    for preview in ("day.csv", "./day.csv", "link.csv"):
        for force in (False, True):
            assert await reschedule(plan, dry_run=True, shown=Shown(preview=preview, force=force)) == 2
            said = capsys.readouterr().err
            assert said == f"--preview {preview} would overwrite the plan itself; choose another name\n"
    assert Path(plan).read_bytes() == before
    assert not clinic.requests


async def test_names_are_read_only_if_asked_for(clinic: Sandbox, capsys: Output) -> None:
    """They are personal data."""
    (event,) = pick(clinic, 1)
    contact = clinic.contact(event.contact_id)
    name = f"{contact.first_name} {contact.last_name}"
    plan = write_plan(f"{event.id},2027-03-12T15:00:00-05:00,,")
    assert await reschedule(plan, dry_run=True) == 0
    assert name not in capsys.readouterr().err
    assert not clinic.requests.of("get_contact")
    assert await reschedule(plan, dry_run=True, shown=Shown(names=True)) == 0
    assert f"line 2, {event.id}: {event.title}, {name}\n" in capsys.readouterr().err


async def test_slots_of_others_are_checked_if_asked(clinic: Sandbox, capsys: Output) -> None:
    """It costs requests: without the flag, nothing is read or said."""
    events = pick(clinic, 12)
    mover = events[0]
    outsider = next(one for one in events[1:] if one.assigned_user_id == mover.assigned_user_id)
    plan = write_plan(f"{mover.id},{outsider.start_time.isoformat()},,")
    assert await reschedule(plan, dry_run=True) == 0
    assert "outside of the plan" not in capsys.readouterr().err
    assert await reschedule(plan, dry_run=True, shown=Shown(check_slots=True)) == 0
    said = capsys.readouterr().err
    assert "Warning: 1 row moves to a slot that an appointment outside of the plan holds." in said
    assert f"is held by {outsider.id} ({outsider.title})" in said
