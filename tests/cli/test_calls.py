"""Single calls from the shell: what they print, and how they end."""

import asyncio
import io
import json
import os
from collections.abc import Awaitable
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from leadconnector_async import (
    AuthenticationError,
    ConfigurationError,
    DailyLimitError,
    DecodeError,
    InvalidEventError,
    InvalidRequestError,
    LeadConnectorError,
    OutcomeUnknownError,
    PermissionDeniedError,
    RateLimitedError,
    ServerError,
    SlotUnavailableError,
    TokenStoreError,
    TransportError,
)
from leadconnector_async.cli import calls
from leadconnector_async.cli.app import app
from leadconnector_async.cli.calls import delete, free_slots, get, list_events, update
from leadconnector_async.cli.exit_codes import code_for
from leadconnector_async.exceptions import PlanError
from leadconnector_async.sandbox import Limits, Sandbox

from ..raw_server import answer, raw_server
from .commanding import name_account, run
from .shell import COMMAND
from .test_plan_command import NEW_YORK, choose_calendar

Capture = pytest.CaptureFixture[str]


async def call(command: Awaitable[int], capsys: Capture) -> tuple[int, str, str]:
    code = await command
    out, err = capsys.readouterr()
    return code, out, err


def show_status(sandbox: Sandbox, status: str) -> str:
    """The id of an appointment that was marked so."""
    return next(
        one.id for one in sandbox.store if one.appointment_status == status and one.id in sandbox.appointment_ids
    )


async def test_get_shows_fields_or_one_object(account: Sandbox, capsys: Capture) -> None:
    """The API's own names; times at the offset that the server shows."""
    event_id = account.appointment_ids[0]
    code, out, err = await call(get(event_id, json_output=True), capsys)
    shown = json.loads(out)
    assert (code, err) == (0, "")
    assert shown["id"] == event_id
    assert shown["startTime"] == "2027-03-10T08:00:00-05:00"
    assert {"appointmentStatus", "assignedUserId", "calendarId"} <= shown.keys()
    code, out, err = await call(get(event_id), capsys)
    assert (code, err) == (0, "")
    assert "startTime          2027-03-10T08:00:00-05:00" in out


async def test_list_shows_a_table_or_one_array(account: Sandbox, capsys: Capture) -> None:
    """By their times; whole ids, whatever the width; text of the server cannot steer the terminal."""
    event_id = account.appointment_ids[0]
    event = account.store.find(event_id)
    assert event is not None
    account.store.put(msgspec.structs.replace(event, title="診察 \x1b[2J" + "long " * 50))
    day = {"begin": "2027-03-10", "end": "2027-03-11", "timezone": NEW_YORK, "calendar": choose_calendar(account)}
    code, out, _ = await call(list_events(**day, json_output=True), capsys)  # type: ignore[arg-type]
    events = json.loads(out)
    assert (code, len(events)) == (0, 10)
    assert all(one["calendarId"] == day["calendar"] for one in events)
    code, out, _ = await call(list_events(**day), capsys)  # type: ignore[arg-type]
    assert code == 0
    assert all(one["id"] in out for one in events)
    assert "2027-03-10T08:00-05:00" in out
    assert "診察  [2J" in out
    assert "\x1b" not in out


async def test_a_list_shows_one_clock(account: Sandbox, capsys: Capture) -> None:
    """That of --timezone: the server writes each time in the offset of its user, and without a zone it stays so."""
    owner = choose_calendar(account)
    assert await list_events(begin="2027-03-10", end="2027-03-11", timezone=NEW_YORK, calendar=owner) == 0
    by_zone = [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]]
    range_ = {"begin": "2027-03-10T00:00:00-05:00", "end": "2027-03-11T00:00:00-05:00"}
    assert await list_events(**range_, calendar=owner) == 0
    written = [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]]
    assert {one[-6:] for one in by_zone} == {"-05:00"}
    assert len({one[-6:] for one in written}) > 1
    assert [*map(datetime.fromisoformat, by_zone)] == [*map(datetime.fromisoformat, written)]
    assert by_zone == sorted(by_zone)


