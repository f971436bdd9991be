"""`leadconnector plan`: from the calendar to a plan file."""

import json
import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from leadconnector_async import ConfigurationError, LeadConnector
from leadconnector_async.cli import output
from leadconnector_async.cli.arguments import read_changes, read_moment, read_range
from leadconnector_async.cli.output import check_target, clean, write_file
from leadconnector_async.cli.plan import Filters, plan
from leadconnector_async.jobs import read_plan
from leadconnector_async.sandbox import BookedAppointment, Sandbox

from .commanding import name_account, run

NEW_YORK = "America/New_York"
DAY = {"begin": "2027-03-10", "end": "2027-03-11", "timezone": NEW_YORK}


def choose_calendar(sandbox: Sandbox, zone: str = NEW_YORK) -> str:
    return next(calendar.id for calendar in sandbox.store.calendars.values() if calendar.zone == zone)


def add(sandbox: Sandbox, event_id: str, wall: datetime, **fields: Any) -> None:
    """One more appointment in New York, for half an hour."""
    calendar = sandbox.store.calendars[choose_calendar(sandbox)]
    start = wall.replace(tzinfo=ZoneInfo(NEW_YORK)).astimezone(UTC)
    template = next(iter(sandbox.store))
    event = msgspec.structs.replace(
        template,
        id=event_id,
        calendar_id=calendar.id,
        assigned_user_id=calendar.team[0],
        appointment_status="confirmed",
        start_time=start,
        end_time=start + (template.end_time - template.start_time),
        **fields,
    )
    assert isinstance(event, BookedAppointment)
    sandbox.store.put(event)


async def test_a_day_becomes_a_plan_that_can_be_carried_out(sandbox: Sandbox, tmp_path: Path) -> None:
    """As a process: the plan on stdout or in a file, the summary on stderr, nothing changed."""
    title = 'Zoë, "first" visit\n診察'
    add(sandbox, "with-title", datetime(2027, 3, 10, 17), title=title)
    before = list(sandbox.store)
    calendar, env = choose_calendar(sandbox), {**name_account(sandbox), "PYTHONIOENCODING": "ascii"}
    arguments = ["plan", "--calendar", calendar, "--from", "2027-03-10", "--to", "2027-03-11"]
    arguments += ["--timezone", NEW_YORK, "--shift", "+2d", "--set", "toNotify=false"]
    code, out, err = await run(*arguments, env=env)
    assert code == 0, err
    rows = read_plan(out.splitlines(keepends=True))
    expected = [one for one in before if one.calendar_id == calendar and one.rrule is None]
    left_out = [one for one in expected if one.appointment_status == "cancelled"]
    assert {row.event_id for row in rows} == {one.id for one in expected} - {one.id for one in left_out}
    assert all(row.update.to_notify is False for row in rows)
    assert [row.before.title for row in rows if row.event_id == "with-title" and row.before] == [title]
    assert f"{len(rows)} appointments in 1 day; {len(left_out)} left out" in err
    path = tmp_path / "plan.jsonl"
    code, out, err = await run(*arguments, "--format", "jsonl", "--output", str(path), env=env)
    assert (code, out) == (0, "")
    assert str(path) in err
    again = read_plan(path.read_text("utf-8").splitlines(keepends=True), format="jsonl")
    assert {(row.event_id, row.update) for row in again} == {(row.event_id, row.update) for row in rows}
    assert list(sandbox.store) == before
    assert {entry.operation for entry in sandbox.requests} == {"list_events"}


