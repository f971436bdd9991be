"""`--read-only` and `LEADCONNECTOR_ACCESS`: every command that writes is refused before it does anything."""

import inspect
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from leadconnector_async import ConfigurationError, ReadOnlyError
from leadconnector_async.cli.app import app
from leadconnector_async.cli.arguments import Account
from leadconnector_async.cli.connect import make_client
from leadconnector_async.sandbox import Sandbox

from ..jobs.jobbing import FAST
from .shell import build_environment, run

READING = {"plan", "verify", "doctor", "get", "list", "free-slots"}
WRITING = {
    "reschedule": ("day.csv", "--yes"),
    "resume": ("day.job",),
    "retry-failed": ("day.job",),
    "undo": ("day.job", "--yes"),
    "update": ("EVENT", "--set", "title=x"),
    "delete": ("EVENT", "--yes"),
    "worker": ("postgresql://127.0.0.1/leads",),
}
"""And how each is called."""


@pytest.fixture
async def clinic() -> AsyncIterator[Sandbox]:
    async with Sandbox(limits=FAST, appointments=10) as sandbox:
        yield sandbox


def write_plan(clinic: Sandbox, path: Path) -> None:
    path.write_text("".join(["event_id,title\n", *(f"{one},New\n" for one in clinic.appointment_ids)]))


def test_every_command_with_an_account_is_tried_here() -> None:
    """A new one is known to read or to write, and takes the flag with its account."""
    with_account = {
        name
        for name in app
        if not name.startswith("-")
        and (one := app[name].default_command) is not None
        and "account" in inspect.signature(one).parameters
    }
    assert with_account == READING | set(WRITING)


@pytest.mark.campaign(180)
async def test_every_command_that_writes_is_refused(clinic: Sandbox, tmp_path: Path) -> None:
    """By the flag and by the variable, with exit code 2; no request is sent, no file is written."""
    plan, event_id = tmp_path / "day.csv", clinic.appointment_ids[0]
    write_plan(clinic, plan)
    environment = build_environment(clinic)
    made = await run(
        tmp_path, environment, "reschedule", "day.csv", "--job", "day.job", "--yes", "--max-errors", "1"
    )
    assert made.code == 0
    restricted = {**environment, "LEADCONNECTOR_ACCESS": "read"}
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    clinic.requests.clear()
    for command, arguments in WRITING.items():
        words = [event_id if one == "EVENT" else one for one in arguments]
        by_flag = await run(tmp_path, environment, command, *words, "--read-only")
        by_variable = await run(tmp_path, restricted, command, *words, "--json")
        assert (by_flag.code, by_variable.code) == (2, 2), command
        said = (
            f"{command} writes, and this client may only read: nothing was sent. To allow writes, run the command"
        )
        assert by_flag.err == f"{said} without --read-only. [{command}]\n"
        error = json.loads(by_variable.out)["error"]
        assert error == {
            "type": "ReadOnlyError",
            "message": f"{said} without LEADCONNECTOR_ACCESS=read. [{command}]",
        }
    assert not clinic.requests
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == files


@pytest.mark.campaign(180)
async def test_what_only_reads_stays_possible(clinic: Sandbox, tmp_path: Path) -> None:
    """Plans, dry runs, single reads, the state and the verification of a job."""
    write_plan(clinic, tmp_path / "day.csv")
    environment = build_environment(clinic)
    done = await run(tmp_path, environment, "reschedule", "day.csv", "--job", "done.job", "--yes")
    assert done.code == 0
    clinic.requests.clear()
    calendar_id = clinic.appointment(clinic.appointment_ids[0]).calendar_id
    days = ("--from", "2027-03-10", "--to", "2027-03-11", "--timezone", "Europe/London", "--read-only")
    for arguments in (
        ("doctor", "--read-only"),
        ("get", clinic.appointment_ids[0], "--read-only"),
        ("list", "--calendar", calendar_id, *days),
        ("free-slots", calendar_id, *days),
        ("plan", "--calendar", calendar_id, "--shift", "+1d", *days),
        ("reschedule", "day.csv", "--dry-run", "--read-only"),
        ("verify", "done.job", "--read-only"),
        ("undo", "done.job", "--dry-run", "--read-only"),
    ):
        ended = await run(tmp_path, environment, *arguments)
        assert ended.code == 0, (arguments, ended.err)
    assert {request.method for request in clinic.requests} == {"GET"}


def test_the_variable_of_all_profiles_restricts_each(bare: pytest.MonkeyPatch) -> None:
    """A profile's own variable restricts that profile only."""
    for prefix in ("", "CLINIC_"):
        bare.setenv(f"LEADCONNECTOR_{prefix}TOKEN", "pit-x")
        bare.setenv(f"LEADCONNECTOR_{prefix}LOCATION_ID", "loc1")
    assert make_client(Account(profile="clinic")).access == "write"
    bare.setenv("LEADCONNECTOR_CLINIC_ACCESS", "read")
    assert (make_client(Account(profile="clinic")).access, make_client().access) == ("read", "write")
    bare.setenv("LEADCONNECTOR_CLINIC_ACCESS", "write")
    bare.setenv("LEADCONNECTOR_ACCESS", "read")
    assert (make_client(Account(profile="clinic")).access, make_client().access) == ("read", "read")
    bare.setenv("LEADCONNECTOR_CLINIC_ACCESS", "read")
    restrictions = "--read-only and LEADCONNECTOR_ACCESS=read and LEADCONNECTOR_CLINIC_ACCESS=read"
    with pytest.raises(ReadOnlyError, match=f"To allow writes, run the command without {restrictions}\\. "):
        make_client(Account(profile="clinic", read_only=True), to_write="update")
    bare.setenv("LEADCONNECTOR_CLINIC_ACCESS", "readonly")
    with pytest.raises(ConfigurationError, match="LEADCONNECTOR_CLINIC_ACCESS is 'readonly'"):
        make_client(Account(profile="clinic"))