async def test_the_appointments_of_a_contact_are_listed(account: Sandbox, capsys: Capture) -> None:
    """Of one alone, in any calendar; a second owner is refused, and so is none."""
    event = account.appointment(account.appointment_ids[2])
    day: dict[str, Any] = {"begin": "2027-03-08", "end": "2027-03-15", "timezone": NEW_YORK, "json_output": True}
    code, out, _ = await call(list_events(**day, contact=event.contact_id), capsys)
    assert (code, [one["id"] for one in json.loads(out)]) == (0, [event.id])
    for owners in ({}, {"contact": "k", "calendar": "c"}, {"user": "u", "group": "g"}):
        code, _, err = await call(list_events(**day, **owners), capsys)
        assert code == 2
        assert "specify exactly one of --calendar, --user, --group and --contact" in err


async def test_free_slots_are_shown_with_their_offset(account: Sandbox, capsys: Capture) -> None:
    """Before and after the change of the clocks; one object for scripts."""
    calendar = choose_calendar(account)
    days = {"begin": "2027-03-13", "end": "2027-03-15", "timezone": NEW_YORK}
    code, out, _ = await call(free_slots(calendar, **days), capsys)  # type: ignore[arg-type]
    saturday, sunday = out.splitlines()
    assert code == 0
    assert saturday.startswith("2027-03-13 (-05:00) 08:00 08:15 ")
    assert sunday.startswith("2027-03-14 (-04:00) 08:00 08:15 ")
    user = account.store.calendars[calendar].team[0]
    code, out, _ = await call(free_slots(calendar, **days, user=(user,), json_output=True), capsys)  # type: ignore[arg-type]
    assert json.loads(out)["2027-03-14"][0] == "2027-03-14T08:00:00-04:00"
    assert account.requests.of("get_free_slots")


async def test_update_keeps_what_an_update_would_reset(account: Sandbox, capsys: Capture) -> None:
    """`showed` stays; with `--plain` it is the server that decides."""
    event_id = show_status(account, "showed")
    code, out, _ = await call(update(event_id, changes=("title=By phone",), json_output=True), capsys)
    assert code == 0
    assert json.loads(out)["title"] == "By phone"
    assert account.appointment(event_id).appointment_status == "showed"
    code, _, err = await call(update(event_id, changes=("title=Again",), plain=True), capsys)
    assert (code, err) == (0, "")
    assert account.appointment(event_id).title == "Again"
    assert account.appointment(event_id).appointment_status == "confirmed"


async def test_update_moves_by_a_shift(account: Sandbox, capsys: Capture) -> None:
    """The whole appointment, and not if it is sent plainly."""
    event_id = account.appointment_ids[0]
    before = account.appointment(event_id)
    arguments: dict[str, Any] = {"changes": ("shift=+1w",), "timezone": NEW_YORK}
    assert await update(event_id, **arguments, plain=True) == 2
    assert "unknown field" in capsys.readouterr().err
    assert await update(event_id, **arguments) == 0
    after = account.appointment(event_id)
    assert (after.start_time - before.start_time).total_seconds() == (7 * 24 - 1) * 3600
    assert after.end_time - after.start_time == before.end_time - before.start_time


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("appointment_status=missed", "use one of new, confirmed"),
        ("event_id=other", "unknown field"),
        ("before_title=x", "unknown field"),
        ("outcome_state=applied", "unknown field"),
        ("to_notify=maybe", "neither true nor false"),
        ("start_time=2027-03-10T09:00", "has no offset"),
        ("title", "FIELD=VALUE"),
    ],
)
@pytest.mark.parametrize("plain", [False, True])
async def test_what_cannot_be_set_is_refused_before_anything_is_sent(
    account: Sandbox, capsys: Capture, change: str, reason: str, plain: bool
) -> None:
    """Exit code 2; no field is ignored."""
    code, out, err = await call(update(account.appointment_ids[0], changes=(change,), plain=plain), capsys)
    assert (code, out) == (2, "")
    assert reason in err
    assert not list(account.requests)