async def test_a_plan_across_the_change_of_the_clocks(account: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    """Saturday, 13 March 2027, moved to Sunday: what falls into the gap is named, the others keep their hour."""
    for hour in (1, 2, 3, 9):
        add(account, f"at{hour}", datetime(2027, 3, 13, hour, 30))
    calendar = choose_calendar(account)
    day = {"begin": "2027-03-13", "end": "2027-03-14", "timezone": NEW_YORK, "calendar": calendar}
    for shift in ({"shift": "+1d"}, {"shift_to": "2027-03-14"}):
        assert await plan(**day, **shift) == 0  # type: ignore[arg-type]
        out, err = capsys.readouterr()
        assert [row.update.start_time for row in read_plan(out.splitlines(keepends=True))] == [
            "2027-03-14T01:30:00-05:00",
            "2027-03-14T03:30:00-04:00",
            "2027-03-14T09:30:00-04:00",
        ]
        assert "3 appointments in 1 day; 1 left out:" in err
        assert "02:30:00 does not exist in America/New_York" in err
        assert "(at2)" in err


async def test_the_day_of_from_is_the_one_that_shift_to_moves(
    account: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where nothing is planned on it."""
    add(account, "thursday", datetime(2027, 4, 15, 9))
    assert (
        await plan(
            begin="2027-04-14",
            end="2027-04-17",
            timezone=NEW_YORK,
            calendar=choose_calendar(account),
            shift_to="2027-04-21",
        )
        == 0
    )
    (row,) = read_plan(capsys.readouterr().out.splitlines(keepends=True))
    assert row.update.start_time == "2027-04-22T09:00:00-04:00"


async def test_a_long_range_is_read_in_pieces(account: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    """Of at most 31 days, without a gap; an event that two of them show is planned once."""
    add(account, "border", datetime(2027, 3, 31, 23, 50))
    arguments = {"begin": "2027-03-01", "end": "2027-06-01", "timezone": NEW_YORK}
    assert await plan(**arguments, calendar=choose_calendar(account), shift="+5m", format="jsonl") == 0  # type: ignore[arg-type]
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["event_id"] for row in rows].count("border") == 1
    assert len({row["event_id"] for row in rows}) == len(rows) > 10
    requests = list(account.requests.of("list_events"))
    assert len(requests) == 3


async def test_a_location_is_named_if_it_is_asked_for(account: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    """For a plan that is put together out of several."""
    assert await plan(**DAY, calendar=choose_calendar(account), shift="+5m", with_location=True) == 0  # type: ignore[arg-type]
    rows = read_plan(capsys.readouterr().out.splitlines(keepends=True))
    assert {row.location_id for row in rows} == {account.location_id}


async def test_a_closed_day_moves_to_free_slots(account: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    """Each to one of its own calendar and person after the day, and all of them can be moved as planned."""
    calendar = choose_calendar(account)
    assert await plan(**DAY, calendar=calendar, shift_to_free_slot=True) == 0  # type: ignore[arg-type]
    rows = read_plan(capsys.readouterr().out.splitlines(keepends=True))
    before = {row.event_id: account.appointment(row.event_id) for row in rows}
    async with LeadConnector(account.token, base_url=account.url, location_id=account.location_id) as client:
        closed = datetime.fromisoformat("2027-03-11T00:00:00-05:00")
        for row in rows:
            user = before[row.event_id].assigned_user_id
            free = await client.get_free_slots(calendar, closed, closed + timedelta(days=31), user_ids=[user])
            offered = [slot.isoformat() for slots in free.values() for slot in slots]
            assert row.update.start_time in offered
        moved = [await client.update_appointment(row.event_id, row.update) for row in rows]
    assert len(moved) == len(rows) > 3
    starts = [(before[row.event_id].assigned_user_id, row.update.start_time) for row in rows]
    assert len(set(starts)) == len(starts)


async def test_nothing_to_plan_is_said(
    account: Sandbox, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """What was selected and what to do, and an exit code that is not 0; no plan is written, and none replaced."""
    path = tmp_path / "plan.csv"
    path.write_text("an older plan")
    day = {"begin": "2031-01-01", "end": "2031-01-02", "timezone": NEW_YORK}
    calendar = choose_calendar(account)
    for target in (None, str(path)):
        assert await plan(**day, calendar=calendar, shift="+2d", output=target, force=True) == 1  # type: ignore[arg-type]
        out, err = capsys.readouterr()
        assert out == ""
        assert err == (
            f"No plan was written: there are no appointments of calendar {calendar} from 2031-01-01 to 2031-01-02 "
            "in America/New_York. Check the days, and the id of the calendar, user or group.\n"
        )
    assert path.read_text() == "an older plan"


async def test_a_plan_that_would_be_empty_says_what_was_left_out(
    account: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each reason with some ids, and how to select others."""
    calendar, filters = choose_calendar(account), Filters(title="no such title")
    assert await plan(**DAY, calendar=calendar, shift="+2d", filters=filters) == 1  # type: ignore[arg-type]
    out, err = capsys.readouterr()
    assert out == ""
    first, *reasons, last = err.splitlines()
    found = re.fullmatch(
        rf"No plan was written: of calendar {calendar} from 2027-03-10 to 2027-03-11 in {NEW_YORK}, "
        r"(\d+) appointments were found and left out:",
        first,
    )
    assert found is not None, first
    assert sum(int(line.split(":")[0]) for line in reasons) == int(found[1]) > 0
    assert any("its title is another one" in line for line in reasons), reasons
    assert last.startswith("Choose other days, or change the options that select")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({}, "specify exactly one of --calendar, --user and --group"),
        ({"calendar": "c", "user": "u"}, "specify exactly one of --calendar, --user and --group"),
        ({"calendar": "c", "begin": "tomorrow"}, "--from 'tomorrow'"),
        ({"calendar": "c", "end": "2027-03-10"}, "--to .* must be after --from"),
        ({"calendar": "c", "timezone": None}, "--from 2027-03-10 has no time zone; add --timezone"),
        ({"calendar": "c", "timezone": "Mars/Base"}, "--timezone: 'Mars/Base'"),
        ({"calendar": "c", "begin": "2027-03-14T02:30"}, "--from .* does not exist"),
        ({"calendar": "c", "shift": None}, "would change nothing"),
        ({"calendar": "c", "shift": "two days"}, "--shift: 'two days': it is not a valid shift"),
        ({"calendar": "c", "shift_to": "2027-03-17"}, "set only one of shift, shift_to and to_free_slot"),
        ({"calendar": "c", "shift": None, "shift_to": "friday"}, "--shift-to 'friday'"),
        ({"calendar": "c", "changes": ("title",)}, "--set 'title': write FIELD=VALUE"),
        ({"calendar": "c", "changes": ("colour=red",)}, "--set colour: unknown field"),
        ({"calendar": "c", "changes": ("shift=+1d",)}, "--set shift: unknown field"),
        ({"calendar": "c", "changes": ("title=a", "title=b")}, "--set title: specified twice"),
        (
            {"calendar": "c", "timezone": None, "begin": "2027-03-10T00:00Z", "end": "2027-03-11T00:00Z"},
            r"--shift \+2d keeps the wall-clock time, so it needs a time zone; add --timezone",
        ),
    ],
)
async def test_what_cannot_be_planned_is_a_usage_error(
    account: Sandbox, capsys: pytest.CaptureFixture[str], arguments: dict[str, Any], reason: str
) -> None:
    """Exit code 2, how to fix it, and no request."""
    assert await plan(**{**DAY, "shift": "+2d", **arguments}) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.search(reason, err)
    assert not list(account.requests)


async def test_a_file_that_is_there_is_kept(
    account: Sandbox, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Unless `--force` is given; nothing is left beside it."""
    path = tmp_path / "plan.csv"
    path.write_text("kept")
    arguments = {**DAY, "calendar": choose_calendar(account), "shift": "+2d", "output": str(path)}
    assert await plan(**arguments) == 2  # type: ignore[arg-type]
    assert "--force" in capsys.readouterr().err
    assert path.read_text() == "kept"
    assert not list(account.requests)
    assert await plan(**arguments, force=True) == 0  # type: ignore[arg-type]
    assert path.read_text().startswith("event_id,")
    assert os.name != "posix" or path.stat().st_mode & 0o077 == 0
    assert os.listdir(tmp_path) == ["plan.csv"]


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if it comes there meanwhile, if the folder is missing, or if the rows end early."""
    path = str(tmp_path / "plan.csv")

    def break_off() -> Any:
        yield "one\n"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_file(path, break_off(), force=False)
    assert os.listdir(tmp_path) == []
    (tmp_path / "plan.csv").write_text("somebody's")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        write_file(path, ["mine"], force=False)
    assert (tmp_path / "plan.csv").read_text() == "somebody's"
    assert os.listdir(tmp_path) == ["plan.csv"]
    for target in (str(tmp_path / "no" / "plan.csv"), str(tmp_path)):
        with pytest.raises(ConfigurationError):
            check_target(target, force=True)

    def refuse(source: str, target: str) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(output.os, "link", refuse)
    write_file(str(tmp_path / "other.csv"), ["mine"], force=False)
    assert (tmp_path / "other.csv").read_text() == "mine"


def test_a_range_needs_zones_where_it_has_no_offsets() -> None:
    """Dates are days in the zone; times with an offset need none."""
    assert read_moment("--from", "2027-03-14", NEW_YORK).isoformat() == "2027-03-14T00:00:00-05:00"
    assert read_moment("--from", "2027-03-15", NEW_YORK).isoformat() == "2027-03-15T00:00:00-04:00"
    assert read_range("2027-03-14T00:00Z", "2027-03-14T00:00-05:00", None)


def test_fields_are_named_in_either_spelling_and_text_is_shown_without_controls() -> None:
    """`assignedUserId` is `assigned_user_id`; an escape sequence in a title steers no terminal."""
    assert read_changes(["assignedUserId=u1", "title=a=b"]) == {"assigned_user_id": "u1", "title": "a=b"}
    assert read_changes(["shift=+1d"], shift=True) == {"shift": "+1d"}
    assert clean("a\x1b[31mb\nc\u202ed 診察 é") == "a [31mb c d 診察 é"


async def test_filters_select_what_is_planned(account: Sandbox) -> None:
    """As flags; those that could not select what they say are refused before anything is read."""
    add(account, "early", datetime(2027, 3, 10, 6), title="Botox")
    add(account, "late", datetime(2027, 3, 10, 19), title="Botox, second")
    user = account.store.calendars[choose_calendar(account)].team[0]
    arguments = ["plan", "--calendar", choose_calendar(account), "--from", "2027-03-10", "--to", "2027-03-11"]
    arguments += ["--shift", "+60m", "--title", "botox", "--assignee", user, "--not-status", "No-show"]
    hours = ("--time-of-day", "18:00-06:00")
    code, out, err = await run(*arguments, *hours, "--timezone", NEW_YORK, env=name_account(account))
    assert code == 0, err
    assert [row.event_id for row in read_plan(out.splitlines(keepends=True))] == ["late"]
    code, out, err = await run(*arguments, "--status", "No-show", "--timezone", NEW_YORK, env=name_account(account))
    assert (code, "its status is" in err) == (1, True)
    code, _, err = await run(*arguments, "--contact", "nobody", "--timezone", NEW_YORK, env=name_account(account))
    assert (code, "it is for another contact" in err) == (1, True)
    before = len(account.requests)
    for more in (
        hours,
        ("--title", " "),
        ("--not-status", "missed"),
        ("--status", "missed"),
        ("--time-of-day", "9-12"),
    ):
        code, _, err = await run(*arguments, *more, "--timezone", "UTC", env=name_account(account))
        assert (code == 2) is (more is not hours), err
    arguments[4:7:2] = ["2027-03-10T00:00-05:00", "2027-03-11T00:00-05:00"]
    code, _, err = await run(*arguments, *hours, env=name_account(account))
    assert (code, "--time-of-day needs a time zone" in err) == (2, True)
    assert len(account.requests) == before + 1