async def test_delete_asks_first(account: Sandbox, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal, `--yes` is needed; what is gone already is refused by the server."""
    event_id = account.appointment_ids[0]
    monkeypatch.setattr("sys.stdin", io.StringIO("yes"))
    code, out, err = await call(delete(event_id), capsys)
    assert (code, out) == (2, "")
    assert "--yes" in err
    assert not list(account.requests)
    code, out, _ = await call(delete(event_id, yes=True), capsys)
    assert (code, out) == (0, f"{event_id} was deleted.\n")
    code, out, err = await call(delete(event_id, yes=True, json_output=True), capsys)
    assert (code, out) == (1, "")
    assert "invalid" in err


async def test_a_deletion_that_did_not_succeed_is_not_called_one(bare: pytest.MonkeyPatch, capsys: Capture) -> None:
    """The server can say so with a success."""
    refused = answer(200, b'{"succeeded":false}')
    async with raw_server(refused, refused) as server:
        for name, value in {"TOKEN": "pit-1", "LOCATION_ID": "loc1", "BASE_URL": server.url}.items():
            bare.setenv(f"LEADCONNECTOR_{name}", value)
        code, out, err = await call(delete("ev1", yes=True), capsys)
        assert (code, out, err) == (1, "", "ev1 was not deleted: the server reports no success.\n")
        code, out, err = await call(delete("ev1", yes=True, json_output=True), capsys)
        assert (code, json.loads(out), err) == (1, {"succeeded": False}, "")


ERRORS: list[tuple[LeadConnectorError, int]] = [
    (SlotUnavailableError("taken", outcome="not_applied"), 1),
    (InvalidEventError("gone", outcome="not_applied"), 1),
    (DecodeError("odd", outcome="not_applied"), 1),
    (ConfigurationError("bad"), 2),
    (InvalidRequestError("bad"), 2),
    (PlanError("invalid"), 2),
    (AuthenticationError("401", outcome="not_applied"), 4),
    (PermissionDeniedError("403", outcome="not_applied"), 4),
    (TokenStoreError("locked"), 4),
    (TransportError("no route", outcome="not_applied"), 5),
    (RateLimitedError("429", outcome="not_applied"), 5),
    (ServerError("503", outcome="not_applied"), 5),
    (ServerError("503", outcome="unknown"), 6),
    (OutcomeUnknownError("lost", outcome="unknown"), 6),
    (DecodeError("odd", outcome="applied"), 6),
    (DailyLimitError("spent", outcome="not_applied"), 8),
]


@pytest.mark.parametrize(("error", "code"), ERRORS, ids=str)
async def test_every_error_has_its_exit_code_and_words(
    error: LeadConnectorError, code: int, capsys: Capture, account: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On stderr, and no traceback."""

    def fail(profile: str | None) -> None:
        raise error

    monkeypatch.setattr(calls, "make_client", fail)
    assert code_for(error) == code
    assert await get("ev1") == code
    out, err = capsys.readouterr()
    assert out == ""
    assert str(error.args[0]) in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("change", "arguments", "expected", "words"),
    [
        ({}, ("get", "-starts-with-a-dash"), 1, "event id is invalid"),
        ({}, ("get", "--", "--json"), 1, "event id is invalid"),
        ({"LOCATION_ID": ""}, ("get", "ev1"), 2, "LEADCONNECTOR_LOCATION_ID is not set"),
        ({"TOKEN": "pit-wrong"}, ("get", "ev1"), 4, "401"),
    ],
)
async def test_a_command_ends_with_a_code_and_words(
    sandbox: Sandbox, change: dict[str, str], arguments: tuple[str, ...], expected: int, words: str
) -> None:
    """As a process: no traceback, nothing on stdout."""
    changed = {f"LEADCONNECTOR_{name}": text for name, text in change.items()}
    code, out, err = await run(*arguments, env={**name_account(sandbox), **changed})
    assert (code, out) == (expected, "")
    assert words in err
    assert "Traceback" not in err


async def test_a_spent_day_has_its_code(bare: pytest.MonkeyPatch, capsys: Capture) -> None:
    """8, at once: nothing is waited for."""
    limits = Limits(max_requests=1000, interval=0.5, daily=1)
    async with Sandbox(appointments=2, limits=limits, strict=False) as sandbox:
        for name, value in name_account(sandbox).items():
            bare.setenv(name, value)
        event_id = sandbox.appointment_ids[0]
        assert await get(event_id) == 0
        capsys.readouterr()
        code, out, err = await call(get(event_id), capsys)
        assert (code, out) == (8, "")
        assert "429" in err


async def test_a_reader_who_has_seen_enough_is_no_error(sandbox: Sandbox) -> None:
    """`leadconnector list --json | head`: exit code 0, and no words."""
    reading, writing = os.pipe()
    os.close(reading)
    arguments = ["list", "--calendar", choose_calendar(sandbox), "--from", "2027-03-10", "--to", "2027-03-11"]
    process = await asyncio.create_subprocess_exec(
        *[*COMMAND, *arguments, "--timezone", NEW_YORK, "--json"],
        stdout=writing,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **name_account(sandbox)},
    )
    os.close(writing)
    _, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")


async def test_help_shows_the_commands_in_groups() -> None:
    """Without a command; the account's variables are explained."""
    code, out, _ = await run(env={"COLUMNS": "120"})
    assert code == 0
    places = [out.index(text) for text in ("─ Jobs", "│ plan", "─ Single calls", "│ list", "─ Sandbox", "│ demo")]
    assert places == sorted(places)
    assert "LEADCONNECTOR_TOKEN_COMMAND" in out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_can_be_installed(
    shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """The script knows the commands and their flags, and bash reads it at its next start."""
    script = tmp_path / "completion"
    monkeypatch.setenv("HOME", str(tmp_path))
    app(["--install-completion", "--shell", shell, "--output", str(script)], result_action="return_value")
    assert "installed" in capsys.readouterr().out
    text = script.read_text()
    for word in ("plan", "get", "free-slots", "reschedule", "calendar", "shift-to"):
        assert word in text
    if shell == "bash":
        assert str(script) in (tmp_path / ".bashrc").read_text()


@pytest.mark.parametrize("command", ["plan", "get", "update", "delete", "list", "free-slots"])
def test_every_command_teaches(command: str, capsys: Capture) -> None:
    """One line of effect, an example, and every flag explained."""
    app([command, "--help"], exit_on_error=False, result_action="return_value")
    out = capsys.readouterr().out
    assert f"Example: leadconnector {command} " in " ".join(out.split())
    assert "[default: ()]" not in out


@pytest.mark.parametrize(
    "hostile", ["\x1b[2J", "\x9b31m", "\x7f\x85", "\u202egnp.exe", "\u2028\u2029", "\U000e0041", "\ufeff"]
)
async def test_json_holds_nothing_that_a_terminal_obeys(
    hostile: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a title is: escaped in the text, and the same when it is read. Other letters stay as they are."""
    title = f"Zoë {hostile} \U0001f600"
    event = {"id": "ev1", "title": title, "locationId": "loc"}
    async with raw_server(answer(200, json.dumps({"event": event}).encode())) as server:
        for name, value in {"TOKEN": "pit-12345678", "LOCATION_ID": "loc", "BASE_URL": server.url}.items():
            monkeypatch.setenv(f"LEADCONNECTOR_{name}", value)
        code, out, _ = await call(get("ev1", json_output=True), capsys)
    assert code == 0
    assert out.removesuffix("\n").isprintable()
    assert "Zoë" in out
    assert json.loads(out)["title"] == title
